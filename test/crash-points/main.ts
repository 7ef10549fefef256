// `npm run crash-points`: every point of what changes a pair and of each option of the menu, each fault, on two servers in memory.
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildSync } from 'esbuild';
import { type Operation, operations, sampleOf } from './operations.ts';
import { allFaults, attempt, prepare, type Result, type Stage, triedFaults } from './trial.ts';
import type { Fault } from './world.ts';

const usage = `npm run crash-points -- [--json] [--operation NAME] [--every N] [--fault SERVER:POINT:KIND]

  --operation NAME   only this one: ${operations.join(', ')}
  --every N          only every Nth fault, for a quick look
  --options-every N  the same for the options of the menu; what changes the pair is tried as ever
  --fault …          one fault of one operation, with all that is wrong after it
  --json             totals as one JSON object
`;

/** What a share of the work tells when it is done. */
type Share = {
  readonly operation: Operation;
  readonly points: number;
  readonly outcomes: Record<string, number>;
  readonly faults: Record<string, number>;
  readonly wrong: readonly string[];
};

// Tens of thousands of refused calls: their stacks would take a fifth of the time. One fault alone shows them.
if (!process.argv.some((flag) => flag.startsWith('--fault'))) Error.stackTraceLimit = 0;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    operation: { type: 'string' },
    every: { type: 'string', default: '1' },
    'options-every': { type: 'string', default: '1' },
    fault: { type: 'string' },
    share: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const chosen = operations.filter((one) => values.operation === undefined || one === values.operation);
if (values.help || chosen.length === 0) {
  process.stdout.write(usage);
  process.exit(values.help ? 0 : 64);
}

/** What changes which servers are a pair, and in which roles. */
const ofPair: readonly Operation[] = ['set up', 'reverse', 'restore', 'disable'];

const everyOf = (operation: Operation): number =>
  Number(values.every) * (ofPair.includes(operation) ? 1 : Number(values['options-every']));

/** The faults of one operation that fall to one of several processes. */
async function work(share: string): Promise<void> {
  const [index = 0, of = 1] = share.split('/').map(Number);
  for (const operation of chosen) {
    const stage = await prepare(operation);
    const faults = triedFaults(stage).filter((_, i) => i % everyOf(operation) === 0);
    const results: Result[] = [];
    for (const [i, fault] of faults.entries()) if (i % of === index) results.push(await limited(stage, fault));
    const told: Share = {
      operation,
      points: stage.points.cms1.length + stage.points.cms2.length,
      outcomes: counted(results.map(({ outcome }) => outcome)),
      faults: counted(results.map(({ fault }) => fault.kind)),
      wrong: results
        .filter(({ wrong }) => wrong.length > 0)
        .map(({ fault, wrong }) => `${fault.server}:${fault.at}:${fault.kind}: ${wrong.join('; ')}`),
    };
    process.send?.(told);
  }
}

/** No trial takes a second; one that does not end is told by its fault, and the others go on. */
const LIMIT = 60_000;

async function limited(stage: Stage, fault: Fault): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Result>((resolve) => {
    const wrong = [`no end within ${LIMIT / 1000} s`];
    timer = setTimeout(() => resolve({ fault, outcome: 'no end', wrong }), LIMIT);
  });
  try {
    return await Promise.race([attempt(stage, fault), late]);
  } finally {
    clearTimeout(timer);
  }
}

const counted = (words: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
};

const sum = (all: readonly Record<string, number>[]): Record<string, number> => {
  const total: Record<string, number> = {};
  for (const one of all) for (const [word, count] of Object.entries(one)) total[word] = (total[word] ?? 0) + count;
  return total;
};

/** This program in one file: each `import()` of a run would go through the loader that reads TypeScript. */
function bundled(): string {
  // Two folders below the repository, as this one.
  const outfile = fileURLToPath(new URL('../../dist/crash-points/main.js', import.meta.url));
  const options = { bundle: true, platform: 'node', format: 'esm', packages: 'external', sourcemap: true } as const;
  buildSync({ ...options, entryPoints: [fileURLToPath(import.meta.url)], outfile, logLevel: 'warning' });
  return outfile;
}

