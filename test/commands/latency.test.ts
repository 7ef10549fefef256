import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { latencyOf } from '../../src/commands/setup-preflight.ts';
import { openSession, serveSession } from '../../src/host/session.ts';

/** A line on which each word takes so many milliseconds; now and then a word takes much longer. */
function slowLine(milliseconds: (word: number) => number): { near: PassThrough; far: PassThrough } {
  const near = new PassThrough();
  const far = new PassThrough();
  let words = 0;
  let arrived = Promise.resolve();
  near.on('data', (data: Buffer) => {
    words += 1;
    const wait = milliseconds(words);
    arrived = arrived.then(() => sleep(wait)).then(() => void far.write(data));
  });
  near.on('end', () => far.end());
  return { near, far };
}

it('the latency is the median of several messages there and back, whatever one of them met', async () => {
  const there = slowLine((word) => (word === 2 ? 400 : 20));
  const back = slowLine(() => 20);
  void serveSession(there.far, back.near, { ping: async () => 'pong' }, 'test').then(() => back.near.end());
  const session = await openSession(back.far, there.near, 'peer', () => there.near.end());
  const latency = await latencyOf(session);
  expect(latency).toBeGreaterThanOrEqual(38);
  expect(latency).toBeLessThan(200);
  session.close();
});
