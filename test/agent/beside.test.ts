// Other data sets while a large file of one is on its way.
import * as fs from 'node:fs';
import { expect, it } from 'vitest';
import { callAgent } from '../../src/agent/socket.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { loginThrough } from './faults.ts';
import { drained, startAgent, status, until } from './running-agents.ts';
import { placeOf, profile, tree, twoServers, write } from './two-servers.ts';

const [admin] = profile.dataSets;
if (!admin) throw new Error('the profile has no data set');
const others = { ...admin, name: 'others', path: '/admin/others' };
const sets = { dataSets: [{ ...admin, exclude: ['others'] }, others] };

/** Two agents in step; then a large file of one set goes as slowly as the test wants. */
async function slowTransfer() {
  const { one, two } = twoServers();
  for (let name = 0; name < 100; name += 1) write(one, `others/${name}`, 'text');
  fs.mkdirSync(`${two.root.prefix}/admin/others`, { recursive: true });
  let parts = 0;
  let goOn: () => void = () => {};
  const whole = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const slowly = loginThrough(two, async (verb, call) => {
    if (verb !== 'agentPut') return call();
    parts += 1;
    await Promise.race([whole, new Promise((resolve) => setTimeout(resolve, 100))]);
    return call();
  });
  startAgent(two, one, sets);
  startAgent(one, two, sets, undefined, {}, slowly);
  await drained(one);
  write(one, 'large', Buffer.alloc(50 * 1_048_576, 'x'));
  await until(
    () => parts,
    (count) => count > 0,
  );
  const isUnderWay = (): boolean => !fs.existsSync(placeOf(two, 'large'));
  return { one, two, isUnderWay, goOn };
}

it('one that is held is told while that goes on', async () => {
  const { one, two, isUnderWay, goOn } = await slowTransfer();
  fs.rmSync(`${one.root.prefix}/admin/others`, { recursive: true });
  fs.mkdirSync(`${one.root.prefix}/admin/others`);
  const held = await until(
    () => status(one),
    ({ sets }) => sets[1]?.state === 'held',
  );
  expect(held.state).toContain('others is held');
  expect(readAlarms(one.root).map(({ text }) => text)).toEqual([expect.stringContaining('others is held')]);
  expect(isUnderWay()).toBe(true);
  goOn();
  await until(isUnderWay, (is) => !is);
  expect(tree(two)).toHaveProperty('others/99');
}, 60_000);

it('one of which events were lost passes, as a whole', async () => {
  const { one, two, isUnderWay, goOn } = await slowTransfer();
  for (let round = 0; round < 70; round += 1)
    for (let name = 0; name < 100; name += 1) fs.writeFileSync(`${one.root.prefix}/admin/others/${name}`, `${round}`);
  write(one, 'others/new', 'text');
  const seen = (name: string): string | undefined =>
    fs.existsSync(placeOf(two, name)) ? fs.readFileSync(placeOf(two, name), 'utf8') : undefined;
  await until(
    () => [seen('others/new'), seen('others/99')],
    (found) => found.join() === 'text,69',
  );
  expect(isUnderWay()).toBe(true);
  goOn();
  await drained(one);
  expect(tree(two)).toEqual(tree(one));
  expect(await callAgent(two, 'syncConflicts')).toEqual([]);
}, 60_000);