/** Shares the work among the processors, prints the totals; exit code 1 where anything is wrong. */
async function all(): Promise<number> {
  const started = Date.now();
  const shares = availableParallelism();
  const heard: Share[] = [];
  const program = bundled();
  await Promise.all(
    Array.from(
      { length: shares },
      (_, index) =>
        new Promise<void>((resolve, reject) => {
          const child = fork(
            program,
            [...process.argv.slice(2).filter((flag) => flag !== '--json'), `--share=${index}/${shares}`],
            { execArgv: ['--max-semi-space-size=64', '--enable-source-maps'] },
          );
          // parseArgs checked the flags; what a child says is what `work` sends.
          child.on('message', (share: Share) => heard.push(share));
          child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a share ended with code ${code}`))));
        }),
    ),
  );
  const perOperation = chosen.map((operation) => {
    const of = heard.filter((share) => share.operation === operation);
    const outcomes = sum(of.map((share) => share.outcomes));
    return {
      operation,
      /** One of so many faults was tried. */
      sample: sampleOf(operation) * everyOf(operation),
      points: of[0]?.points ?? 0,
      trials: Object.values(outcomes).reduce((a, b) => a + b, 0),
      mixed: outcomes['mixed'] ?? 0,
      outcomes,
      faults: sum(of.map((share) => share.faults)),
      wrong: of.flatMap((share) => share.wrong),
    };
  });
  const total = (of: (one: (typeof perOperation)[number]) => number): number =>
    perOperation.map(of).reduce((a, b) => a + b, 0);
  const totals = {
    points: total((one) => one.points),
    trials: total((one) => one.trials),
    mixed: total((one) => one.mixed),
    wrong: total((one) => one.wrong.length),
    seconds: Math.round((Date.now() - started) / 1000),
    operations: perOperation,
  };
  process.stdout.write(values.json ? `${JSON.stringify(totals, undefined, 2)}\n` : lines(totals));
  return totals.mixed + totals.wrong === 0 ? 0 : 1;
}

function lines(totals: {
  points: number;
  trials: number;
  mixed: number;
  wrong: number;
  seconds: number;
  operations: readonly {
    operation: string;
    sample: number;
    points: number;
    trials: number;
    outcomes: Record<string, number>;
    faults: Record<string, number>;
    wrong: readonly string[];
  }[];
}): string {
  const told = (counts: Record<string, number>): string =>
    Object.entries(counts)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([word, count]) => `${word} ${count}`)
      .join(', ');
  return [
    ...totals.operations.flatMap(({ operation, sample, points, trials, outcomes, faults, wrong }) => [
      `${operation}: ${points} points, ${trials} trials${sample === 1 ? '' : `, one of ${sample} that can be made`}`,
      `  outcomes: ${told(outcomes)}`,
      `  faults:   ${told(faults)}`,
      ...wrong.slice(0, 20).map((one) => `  WRONG ${one}`),
    ]),
    `${totals.points} points, ${totals.trials} trials, ${totals.mixed} mixed, ${totals.wrong} wrong, ${totals.seconds} s`,
    '',
  ].join('\n');
}

/** One fault, told in full. */
async function tryOne(text: string): Promise<void> {
  const [server, at, kind] = text.split(':');
  for (const operation of chosen) {
    const stage = await prepare(operation);
    const fault = allFaults(stage).find((one) => one.server === server && `${one.at}` === at && one.kind === kind);
    if (!fault) continue;
    process.stdout.write(`${operation}: ${JSON.stringify(stage.points[fault.server][fault.at])}\n`);
    process.stdout.write(`${JSON.stringify(await attempt(stage, fault), undefined, 2)}\n`);
  }
}

if (values.fault !== undefined) await tryOne(values.fault);
else if (values.share !== undefined) await work(values.share);
else process.exitCode = await all();
