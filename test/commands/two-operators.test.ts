// Two operators at the same moment: at most one proceeds, the other is told who, what, since when and from where.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { CommandContext, CommandOutcome } from '../../src/commands/context.ts';
import { disable } from '../../src/commands/disable.ts';
import { restore } from '../../src/commands/restore.ts';
import { reverse } from '../../src/commands/reverse.ts';
import { setUp } from '../../src/commands/setup.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { readPair } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type NewPair, pairMaker, type RehearsalPair } from '../rehearsal/pair.ts';

const folder = tempFolder();
let make: NewPair;
let pattern: RehearsalPair;
let tag = '';
beforeAll(async () => {
  make = await pairMaker(folder);
  pattern = make('pattern-of-two');
  tag = String((await setUp(pattern.context(pattern.cms1), pattern.answers)).result['tag']);
});

type Run = (context: CommandContext, pair: RehearsalPair) => Promise<CommandOutcome>;
type Outcome = { exitCode: number; code: string; told: string };
const refusalOf = ({ exitCode, code, message, details }: CmsadmError): Outcome => ({
  ...{ exitCode, code, told: [message, ...details].join('\n') },
});
const outcomeOf = (run: Promise<CommandOutcome>): Promise<Outcome> =>
  run.then(
    ({ exitCode, error }) => (error ? refusalOf(error) : { exitCode, code: 'done', told: '' }),
    (error: unknown) => {
      if (!(error instanceof CmsadmError)) throw error;
      return refusalOf(error);
    },
  );
const who = /anna is changing this pair: .*, since 20\d\d-.*Z, from cms1\.example\.com\./;

const runs: Readonly<Record<string, Run>> = {
  'set up': (context) => setUp(context, { 'ntp-server': '192.0.2.103' }),
  reverse: (context) => reverse(context),
  restore: (context) => restore(context, { tag }),
  disable: (context) => disable(context, { peer: 'cms2.example.com' }),
};

describe.each(Object.entries(runs))('%s, with both locks held', (name, run) => {
  test.each(Object.keys(runs))('keeps %s out, which says who, what, since when and from where', async (other) => {
    const pair = make(`${name}-${other}`.replaceAll(' ', '-'), pattern);
    const anna = pair.context(pair.cms1, { operator: 'anna' });
    let second: Outcome | undefined;
    const { system } = anna.host;
    // When she arms the way back she has both locks; just then the other one runs from beginning to end.
    const arm: typeof system.arm = async (...args) => {
      second ??= await outcomeOf(
        runs[other]?.(pair.context(pair.cms1, { operator: 'bert' }), pair) ?? Promise.reject(),
      );
      return system.arm(...args);
    };
    const first = await outcomeOf(run({ ...anna, host: { ...anna.host, system: { ...system, arm } } }, pair));
    expect(first).toMatchObject({ exitCode: exitCodes.done, code: 'done' });
    // Set up tells it among its other checks.
    const code = other === 'set up' ? 'preflight-failed' : 'locked';
    expect(second).toMatchObject({ exitCode: exitCodes.refused, code, told: expect.stringMatching(who) });
    for (const server of [pair.cms1, pair.cms2]) expect(existsSync(join(server, 'run/cmsadm/lock'))).toBe(false);
  });
});

test('one on each server, started together: one proceeds at most, and both servers tell one pair', async () => {
  for (let round = 1; round <= 5; round += 1) {
    const pair = make(`together-${round}`, pattern);
    const on = (server: string, run: Run, operator: string): Promise<Outcome> =>
      outcomeOf(run(pair.context(server, { operator }), pair));
    const away: Run = (context) => disable(context, { peer: 'cms1.example.com' });
    const both = await Promise.all([on(pair.cms1, (context) => reverse(context), 'anna'), on(pair.cms2, away, 'bert')]);
    const done = both.filter(({ code }) => code === 'done');
    expect(done.length, JSON.stringify(both)).toBe(1);
    for (const { code, told } of both)
      if (code !== 'done') expect(told).toMatch(/^(anna|bert) is changing this pair: .*, since .*, from cms[12]\./);
    const [one, two] = [pair.cms1, pair.cms2].map((server) => readPair({ prefix: server, ownersCount: false }));
    expect(one).toEqual(two);
  }
});

test('two on one server, started together: the pair has the epoch of one of them', async () => {
  const pair = make('together-here', pattern);
  const both = await Promise.all(
    ['anna', 'bert'].map((operator) => outcomeOf(reverse(pair.context(pair.cms1, { operator })))),
  );
  expect(both.map(({ code }) => code).sort()).toEqual(['done', 'locked']);
  expect(JSON.parse(readFileSync(join(pair.cms2, 'var/lib/cmsadm/pair.json'), 'utf8'))).toMatchObject({ epoch: 2 });
});
