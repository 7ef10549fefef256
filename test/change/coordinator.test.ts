import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Change, noServices } from '../../src/change/change.ts';
import { runAlone, runChange, runLink, type Sides } from '../../src/change/coordinator.ts';
import { readJournal, unfinished } from '../../src/change/journal.ts';
import type { Server } from '../../src/change/server.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { collected } from '../rehearsal/pair.ts';
import { changeOf, changeId as id, link, serverOf, type TestHost, testHost, textAt, tree } from './test-host.ts';

const folder = tempFolder();
const newTexts = { '/etc/hosts': 'new\n', '/root/.rhosts': null, '/root/.bash_profile': 'made\n' };
const links = { local: link, peer: link };

type Verb = 'stage' | 'arm' | 'commit' | 'asked' | 'confirm' | 'putBack' | 'proveLogin';
type Where = 'local' | 'peer';
type Pair = { local: TestHost; peer: TestHost; calls: string[]; before: unknown };

let pair: Pair;
let number = 0;
beforeEach(() => {
  number += 1;
  const [local, peer] = [testHost(join(folder, `${number}-cms1`)), testHost(join(folder, `${number}-cms2`))];
  pair = { local, peer, calls: [], before: [tree(local), tree(peer)] };
});
const now = (): unknown => [tree(pair.local), tree(pair.peer)];

/** What happens at a verb: before it is carried out, after it, or in its place. */
type Twist = {
  readonly at: `${Where} ${Verb}`;
  readonly before?: () => void;
  readonly after?: () => void;
  readonly instead?: () => void;
};

/** A server of this process, of whose verbs each call is written down; logins succeed. */
function watched(where: Where, twists: readonly Twist[]): Server {
  const inner: Server = { ...serverOf(pair[where]), proveLogin: async () => {} };
  const around =
    <Args extends unknown[], Result>(verb: Verb, call: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      pair.calls.push(`${where} ${verb}`);
      const mine = twists.filter(({ at }) => at === `${where} ${verb}`);
      for (const { before, instead } of mine) (instead ?? before)?.();
      const result = await call(...args);
      for (const { after } of mine) after?.();
      return result;
    };
  return {
    ...inner,
    stage: around('stage', inner.stage),
    arm: around('arm', inner.arm),
    commit: around('commit', inner.commit),
    asked: around('asked', inner.asked),
    confirm: around('confirm', inner.confirm),
    putBack: around('putBack', inner.putBack),
    proveLogin: around('proveLogin', inner.proveLogin),
  };
}

const sides = (twists: readonly Twist[] = [], more: Partial<Change> = {}): Sides => ({
  local: { name: 'cms1', server: watched('local', twists), change: changeOf(pair.local, newTexts, more) },
  peer: { name: 'cms2', server: watched('peer', twists), change: changeOf(pair.peer, newTexts, more) },
});
const never = { requested: false };
const fail =
  (code = 'service-failed') =>
  (): void => {
    throw new CmsadmError(code, 'It did not work.', { details: ['because'], remedy: 'Mend it.', server: 'cms2' });
  };
const run = (one: Sides, stop = never): Promise<unknown> =>
  runChange(one, links, collected().report, stop).catch((error: unknown) => error);
const decisions = (): unknown[] =>
  [pair.local, pair.peer].map(({ root }) => readJournal(root, id).decision ?? 'undecided');

test('the peer is changed first and decides first; this server asks durably before, and confirms last', async () => {
  expect(await run(sides())).toEqual([]);
  expect(pair.calls).toEqual([
    ...['peer stage', 'local stage', 'peer arm', 'local arm', 'peer commit', 'local commit', 'peer arm', 'local arm'],
    ...['local proveLogin', 'peer proveLogin', 'local asked', 'peer confirm', 'local confirm'],
  ]);
  expect(readJournal(pair.local.root, id).states).toEqual(['staged', 'committing', 'committed', 'asked', 'confirmed']);
  expect(readJournal(pair.peer.root, id).states).toEqual(['staged', 'committing', 'committed', 'confirmed']);
  expect([pair.local, pair.peer].map((host) => readJournal(host.root, id).manifest.part)).toEqual([
    'coordinator',
    'peer',
  ]);
  for (const host of [pair.local, pair.peer]) expect(textAt(host, '/etc/hosts')).toBe('new\n');
});

