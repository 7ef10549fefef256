// What a reversal asks before the roles change: nothing unanswered, and nothing in the way of any data set.
import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { callAgent, openAgent } from '../../src/agent/socket.ts';
import { CmsadmError } from '../../src/errors.ts';
import type { Host } from '../../src/host/system.ts';
import { loginThrough } from './faults.ts';
import { drained, setState, startAgent, status } from './running-agents.ts';
import { placeOf, tree, twoServers, write } from './two-servers.ts';
import { bothSets, inOthers, textIn, withOthers } from './two-sets.ts';
import { until } from './until.ts';

/** A pair in step; on the secondary a folder cannot go, for it holds what the data set does not carry. */
async function inStep(): Promise<{ one: Host; two: Host }> {
  const { one, two } = twoServers();
  fs.mkdirSync(placeOf(one, 'd'));
  startAgent(two, one);
  startAgent(one, two);
  await drained(one);
  write(two, 'd/own.log', 'of the secondary alone');
  return { one, two };
}

const drain = (host: Host): Promise<unknown> => callAgent(host, 'syncDrain', { seconds: 5 });

describe('a change that the secondary refuses', () => {
  it('is in the way of a drain, which tells it, until it is undone', async () => {
    const { one, two } = await inStep();
    fs.rmdirSync(placeOf(one, 'd'));
    write(one, 'd', 'a file now');
    await setState(one, 'stopped');
    await expect(drain(one)).rejects.toMatchObject({
      code: 'not-in-step',
      details: [expect.stringContaining('a folder stands there')],
    });
    // Undone while nothing is sent: then there is nothing left to send.
    await callAgent(one, 'syncPause', { by: 'test' });
    await until(
      () => status(one),
      ({ state }) => state.startsWith('paused'),
    );
    fs.rmSync(placeOf(one, 'd'));
    fs.mkdirSync(placeOf(one, 'd'));
    await callAgent(one, 'syncResume');
    await setState(one, 'in step');
    const { seq, acked } = (await drain(one)) as { seq: number; acked: number };
    expect(seq).toBe(acked);
    expect(await status(one)).toMatchObject({ seq, acked, queue: 0 });
    expect(tree(two)).toEqual({ d: '/', 'd/own.log': 'of the secondary alone' });
  });
});

describe('a change whose answer was lost with its session', () => {
  it('is in the way of nothing once both were compared', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'x');
    startAgent(two, one);
    let losses = 1;
    startAgent(one, two, {}, undefined, {}, async () => {
      const session = await openAgent(two.root);
      const call: typeof session.call = async (verb, args) => {
        const answer = await session.call(verb, args);
        if (verb !== 'agentChanges' || losses === 0) return answer;
        losses -= 1;
        throw new CmsadmError('session-lost', 'The session was lost.');
      };
      return { ...session, call };
    });
    await until(
      () => losses,
      (left) => left === 0,
    );
    await setState(one, 'in step');
    expect(await drain(one)).toMatchObject({ seq: 1, acked: 1 });
    expect(tree(two)).toEqual({ a: 'x' });
  });
});

describe('two data sets of which one takes long', () => {
  /** A pair in step; from then on a certain call takes its time, a few times. */
  async function slowPair(verb: string) {
    const { one, two } = withOthers();
    let slow: () => void = () => {};
    let left = 0;
    let calls = 0;
    // After a look at everything the second one is applied, whatever was sent.
    const [first, second] = bothSets.dataSets;
    if (!first || !second) throw new Error('two data sets are wanted');
    const sets = { dataSets: [first, { ...second, apply: { run: ['/apply'], seconds: 60 } }] };
    startAgent(two, one, sets);
    const login = loginThrough(two, async (called, call) => {
      const answer = await call();
      if (called === verb) calls += 1;
      if (called === verb && left > 0) {
        left -= 1;
        slow();
        await sleep(700);
      }
      return answer;
    });
    startAgent(one, two, sets, undefined, {}, login);
    await drained(one);
    const slowIs = (times = 1): Promise<void> =>
      new Promise((resolve) => {
        left = times;
        slow = resolve;
      });
    return { one, two, slowIs, count: () => calls };
  }

  it('are drained only when what changed in the first one meanwhile is across', async () => {
    const { one, two, slowIs } = await slowPair('agentApply');
    const isSlow = slowIs();
    const draining = drain(one);
    await isSlow;
    write(one, 'f', 'the change of an operator');
    await draining;
    expect(tree(two)).toEqual({ f: 'the change of an operator' });
  });

  it('are drained although the second one is written all the time', async () => {
    const { one, slowIs, count } = await slowPair('agentApply');
    const before = count();
    const isSlow = slowIs(20);
    const draining = drain(one);
    await isSlow;
    const writing = setInterval(() => fs.writeFileSync(inOthers(one, 'x'), `${performance.now()}`), 2);
    await draining;
    clearInterval(writing);
    // Once as a whole, and once for what came meanwhile; the answer takes a moment, in which the loop may go on.
    expect([2, 3]).toContain(count() - before);
  });

  it('are not drained on where a pause is answered in between', async () => {
    const { one, two, slowIs } = await slowPair('agentApply');
    const isSlow = slowIs();
    const draining = expect(drain(one)).rejects.toMatchObject({ code: 'sync-paused' });
    await isSlow;
    await callAgent(one, 'syncPause', { by: 'test' });
    write(one, 'after', 'the pause');
    await draining;
    expect(tree(two)).toEqual({});
  });

  it('are not both sent to where a pause is answered in between', async () => {
    const { one, two, slowIs } = await slowPair('agentDigests');
    const isSlow = slowIs();
    const pass = callAgent(one, 'syncNow');
    const passed = expect(pass).rejects.toMatchObject({ code: 'sync-paused' });
    await isSlow;
    await callAgent(one, 'syncPause', { by: 'test' });
    fs.writeFileSync(inOthers(one, 'after'), 'the pause');
    await passed;
    await sleep(100);
    expect(textIn(inOthers(two, 'after'))).toBeUndefined();
    await callAgent(one, 'syncResume');
    await drained(one);
    expect(textIn(inOthers(two, 'after'))).toBe('the pause');
  });

  it('are in step only when both were compared', async () => {
    const { one, two } = withOthers();
    write(one, 'f', 'x');
    startAgent(two, one, bothSets);
    let compared = 0;
    let goOn: () => void = () => {};
    const second = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const login = loginThrough(two, async (verb, call) => {
      if (verb === 'agentDigests') compared += 1;
      if (verb === 'agentDigests' && compared === 2) await second;
      return call();
    });
    startAgent(one, two, bothSets, undefined, {}, login);
    await until(
      () => compared,
      (count) => count === 2,
    );
    expect((await status(one)).state).not.toBe('in step');
    goOn();
    await until(
      () => status(one),
      ({ state }) => state === 'in step',
    );
  });
});
