// A hostile server at the other end of the line that is asked: whatever it answers, it gets nothing but what the data set
// carries, and the agent goes on.
import * as fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { runAgent } from '../../src/agent/run-agent.ts';
import type { Session } from '../../src/host/session.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { readStatus } from '../../src/pair/sync-status.ts';
import { placeOf, profile, sessionWith, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const timing = { retry: 20, settle: 20, heartbeat: 20, reachable: 50, folders: 60_000, compare: 60_000, coalesce: 3 };

const endings: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

/** Lies in place of the honest answer to a verb; `honest` is that answer. */
type Lie = (honest: unknown) => unknown;

/** A primary, beside whose data set there are secrets, and a peer whose answers may be lies. */
async function withLiar(lies: Map<string, Lie>) {
  const { one, two } = twoServers();
  write(one, 'f/a', 'shared');
  write(one, 'a.log', 'TOP SECRET');
  fs.writeFileSync(join(one.root.prefix, 'secret'), 'TOP SECRET');
  fs.mkdirSync(join(one.root.prefix, 'outside'));
  fs.writeFileSync(join(one.root.prefix, 'outside/secret'), 'TOP SECRET');
  fs.symlinkSync('../outside', placeOf(one, 'out'));
  const heard: string[] = [];
  let logins = 0;
  const login = async (): Promise<Session> => {
    logins += 1;
    const honest = await sessionWith(two);
    const call: Session['call'] = async (verb, args) => {
      heard.push(JSON.stringify(args ?? null));
      const answer = await honest.call(verb, args);
      const lie = lies.get(verb);
      return lie ? lie(answer) : answer;
    };
    return { ...honest, call };
  };
  const aborter = new AbortController();
  let failed: unknown;
  const done = runAgent(one, profile, { signal: aborter.signal, log: () => {}, login, timing }).catch((error) => {
    failed = error;
  });
  const end = async (): Promise<void> => {
    aborter.abort();
    await done;
  };
  endings.push(end);
  const heardSecret = (): boolean => {
    const secrets = ['TOP SECRET'].flatMap((text) => [text, Buffer.from(text).toString('base64')]);
    return heard.some((text) => secrets.some((secret) => text.includes(secret)));
  };
  return { one, two, heardSecret, logins: () => logins, failed: () => failed };
}

const inStep = (host: Host): Promise<unknown> =>
  until(
    () => readStatus(host.root)?.state,
    (state) => state === 'in step',
  );

const moment = (milliseconds = 150): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What no peer may name: beside the data set, left out of it, behind a link in it. */
const elsewhere = ['../secret', 'f/../../secret', '/etc/passwd', 'a.log', 'out/secret', './f/a', 'f//a', ''];

describe('a peer that names files', () => {
  it.each(elsewhere)('%j as edited there gets nothing of it', async (path) => {
    const lies = new Map<string, Lie>([['agentEdits', () => ({ admin: [[path, null]] })]]);
    const { one, two, heardSecret } = await withLiar(lies);
    await inStep(one);
    await moment();
    expect(heardSecret()).toBe(false);
    lies.clear();
    write(one, 'f/b', 'goes on');
    await until(
      () => tree(two)['f/b'],
      (content) => content === 'goes on',
    );
    // What is behind a link is plain by its name: nothing stands there.
    if (path !== 'out/secret')
      expect(readAlarms(one.root).map(({ text }) => text)).toMatchObject([
        expect.stringContaining('does not carry here'),
      ]);
  });

  it.each(elsewhere)('%j as its own gets nothing of it', async (path) => {
    const lies = new Map<string, Lie>([
      ['agentDigests', () => ({ '': 'other', f: 'other' })],
      ['agentList', (honest) => [...(honest as unknown[]), [path, `f${'A'.repeat(22)}`]]],
    ]);
    const { one, heardSecret } = await withLiar(lies);
    // What is behind a link is plain by its name: its removal is sent, and refused there.
    await until(
      () => readStatus(one.root)?.state ?? '',
      (state) => state === 'in step' || state.includes('was refused'),
    );
    await moment();
    expect(heardSecret()).toBe(false);
    expect(readAlarms(one.root)).toHaveLength(1);
  });
});

describe('an answer that is not in order', () => {
  const verbs = ['heartbeat', 'agentEdits', 'agentDigests', 'agentList', 'agentChanges'];
  it.each(verbs)('to %s ends the session, is told, and is tried again', async (verb) => {
    const lies = new Map<string, Lie>([[verb, () => ({ admin: 7, epoch: 'y' })]]);
    // So that names are listed.
    if (verb === 'agentList') lies.set('agentDigests', () => ({ other: 'digest' }));
    const { one, two, logins, failed } = await withLiar(lies);
    await until(
      () => readStatus(one.root)?.state,
      (state) => state === 'An answer of the other server is not in order.',
    );
    await until(logins, (count) => count > 1);
    expect(failed()).toBeUndefined();
    lies.clear();
    await inStep(one);
    expect(tree(two)).toMatchObject({ 'f/a': 'shared' });
  });

  it('to a message of changes may not be short of one', async () => {
    const lies = new Map<string, Lie>([['agentChanges', (honest) => (honest as unknown[]).slice(1)]]);
    const { one, logins, failed } = await withLiar(lies);
    await until(logins, (count) => count > 1);
    expect(failed()).toBeUndefined();
    lies.clear();
    await inStep(one);
  });

  const name = fc.oneof(
    fc.constantFrom(
      ...elsewhere,
      'f',
      'f/a',
      'out',
      'x',
      '__proto__',
      '..',
      'd/'.repeat(3000),
      `${'d/'.repeat(100_000)}x`,
    ),
    fc.string({ unit: 'binary', maxLength: 12 }),
  );
  const sign = fc.constantFrom(`f${'A'.repeat(22)}`, `d${'A'.repeat(22)}`, 'f~1:2:3:4', '', '__proto__');
  const answers: Record<string, fc.Arbitrary<unknown>> = {
    agentEdits: fc.dictionary(
      fc.constantFrom('admin', 'other', '__proto__'),
      fc.array(fc.tuple(name, fc.option(sign)), { maxLength: 4 }),
    ),
    agentDigests: fc.dictionary(name, sign),
    agentList: fc.array(fc.tuple(name, sign), { maxLength: 4 }),
    agentAgree: fc.constant(null),
    agentChanges: fc.array(fc.oneof(fc.boolean(), fc.record({ code: fc.string(), message: fc.string() }))),
  };
  it.each(Object.keys(answers))(
    '%s: whatever is answered, nothing leaves but what is carried, and the agent goes on',
    async (verb) => {
      const lie = fc.oneof(
        { weight: 3, arbitrary: answers[verb] ?? fc.anything() },
        { weight: 1, arbitrary: fc.jsonValue() },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(lie, { minLength: 1, maxLength: 6 }), async (told) => {
          let next = 0;
          const lies = new Map<string, Lie>([
            [
              verb,
              () => {
                const answer = told[next % told.length];
                next += 1;
                return answer ?? null;
              },
            ],
          ]);
          if (verb === 'agentList') lies.set('agentDigests', () => ({ '': 'other', f: 'other' }));
          const { one, two, heardSecret, failed } = await withLiar(lies);
          await until(
            () => next,
            (count) => count > 0,
          );
          await moment(40);
          lies.clear();
          // An answer of before may have told of anything: an honest comparison puts it right.
          write(one, 'f/b', 'goes on');
          await until(
            () => tree(two)['f/b'],
            (content) => content === 'goes on',
          );
          expect(failed()).toBeUndefined();
          expect(heardSecret()).toBe(false);
          for (const end of endings.splice(0)) await end();
        }),
        { numRuns: 12 },
      );
    },
    120_000,
  );
});
