import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { loginThrough } from './faults.ts';
import { drained, setState, startAgent } from './running-agents.ts';
import { placeOf, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const MB = 1_048_576;

it('a file that is removed before it is answered for, while a large file follows, is gone there as well', async () => {
  const { one, two } = twoServers();
  write(one, 'other', 'x');
  let isArmed = false;
  let last: Promise<unknown> = Promise.resolve();
  // A slow server: it does one call after the other, and answers in that order.
  const login = loginThrough(two, (verb, call) => {
    if (isArmed && verb === 'agentPut') {
      isArmed = false;
      fs.rmSync(placeOf(one, 'zz'));
    }
    const done = last.then(async () => {
      if (verb === 'agentChanges' || verb === 'agentPut') await sleep(100);
      return call();
    });
    last = done.catch(() => {});
    return done;
  });
  startAgent(two, one);
  startAgent(one, two, {}, undefined, {}, login);
  await drained(one);
  const beside = join(one.root.prefix, 'new');
  fs.mkdirSync(beside);
  const names = [...Array.from({ length: 50 }, (_, index) => `f${index}`), 'large', 'zz'];
  for (const name of names)
    fs.writeFileSync(join(beside, name), Buffer.alloc(name === 'large' ? 12 * MB : 60_000, name));
  isArmed = true;
  for (const name of names) fs.renameSync(join(beside, name), placeOf(one, name));
  await until(
    () => fs.existsSync(placeOf(two, 'large')),
    (is) => is,
  );
  await setState(one, 'in step');
  expect(isArmed).toBe(false);
  await until(
    () => fs.existsSync(placeOf(two, 'zz')),
    (is) => !is,
  );
  expect(Object.keys(tree(two)).sort()).toEqual(Object.keys(tree(one)).sort());
});