test('the way back is armed for the slowest service, then for the time to confirm', async () => {
  await run(sides([], { services: { ...noServices, seconds: 180 }, confirmSeconds: 90 }));
  const way = `recover --way-back ${id}`;
  for (const { did } of [pair.local, pair.peer])
    expect(did).toEqual([`arm ${180 + 180 + 90 + 60} ${way}`, `arm 90 ${way}`, 'disarm']);
});

test('without anything to do nothing is called', async () => {
  const empty = { local: { ...sides().local }, peer: { ...sides().peer } };
  const none = changeOf(pair.local, {});
  expect(await run({ local: { ...empty.local, change: none }, peer: { ...empty.peer, change: { ...none } } })).toEqual(
    [],
  );
  expect(pair.calls).toEqual([]);
});

describe('whatever fails before the decision, both are as before and both are told', () => {
  test.each([
    'peer stage',
    'local stage',
    'peer arm',
    'local arm',
    'peer commit',
    'local commit',
    'local proveLogin',
    'peer proveLogin',
    'local asked',
  ] as const)('%s', async (at) => {
    const error = await run(sides([{ at, instead: fail() }]));
    expect(now()).toEqual(pair.before);
    expect(error).toMatchObject({ code: 'service-failed', exitCode: exitCodes.putBack, server: 'cms2' });
    const { details } = error instanceof CmsadmError ? error : { details: [] };
    expect(details).toContain('because');
    expect(details.filter((line) => /^cms[12]: (as before|nothing had been changed)\.$/.test(line))).toHaveLength(2);
    for (const { root } of [pair.local, pair.peer]) expect(unfinished(root)).toEqual([]);
  });

  test.each(['peer stage', 'peer commit', 'local commit'] as const)(
    '%s is done, but its answer is lost',
    async (at) => {
      const error = await run(sides([{ at, after: fail('session-lost') }]));
      expect(error).toMatchObject({ code: 'session-lost', exitCode: exitCodes.putBack });
      expect(now()).toEqual(pair.before);
    },
  );

  test('a service that does not start again here', async () => {
    const sick = testHost(join(folder, `${number}-sick`), {
      control: async (verb) => {
        if (verb === 'try-restart')
          throw new CmsadmError('service-failed', 'systemctl try-restart cms.service failed.');
      },
    });
    const before = tree(sick);
    const change = changeOf(sick, newTexts, { services: { ...noServices, restart: ['cms.service'] } });
    const error = await run({ ...sides(), local: { name: 'cms1', server: serverOf(sick), change } });
    expect(error).toMatchObject({ code: 'service-failed' });
    expect(tree(sick), 'its files are as before').toEqual(before);
    expect(tree(pair.peer)).toEqual(tree(testHost(join(folder, `${number}-fresh`))));
  });

  test('an error that nobody foresaw is passed on as it is, after both were put back', async () => {
    const bug = new TypeError('x is not a function');
    const instead = (): void => {
      throw bug;
    };
    expect(await run(sides([{ at: 'local commit', instead }]))).toBe(bug);
    expect(now()).toEqual(pair.before);
  });

  test('a peer that cannot be put back needs a person; this server is put back all the same', async () => {
    const gone = fail('session-lost');
    const error = await run(
      sides([
        { at: 'local commit', instead: fail() },
        { at: 'peer putBack', instead: gone },
      ]),
    );
    expect(error).toMatchObject({
      code: 'service-failed',
      exitCode: exitCodes.needsPerson,
      remedy: expect.stringContaining('cmsadm recover'),
      details: expect.arrayContaining([
        'cms1: as before.',
        expect.stringMatching(/^cms2: not known from here\. It puts itself back .* within 360 s/),
      ]),
    });
    expect(tree(pair.local)).toEqual(Array.isArray(pair.before) ? pair.before[0] : undefined);
    expect(unfinished(pair.peer.root)).toEqual([id]);
  });
});

