import { type Measure, tell } from './measure.ts';

type Benchmark = { readonly run: (arg: string) => Promise<readonly Measure[]>; readonly args: readonly number[] };

const benchmarks: Readonly<Record<string, Benchmark>> = {
  startup: { args: [0], run: async () => (await import('./startup.ts')).benchStartup() },
  setup: { args: [0], run: async () => (await import('./setup.ts')).benchSetup() },
  versions: { args: [1], run: async (earlier) => (await import('./versions.ts')).benchVersions(earlier) },
  'sync-latency': { args: [0, 2], run: async (minute) => (await import('./sync-latency.ts')).benchSyncLatency(minute) },
  backup: { args: [0], run: async () => (await import('./backup.ts')).benchBackup() },
  'sync-bulk': { args: [0], run: async () => (await import('./sync-bulk.ts')).benchSyncBulk() },
};

const [name = '', ...rest] = process.argv.slice(2);
const benchmark = Object.hasOwn(benchmarks, name) ? benchmarks[name] : undefined;
const isUnderstood = benchmark?.args.includes(rest.length) && (rest.length < 2 || rest[0] === '--minute');
if (benchmark === undefined || !isUnderstood) {
  console.error(
    'npm run bench -- startup|setup|versions EARLIER.zip|sync-latency [--minute S]|sync-bulk|backup    (docs/benchmarks.md)',
  );
  process.exitCode = 64;
} else tell(await benchmark.run(rest.at(-1) ?? ''));
