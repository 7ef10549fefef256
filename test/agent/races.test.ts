import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { readConflicts } from '../../src/agent/conflicts.ts';
import { type LiveSet, openLiveSet } from '../../src/agent/live-set.ts';
import { difference } from '../../src/agent/pass.ts';
import type { RunProgram } from '../../src/agent/program.ts';
import { receiveVerbs } from '../../src/agent/receive.ts';
import { runAgent } from '../../src/agent/run-agent.ts';
import { callAgent, openAgent } from '../../src/agent/socket.ts';
import { isBulkOpen } from '../../src/agent/take.ts';
import { CmsadmError } from '../../src/errors.ts';
import { sha256 } from '../../src/host/root.ts';
import type { Host } from '../../src/host/system.ts';
import { writeState } from '../../src/host/writing.ts';
import { paths } from '../../src/pair/state.ts';
import { profileSchema } from '../../src/profile/schema.ts';
import { answering, idleAgent, loginThrough } from './faults.ts';
import { drained, setState, startAgent } from './running-agents.ts';
import { cms2, pairAt, placeOf, profile, savePair, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const done = { stdout: '', stderr: '', exitCode: 0 };
const setsOf = (...sets: object[]) => ({ dataSets: v.parse(profileSchema.entries.dataSets, sets) });

/** Shut at first; says whether somebody waits before it. */
function makeGate() {
  let isAwaited = false;
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const pass = (): Promise<void> => {
    isAwaited = true;
    return opened;
  };
  const awaited = (): Promise<boolean> =>
    until(
      () => isAwaited,
      (now) => now,
    );
  return { pass, awaited, open };
}

/** Two agents in step, of which the first waits before each call of one verb as soon as there is a gate. */
async function inStepBefore(verb: string) {
  const { one, two } = twoServers();
  write(one, 'a', 'first');
  const gates: ReturnType<typeof makeGate>[] = [];
  startAgent(two, one);
  const login = loginThrough(two, async (called, call) => {
    if (called === verb) await gates[0]?.pass();
    return call();
  });
  startAgent(one, two, {}, undefined, {}, login);
  await drained(one);
  await setState(one, 'in step');
  const shut = (): ReturnType<typeof makeGate> => {
    const gate = makeGate();
    gates.push(gate);
    return gate;
  };
  return { one, two, shut };
}

/** The data set of the profile, watched by nobody else. */
function liveSetOf(host: Host): LiveSet {
  const [set] = profile.dataSets;
  if (!set) throw new Error('the profile has no data set');
  return openLiveSet(host, set, () => {});
}
const dirty = (live: LiveSet): Promise<boolean> =>
  until(
    () => live.isDirty(),
    (now) => now,
  );

describe('a difference that fails', () => {
  it('leaves to be sent what events told of', async () => {
    const { one } = twoServers();
    const live = liveSetOf(one);
    try {
      await live.lookAll();
      write(one, 'new', '1');
      await dirty(live);
      const session = answering(() => Promise.reject(new CmsadmError('data-set-missing', 'It is away there.')));
      const line = { session, epoch: 1, next: () => 0, acknowledged: () => {}, brought: () => {}, over: () => {} };
      await expect(difference(line, live)).rejects.toMatchObject({ code: 'data-set-missing' });
      await sleep(50);
      expect(live.isDirty()).toBe(true);
    } finally {
      live.close();
    }
  });

  it('does not hold up what changed at that time', async () => {
    const { one, two, shut } = await inStepBefore('heartbeat');
    const gate = shut();
    await gate.awaited();
    write(one, 'a', 'second');
    fs.renameSync(`${two.root.prefix}/admin`, `${two.root.prefix}/away`);
    const told = callAgent(one, 'syncDiff', {}).catch((error: unknown) => error);
    await sleep(50);
    gate.open();
    expect(await told).toMatchObject({ code: 'data-set-missing' });
    fs.renameSync(`${two.root.prefix}/away`, `${two.root.prefix}/admin`);
    await until(
      () => tree(two),
      (found) => found['a'] === 'second',
    );
  });
});

describe('an edit on the secondary', () => {
  it('is no version that both agreed on where a full pass is on its way', async () => {
    const { one, two, shut } = await inStepBefore('agentAgree');
    const gate = shut();
    const passed = callAgent(one, 'syncNow');
    await gate.awaited();
    write(two, 'a', 'edited there');
    await sleep(100); // noticed
    gate.open();
    await passed;
    await until(
      () => tree(two),
      (found) => found['a'] === 'first',
    );
    expect(await callAgent(two, 'syncConflicts')).toMatchObject([{ path: 'a' }]);
  });

  it('is a conflict also where its file is read at that moment', async () => {
    const { two } = twoServers();
    const { verbs } = receiveVerbs(idleAgent(two, profile));
    const put = (seq: number, content: string): Promise<unknown> => {
      const file = { type: 'file', path: 'big', owner: 'root', group: 'root', mode: 0o640 };
      const entry = { ...file, mtimeMs: 1_700_000_000_000 + seq, size: content.length, sha256: sha256(content) };
      const changes = [{ kind: 'put', seq, entry, data: Buffer.from(content).toString('base64') }];
      return verbs['agentChanges']?.({ epoch: 1, set: 'admin', changes }) ?? Promise.resolve();
    };
    await verbs['agentOpen']?.({ epoch: 1 });
    await put(1, 'first');
    // Somebody edits it, and goes on while it is read.
    const place = `${two.root.prefix}/admin/big`;
    fs.truncateSync(place, 20_000_000);
    const isOpen = (): boolean =>
      fs.readdirSync('/proc/self/fd').some((handle) => {
        try {
          return fs.readlinkSync(`/proc/self/fd/${handle}`) === fs.realpathSync(place);
        } catch {
          return false; // that of this very look
        }
      });
    let isTaken = false;
    const taken = put(2, 'second').finally(() => {
      isTaken = true;
    });
    while (!isOpen() && !isTaken) await new Promise((resolve) => setImmediate(resolve));
    fs.appendFileSync(place, 'my line\n');
    await taken;
    expect(readConflicts(two)).toMatchObject([{ path: 'big' }]);
  });
});

describe('folders that come and go', () => {
  it('are watched when they are made anew, whatever their inodes', async () => {
    const { one } = twoServers();
    write(one, 'd/a', '1');
    const live = liveSetOf(one);
    /** Looks until no event comes any more. */
    const quiet = (): Promise<boolean> =>
      until(
        async () => {
          await live.look();
          await sleep(50);
          return live.isDirty();
        },
        (now) => !now,
      );
    try {
      await live.lookAll();
      await quiet();
      fs.rmSync(placeOf(one, 'd'), { recursive: true });
      write(one, 'd/a', '2');
      await dirty(live);
      await quiet();
      write(one, 'd/a', '3');
      await dirty(live);
    } finally {
      live.close();
    }
  });

  it('lose nothing that is written into them', async () => {
    const { one, two } = twoServers();
    startAgent(two, one);
    startAgent(one, two);
    await drained(one);
    const across = (): Promise<unknown> =>
      until(
        () => [tree(one), tree(two)].map((found) => JSON.stringify(Object.entries(found).sort())),
        ([here, there]) => here === there,
      );
    for (let round = 0; round < 60; round += 1) {
      const folder = `d${round % 3}`;
      fs.rmSync(placeOf(one, folder), { recursive: true, force: true });
      write(one, `${folder}/e/f`, `${round}`);
      await sleep(round % 7);
      write(one, `${folder}/e/f`, `${round} again`);
      await sleep(round % 5);
    }
    await across();
    for (const folder of ['d0', 'd1', 'd2']) write(one, `${folder}/e/f`, `last of ${folder}`);
    await across();
  });
});

it('rsync is not let in for a session that was replaced while it asked', async () => {
  const { two } = twoServers();
  const host: Host = { ...two, system: { ...two.system, real: true } };
  const agent = idleAgent(host, profile, { run: async () => done });
  const [first, second] = [receiveVerbs(agent), receiveVerbs(agent)];
  await first.verbs['agentOpen']?.({ epoch: 1 });
  const asked = first.verbs['agentBulk']?.({ epoch: 1, set: 'admin' }).catch(() => false);
  const replaced = second.verbs['agentOpen']?.({ epoch: 1 });
  expect(await asked).toBe(false);
  await replaced;
  first.end();
  expect(agent.senders.inBulk).toBe(false);
  expect(fs.existsSync(`${two.root.prefix}${paths.bulkConfig}`)).toBe(false);
});

it('rsync is let out where its disk is not mounted any more', async () => {
  const { two } = twoServers();
  const agent = idleAgent(two, profile);
  const { verbs } = receiveVerbs(agent);
  await verbs['agentOpen']?.({ epoch: 1 });
  await verbs['agentAgree']?.({ epoch: 1, set: 'admin', folders: [], names: [] });
  agent.senders.inBulk = true;
  writeState(two.root, paths.bulkConfig, 'let in');
  const folder = placeOf(two, '').toString().slice(0, -1);
  fs.renameSync(folder, `${folder}.disk`);
  fs.mkdirSync(folder);
  await expect(verbs['agentBulkEnd']?.({ epoch: 1, set: 'admin' })).rejects.toMatchObject({ code: 'folder-other' });
  expect([agent.senders.inBulk, isBulkOpen(agent)]).toEqual([false, false]);
});

it('a hold for a restore waits for an import that is owed', async () => {
  const { one, two } = twoServers();
  writeState(one.root, `${paths.sync}/admin.unapplied`, 'received');
  const order: string[] = [];
  const run: RunProgram = async () => {
    order.push('import begins');
    await sleep(200);
    order.push('import ends');
    return done;
  };
  startAgent(one, two, setsOf({ name: 'admin', path: '/admin', apply: { run: ['/import'] } }), run);
  await until(
    () => order.length,
    (count) => count > 0,
  );
  await callAgent(one, 'syncHold', { tag: 'r1', by: 'ops' });
  order.push('held');
  expect(order).toEqual(['import begins', 'import ends', 'held']);
});

it('an agent that stops begins nothing of what waits in a session', async () => {
  const { two } = twoServers();
  fs.mkdirSync(`${two.root.prefix}/other`);
  for (const name of ['admin', 'other']) writeState(two.root, `${paths.sync}/${name}.unapplied`, 'received');
  const sets = ['admin', 'other'].map((name) => ({ name, path: `/${name}`, apply: { run: [`/${name}`] } }));
  const order: string[] = [];
  const aborter = new AbortController();
  const ended = runAgent(
    two,
    { ...profile, ...setsOf(...sets) },
    {
      signal: aborter.signal,
      log: () => {},
      login: () => new Promise(() => {}),
      run: async ([program = '']) => {
        order.push(`${program} begins`);
        await sleep(100);
        order.push(`${program} ends`);
        return done;
      },
    },
  );
  const session = await until(
    () => openAgent(two.root).catch(() => undefined),
    (opened) => opened !== undefined,
  );
  const call = (verb: string, set: object = {}): Promise<unknown> =>
    session?.call(verb, { epoch: 1, ...set }).catch(() => undefined) ?? Promise.resolve();
  const calls = [call('agentOpen'), ...sets.map(({ name }) => call('agentApply', { set: name }))];
  await until(
    () => order.length,
    (count) => count > 0,
  );
  aborter.abort();
  await ended;
  await Promise.all(calls);
  await sleep(150);
  expect(order).toEqual(['/admin begins', '/admin ends']);
});

it('what is rendered for a new role while what came is applied is applied as well', async () => {
  const { one, two } = twoServers();
  const rendered = [{ from: 'link.in', to: 'link.conf' }];
  const own = setsOf({ name: 'admin', path: '/admin', rendered, apply: { run: ['/reload'], seconds: 60 } });
  write(one, 'link.in', 'I am the @{role}');
  let gate: ReturnType<typeof makeGate> | undefined;
  const seen: (string | undefined)[] = [];
  const reload: RunProgram = async () => {
    seen.push(tree(two)['link.conf']);
    await gate?.pass();
    return done;
  };
  startAgent(two, one, own, reload);
  const stopOne = startAgent(one, two, own);
  await drained(one);
  gate = makeGate();
  write(one, 'a', 'new');
  await gate.awaited();
  const stopped = stopOne();
  savePair(two, pairAt(2, cms2));
  await until(
    () => tree(two)['link.conf'],
    (text) => text === 'I am the primary',
  );
  gate.open();
  await stopped;
  await until(
    () => seen.at(-1),
    (text) => text === 'I am the primary',
  );
});

it('wanted state is applied although a pause has cut off a full pass', async () => {
  const { one, two } = twoServers();
  const own = setsOf({ name: 'admin', path: '/admin', wanted: { apply: ['/apply'], report: ['/report'] } });
  let applied = 0;
  const run: RunProgram = async () => {
    applied += 1;
    return done;
  };
  let isCut = false;
  const login = loginThrough(two, async (verb, call) => {
    if (verb !== 'agentDigests' || isCut) return call();
    isCut = true;
    await callAgent(one, 'syncPause', { by: 'ops' });
    throw new CmsadmError('session-lost', 'It was cut off.');
  });
  startAgent(two, one, own);
  startAgent(one, two, own, run, { wantedFirst: 300, wanted: 10 }, login);
  await until(
    () => applied,
    (count) => count > 0,
  );
  expect(isCut).toBe(true);
});

it('an old primary that comes back has no change of its own where only a stamp is new', async () => {
  const { one, two } = twoServers();
  for (const name of ['a', 'b']) write(one, name, 'first');
  const stops = [startAgent(two, one), startAgent(one, two)];
  await drained(one);
  await setState(one, 'in step');
  for (const stop of stops.reverse()) await stop();
  // The other server takes over, and removes a file.
  savePair(two, pairAt(2, cms2));
  fs.rmSync(placeOf(two, 'a'));
  // Here it had a second name for a while, as a backup gives it one: its stamp is new, and nothing else.
  fs.linkSync(placeOf(one, 'a'), `${one.root.prefix}/backup`);
  fs.rmSync(`${one.root.prefix}/backup`);
  startAgent(two, one);
  startAgent(one, two);
  await until(
    () => tree(one),
    (found) => found['a'] === undefined,
  );
  expect(tree(one)).toEqual({ b: 'first' });
  expect(fs.existsSync(`${one.root.prefix}${paths.sync}/admin.undecided`)).toBe(false);
});
