import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { runAgent } from '../../src/agent/run-agent.ts';
import { openAgent } from '../../src/agent/socket.ts';
import { keepWanted } from '../../src/agent/wanted.ts';
import { writeState } from '../../src/host/writing.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { paths } from '../../src/pair/state.ts';
import { profileSchema } from '../../src/profile/schema.ts';
import { fullFor, idleAgent } from './faults.ts';
import { profile, twoServers, verbsOf, write } from './two-servers.ts';
import { until } from './until.ts';

const setOf = (more: object) => ({
  ...profile,
  dataSets: v.parse(profileSchema.entries.dataSets, [{ name: 'admin', path: '/admin', ...more }]),
});
const alarms = /alarms/;

describe('a disk without room for an alarm', () => {
  it('does not end what keeps wanted state', async () => {
    const { host, makeRoom } = fullFor(twoServers().one, alarms);
    const aborter = new AbortController();
    const lines: string[] = [];
    let applied = 0;
    const agent = idleAgent(host, setOf({ wanted: { apply: ['/apply'], report: ['/report'] } }), {
      signal: aborter.signal,
      log: (line) => void lines.push(line),
      run: async () => {
        applied += 1;
        return { stdout: '', stderr: 'no such user', exitCode: 3 };
      },
      timing: { wantedFirst: 1, wanted: 1 },
    });
    const ended = keepWanted(agent, aborter.signal);
    const isTold = (): boolean => lines.some((line) => line.startsWith('the alarms cannot be written: ENOSPC'));
    // It ends early where it fails.
    await Promise.race([until(isTold, (told) => told), ended]);
    makeRoom();
    agent.wantedBells.get('admin')?.ring();
    await until(
      () => readAlarms(host.root),
      (found) => found.length === 1,
    );
    expect(applied).toBeGreaterThan(1);
    aborter.abort();
    await ended;
  });

  it('does not end what looks for a stall, which is told as soon as there is room', async () => {
    const { host, makeRoom } = fullFor(twoServers().one, alarms);
    const agent = idleAgent(host, profile);
    agent.tell({ role: 'primary', epoch: 1, state: 'no connection' });
    agent.waitingSince('admin', performance.now());
    agent.lookForStall(0);
    expect(readAlarms(host.root)).toEqual([]);
    makeRoom();
    agent.lookForStall(0);
    expect(readAlarms(host.root)).toMatchObject([{ text: expect.stringContaining('stalled') }]);
  });

  it('has the alarm of a data set when there is room again', () => {
    const { host, makeRoom } = fullFor(twoServers().one, alarms);
    const agent = idleAgent(host, profile);
    const tell = (): void => agent.tellSet('admin', { state: 'stopped', why: 'it is away' }, 0);
    expect(tell).toThrow('ENOSPC');
    makeRoom();
    tell();
    tell();
    expect(readAlarms(host.root)).toMatchObject([{ text: expect.stringContaining('it is away') }]);
  });
});

describe('an agent that stops', () => {
  it('lets an import come to its end although its index cannot be written', async () => {
    const { two } = twoServers();
    write(two, 'a', '1');
    writeState(two.root, `${paths.sync}/admin.unapplied`, 'received');
    const order: string[] = [];
    const lines: string[] = [];
    const aborter = new AbortController();
    const ended = runAgent(two, setOf({ apply: { run: ['/import'] } }), {
      signal: aborter.signal,
      log: (line) => void lines.push(line),
      login: () => new Promise(() => {}),
      run: async () => {
        order.push('import begins');
        await sleep(200);
        order.push('import ends');
        return { stdout: '', stderr: '', exitCode: 0 };
      },
    }).finally(() => order.push('agent ends'));
    const session = await until(
      () => openAgent(two.root).catch(() => undefined),
      (opened) => opened !== undefined,
    );
    const call = (verb: string, more: object = {}): Promise<unknown> =>
      session?.call(verb, { epoch: 1, ...more }).catch(() => undefined) ?? Promise.resolve();
    await call('agentOpen');
    // The name of the index is taken.
    fs.mkdirSync(`${two.root.prefix}${paths.sync}/admin.index`);
    await call('agentDigests', { set: 'admin' });
    await call('agentList', { set: 'admin', folders: [''] });
    await call('agentAgree', { set: 'admin', folders: [''], names: ['a'] });
    const applied = call('agentApply', { set: 'admin' });
    await until(
      () => order.length,
      (count) => count > 0,
    );
    aborter.abort();
    await ended;
    await applied;
    expect(order).toEqual(['import begins', 'import ends', 'agent ends']);
    expect(lines).toContainEqual(expect.stringMatching(/^the index of admin cannot be written: EISDIR/));
  });
});

it('a receiver without room for its index says so as any file that it cannot write', async () => {
  const { two } = twoServers();
  const { host } = fullFor(two, /admin\.folder/);
  const { verbs } = verbsOf(host);
  await verbs['agentOpen']?.({ epoch: 1 });
  await expect(verbs['agentAgree']?.({ epoch: 1, set: 'admin', folders: [], names: [] })).rejects.toMatchObject({
    code: 'sync-write-failed',
    message: expect.stringContaining('ENOSPC'),
    remedy: expect.stringContaining('free space'),
  });
});
