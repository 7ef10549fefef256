import { type Measure, tell } from './measure.ts';

const benchmarks: Readonly<Record<string, (file: string) => Promise<readonly Measure[]>>> = {
  startup: async () => (await import('./startup.ts')).benchStartup(),
  setup: async () => (await import('./setup.ts')).benchSetup(),
  versions: async (earlier) => (await import('./versions.ts')).benchVersions(earlier),
};

const [name = '', ...rest] = process.argv.slice(2);
const wanted = name === 'versions' ? 1 : 0;
const benchmark = Object.hasOwn(benchmarks, name) && rest.length === wanted ? benchmarks[name] : undefined;
if (benchmark === undefined) {
  console.error('npm run bench -- startup|setup|versions EARLIER.zip    (docs/benchmarks.md)');
  process.exitCode = 64;
} else tell(await benchmark(rest[0] ?? ''));
