import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { receiveVerbs } from '../../src/agent/receive.ts';
import { runAgent } from '../../src/agent/run-agent.ts';
import { callAgent } from '../../src/agent/socket.ts';
import type { Session } from '../../src/host/session.ts';
import type { Host } from '../../src/host/system.ts';
import { paths, readLink } from '../../src/pair/state.ts';
import { answering, idleAgent, loginThrough } from './faults.ts';
import { drained, setState, startAgent } from './running-agents.ts';
import { profile, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

/** A server that counts how often its agent asks whether it is paused: once or a few times in each round of its loop. */
function counting(host: Host): { readonly host: Host; rounds(): number } {
  let count = 0;
  const readFileSync = (path: string, encoding: 'latin1'): string => {
    if (path.endsWith('paused.json')) count += 1;
    return fs.readFileSync(path, encoding);
  };
  return { host: { ...host, root: { ...host.root, disk: { ...fs, readFileSync } } }, rounds: () => count };
}

/** How much a count grows in half a second. */
async function inHalfASecond(count: () => number): Promise<number> {
  const before = count();
  await sleep(500);
  return count() - before;
}

describe('the loop of the primary rests', () => {
  it('while it is paused for longer than from one look at the folders to the next', async () => {
    const { one, two } = twoServers();
    const { host, rounds } = counting(one);
    startAgent(two, one);
    startAgent(host, two, {}, undefined, { folders: 100, compare: 100, heartbeat: 1_000 });
    await drained(one);
    await callAgent(one, 'syncPause', { by: 'ops' });
    await sleep(200);
    expect(await inHalfASecond(rounds)).toBeLessThan(30);
  });

  it('while its data set is away', async () => {
    const { one, two } = twoServers();
    let calls = 0;
    startAgent(two, one);
    const login = loginThrough(two, (_verb, call) => {
      calls += 1;
      return call();
    });
    startAgent(one, two, {}, undefined, { heartbeat: 500 }, login);
    write(one, 'a', '1');
    await drained(one);
    fs.renameSync(`${one.root.prefix}/admin`, `${one.root.prefix}/away`);
    await setState(one, 'stopped');
    expect(await inHalfASecond(() => calls)).toBeLessThan(20);
  });
});

describe('memory', () => {
  it('of what was received is given back', async () => {
    const { two } = twoServers();
    const agent = idleAgent(two, profile);
    const { verbs } = receiveVerbs(agent);
    await verbs['agentOpen']?.({ epoch: 1 });
    for (let seq = 1; seq <= 50; seq += 1)
      await verbs['agentChanges']?.({ epoch: 1, set: 'admin', changes: [{ kind: 'remove', seq, path: `none${seq}` }] });
    // Each answer that holds the one before it.
    let depth = 0;
    for (let held = await agent.senders.taking; Array.isArray(held); held = held[0]?.value) depth += 1;
    expect(depth).toBeLessThan(5);
  });

  it('of a login is given back when its session is over', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage: () => void = runInNewContext('gc');
    const { one } = twoServers();
    const sessions: WeakRef<Session>[] = [];
    const agent = idleAgent(one, profile, {
      login: async () => {
        const session = answering(async () => null);
        sessions.push(new WeakRef(session));
        return session;
      },
    });
    const link = readLink(one.root);
    if (!link) throw new Error('the server has no link');
    for (let count = 0; count < 100; count += 1) await agent.login(link);
    const left = (): number => {
      collectGarbage();
      return sessions.filter((session) => session.deref() !== undefined).length;
    };
    await until(left, (count) => count < 5);
  });
});

it('an agent that meets a bug ends, so that its unit starts it again', async () => {
  const { one } = twoServers();
  const aborter = new AbortController();
  // What is made of a bug on the other server.
  const login = async (): Promise<Session> => ({
    ...answering(() => Promise.reject(new Error('on cms2: TypeError'))),
    closed: new Promise(() => {}),
  });
  const running = runAgent(one, profile, { signal: aborter.signal, log: () => {}, login });
  const ended = running.then(
    () => 'ends well',
    (error: Error) => `ends by ${error.message}`,
  );
  const how = await Promise.race([ended, sleep(5_000, 'goes on', { ref: false })]);
  aborter.abort();
  await ended;
  expect(how).toBe('ends by on cms2: TypeError');
  expect(fs.existsSync(`${one.root.prefix}${paths.agentSocket}`)).toBe(false);
});