describe('an interruption', () => {
  test.each(['peer stage', 'local arm', 'peer commit', 'local commit', 'peer proveLogin'] as const)(
    'at %s, before the question: both are as before, and the run leaves with 130',
    async (at) => {
      const stop = { requested: false };
      const press = (): void => {
        stop.requested = true;
      };
      const error = await run(sides([{ at, after: press }]), stop);
      expect(error).toMatchObject({ code: 'interrupted', exitCode: exitCodes.interrupted });
      expect(now()).toEqual(pair.before);
    },
  );

  test('before anything: nothing is staged', async () => {
    expect(await run(sides(), { requested: true })).toMatchObject({ exitCode: exitCodes.interrupted });
    expect(pair.calls.filter((call) => !call.endsWith('putBack'))).toEqual([]);
    expect(now()).toEqual(pair.before);
  });

  test.each(['local asked', 'peer confirm'] as const)('at %s comes too late: the change is finished', async (at) => {
    const stop = { requested: false };
    const press = (): void => {
      stop.requested = true;
    };
    expect(await run(sides([{ at, after: press }]), stop)).toEqual([]);
    expect(decisions()).toEqual(['confirmed', 'confirmed']);
  });
});

describe('after the question this server does what the peer decided', () => {
  test('the answer is lost: a person is needed, and this server waits with the change in place', async () => {
    const error = await run(sides([{ at: 'peer confirm', after: fail('session-lost') }]));
    expect(error).toMatchObject({
      code: 'needs-person',
      exitCode: exitCodes.needsPerson,
      server: 'cms2',
      remedy: expect.stringContaining('cmsadm recover'),
    });
    expect(decisions()).toEqual(['undecided', 'confirmed']);
    for (const host of [pair.local, pair.peer]) expect(textAt(host, '/etc/hosts')).toBe('new\n');
    expect(pair.calls).not.toContain('local putBack');
  });

  test('the question is lost: the same, and the peer is still free to put back', async () => {
    const error = await run(sides([{ at: 'peer confirm', instead: fail('session-lost') }]));
    expect(error).toMatchObject({ code: 'needs-person', exitCode: exitCodes.needsPerson });
    expect(decisions()).toEqual(['undecided', 'undecided']);
  });

  test('the peer has put itself back: so does this server', async () => {
    const one = sides();
    const peer = { ...one.peer.server };
    peer.confirm = async ({ id: asked }) => {
      await serverOf(pair.peer).putBack({ id: asked, by: 'itself' });
      return serverOf(pair.peer).confirm({ id: asked });
    };
    const error = await run({ ...one, peer: { ...one.peer, server: peer } });
    expect(error).toMatchObject({ code: 'put-back-already', exitCode: exitCodes.putBack });
    expect(now()).toEqual(pair.before);
    expect(decisions()).toEqual(['put-back', 'put-back']);
  });
});

describe('the link', () => {
  test('is confirmed on both once a login is proven in both directions; each side would take it back alone', async () => {
    await runLink(sides(), links, collected().report, never);
    expect(decisions()).toEqual(['confirmed', 'confirmed']);
    for (const { root } of [pair.local, pair.peer]) expect(readJournal(root, id).manifest.part).toBe('alone');
    expect(pair.calls.indexOf('peer proveLogin')).toBeLessThan(pair.calls.indexOf('peer confirm'));
  });

  test.each(['local proveLogin', 'peer proveLogin', 'peer commit'] as const)('%s fails: both as before', async (at) => {
    const made = runLink(sides([{ at, instead: fail('login-refused') }]), links, collected().report, never);
    await expect(made).rejects.toMatchObject({ code: 'login-refused', exitCode: exitCodes.putBack });
    expect(now()).toEqual(pair.before);
  });
});

describe('alone', () => {
  test('a change of one server is carried out and confirmed', async () => {
    await runAlone(sides().local, collected().report, never);
    expect(textAt(pair.local, '/etc/hosts')).toBe('new\n');
    expect(readJournal(pair.local.root, id).decision).toBe('confirmed');
  });

  test.each(['local stage', 'local arm', 'local commit'] as const)('%s fails: as before', async (at) => {
    const one = sides([{ at, instead: fail() }]).local;
    await expect(runAlone(one, collected().report, never)).rejects.toMatchObject({ exitCode: exitCodes.putBack });
    expect(now()).toEqual(pair.before);
  });
});
