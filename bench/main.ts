import { type Measure, tell } from './measure.ts';

const benchmarks: Readonly<Record<string, () => Promise<readonly Measure[]>>> = {
  startup: async () => (await import('./startup.ts')).benchStartup(),
  setup: async () => (await import('./setup.ts')).benchSetup(),
};

const [name = '', ...rest] = process.argv.slice(2);
const benchmark = Object.hasOwn(benchmarks, name) && rest.length === 0 ? benchmarks[name] : undefined;
if (benchmark === undefined) {
  console.error(`npm run bench -- ${Object.keys(benchmarks).join('|')}    (docs/benchmarks.md)`);
  process.exitCode = 64;
} else tell(await benchmark());
