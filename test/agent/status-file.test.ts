// What the agent writes of itself for those who do not ask it: they must be able to tell a late one from a dead one.
import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { AgentOptions } from '../../src/agent/agent.ts';
import type { Host } from '../../src/host/system.ts';
import { loginThrough } from './faults.ts';
import { drained, setState, startAgent } from './running-agents.ts';
import { twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

/** The value of a metric in the file of one server. */
function metric({ root }: Host, name: string): number {
  const text = fs.readFileSync(join(root.prefix, 'run/cmsadm/metrics.prom'), 'utf8');
  return Number(new RegExp(`^cmsadm_sync_${name}(?:{.*})? (.*)$`, 'm').exec(text)?.[1]);
}
const written = (host: Host): number => metric(host, 'status_timestamp_seconds');

/** A pair in step, whose secondary answers no changes from when that is said until it is over. */
async function pairInStep(timing: AgentOptions['timing']) {
  const { one, two } = twoServers();
  write(one, 'a', 'x');
  const other = { hangs: false };
  // Not for ever: the agents end after the test.
  const hang = async (): Promise<void> => {
    for (const end = Date.now() + 10_000; other.hangs && Date.now() < end; ) await sleep(20);
  };
  startAgent(two, one);
  const through = loginThrough(two, async (verb, call) => {
    if (verb === 'agentChanges') await hang();
    return call();
  });
  startAgent(one, two, {}, undefined, timing, through);
  await drained(one);
  await setState(one, 'in step');
  // What was told last is written a moment later.
  await sleep(600);
  return { one, other };
}

it('the age of what hangs grows', async () => {
  const { one, other } = await pairInStep({ stall: 400 });
  other.hangs = true;
  write(one, 'b', 'waits');
  await until(
    () => metric(one, 'set_lag_seconds'),
    (age) => age > 2,
  );
  expect(metric(one, 'set_queue')).toBe(1);
  other.hangs = false;
});

it('the status of an agent with nothing to do is written now and then', async () => {
  const { one } = await pairInStep({ stall: 400, sign: 700 });
  const before = written(one);
  await until(
    () => written(one),
    (at) => at >= before + 0.7,
  );
});

it('and is not written all the time', async () => {
  const { one } = await pairInStep({ stall: 400 });
  const before = written(one);
  await sleep(1_500);
  expect(written(one)).toBe(before);
});
