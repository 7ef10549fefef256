// What the other server does not take: it makes up for no loss, and nothing is sent after it in vain.
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openLiveSet } from '../../src/agent/live-set.ts';
import { sendChanges } from '../../src/agent/pass.ts';
import { callAgent } from '../../src/agent/socket.ts';
import { CmsadmError } from '../../src/errors.ts';
import { loginThrough } from './faults.ts';
import { quietLine } from './quiet-line.ts';
import { drained, setState, startAgent } from './running-agents.ts';
import { pass, placeOf, profile, sessionWith, tree, twoServers, write } from './two-servers.ts';

describe('names that the other server refuses', () => {
  it('make up for nothing that vanishes later', async () => {
    const { one, two } = twoServers();
    for (let name = 0; name < 40; name += 1) write(one, `old/${name}`, 'old');
    await pass(one, two);
    spawnSync('mkfifo', [placeOf(two, 'taken').toString()]);
    for (let name = 0; name < 60; name += 1) write(one, `taken/${name}`, 'new');
    const session = await sessionWith(two);
    await session.call('agentOpen', { epoch: 1 });
    const [set] = profile.dataSets;
    if (!set) throw new Error('the profile has no data set');
    const live = openLiveSet(one, set, () => {});
    try {
      live.setLazy(true);
      live.tree.uncertain = true;
      const line = quietLine(session);
      const { problems } = await sendChanges(line, live, true);
      expect(problems.length).toBeGreaterThan(59);
      for (let name = 0; name < 40; name += 1) fs.rmSync(placeOf(one, `old/${name}`));
      const { held, removed } = await sendChanges(line, live, true);
      expect({ held, removed }).toEqual({ held: expect.stringContaining('40 of 41 names'), removed: 0 });
    } finally {
      live.close();
    }
  });
});

describe('a large file of which a part is refused', () => {
  it('is not read and sent to its end', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'a');
    startAgent(two, one);
    let refused = 0;
    const full = loginThrough(two, async (verb, call) => {
      if (verb !== 'agentPut') return call();
      refused += 1;
      throw new CmsadmError('sync-write-failed', 'The data set admin cannot be written: ENOSPC.');
    });
    startAgent(one, two, {}, undefined, { heartbeat: 60_000 }, full);
    await drained(one);
    const file = fs.openSync(placeOf(one, 'large'), 'w');
    fs.ftruncateSync(file, 200_000_000);
    fs.closeSync(file);
    await setState(one, 'stopped');
    // As many as are under way at once.
    expect(refused).toBeLessThan(10);
    fs.rmSync(placeOf(one, 'large'));
  });
});

it('a new version of a large file that is refused is not sent again at once', async () => {
  const { one, two } = twoServers();
  write(one, 'large', Buffer.alloc(6_000_000, 'x'));
  startAgent(two, one);
  let transfers = 0;
  let isRefused = false;
  const refusing = loginThrough(two, async (verb, call) => {
    if (verb !== 'agentPut' || !isRefused) return call();
    transfers += 1;
    return { code: 'account-unknown', message: 'Nobody of that name.' };
  });
  startAgent(one, two, {}, undefined, { heartbeat: 60_000 }, refusing);
  await drained(one);
  isRefused = true;
  write(one, 'large', Buffer.alloc(6_000_000, 'y'));
  await setState(one, 'stopped');
  const parts = transfers;
  await sleep(300);
  expect(transfers).toBe(parts);
});

it('a release whose full pass is not whole says so', async () => {
  const { one, two } = twoServers();
  for (let name = 0; name < 40; name += 1) write(one, `old/${name}`, 'old');
  startAgent(two, one);
  let isFull = false;
  const full = loginThrough(two, (verb, call) => {
    if (!isFull || verb !== 'agentChanges') return call();
    return Promise.reject(new CmsadmError('sync-write-failed', 'The data set admin cannot be written: ENOSPC.'));
  });
  startAgent(one, two, {}, undefined, {}, full);
  await drained(one);
  for (let name = 0; name < 40; name += 1) fs.rmSync(placeOf(one, `old/${name}`));
  await setState(one, 'held');
  isFull = true;
  await expect(callAgent(one, 'syncRelease', { set: 'admin' })).rejects.toMatchObject({
    code: 'not-in-step',
    details: [expect.stringContaining('ENOSPC')],
  });
  isFull = false;
  await setState(one, 'held');
  await callAgent(one, 'syncRelease', { set: 'admin' });
  expect(tree(two)).toEqual({ old: '/' });
});
