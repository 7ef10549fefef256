import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { callAgent, openAgent } from '../../src/agent/socket.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { paths } from '../../src/pair/state.ts';
import { drained, startAgent, status } from './running-agents.ts';
import { tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

it('a full pass that is cut off by the loss of its session is a line, too', async () => {
  const { one, two } = twoServers();
  write(one, 'a', 'x');
  startAgent(two, one);
  let sessions = 0;
  startAgent(one, two, {}, undefined, {}, async () => {
    const session = await openAgent(two.root);
    sessions += 1;
    const isFirst = sessions === 1;
    return {
      ...session,
      call: (verb, args) => {
        if (isFirst && verb === 'agentChanges') session.close();
        return session.call(verb, args);
      },
    };
  });
  await drained(one);
  const lines = fs.readFileSync(join(one.root.prefix, paths.syncLog), 'utf8').trim().split('\n');
  expect(lines).toEqual([
    expect.stringMatching(/ full pass: failed: cut off: ./),
    expect.stringMatching(/ full pass: ok: admin 1 sent/),
  ]);
});

describe('a log of full passes that cannot be written', () => {
  it('ends nothing, and is one alarm until it can be', async () => {
    const { one, two } = twoServers();
    const log = join(one.root.prefix, paths.syncLog);
    fs.mkdirSync(join(log, '..'), { recursive: true });
    fs.symlinkSync('/dev/full', log);
    write(one, 'a', 'x');
    startAgent(two, one);
    startAgent(one, two);
    await drained(one);
    const { lastPass } = await status(one);
    expect(lastPass).not.toBeNull();
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: true }]);
    write(one, 'b', 'in real time');
    await until(
      () => tree(two),
      (found) => 'b' in found,
    );
    expect((await status(one)).state).toBe('in step');
    expect(readAlarms(one.root).map(({ text }) => text)).toEqual([
      'The log of full passes cannot be written: ENOSPC. Admin-sync goes on; make room below /var/log/cmsadm.',
    ]);
    fs.rmSync(log);
    await callAgent(one, 'syncNow');
    expect(readAlarms(one.root)).toEqual([]);
    expect(fs.readFileSync(log, 'utf8')).toContain('full pass: ok: admin');
  });
});
