// A server that was set back to a snapshot of before, or whose own files are damaged or from another time.
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { callAgent } from '../../src/agent/socket.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { paths } from '../../src/pair/state.ts';
import { drained, startAgent, status } from './running-agents.ts';
import { cms2, kept, pairAt, pass, placeOf, savePair, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const alarmsOf = (host: Parameters<typeof status>[0]): string[] => readAlarms(host.root).map(({ text }) => text);

describe('a server that was set back', () => {
  it('and still is the primary by the newer pair sends its old versions to nobody before it is resumed', async () => {
    const { one, two } = twoServers();
    for (let name = 0; name < 10; name += 1) write(one, `f${name}`, 'x');
    write(one, 'users', 'v1');
    await pass(one, two);
    const index = join(one.root.prefix, paths.sync, 'admin.index');
    const before = fs.readFileSync(index);
    for (const host of [one, two]) savePair(host, pairAt(3));
    write(one, 'users', 'v2');
    write(one, 'new', 'new');
    await pass(one, two);
    write(one, 'users', 'v1');
    fs.rmSync(placeOf(one, 'new'));
    fs.writeFileSync(index, before);
    fs.rmSync(join(one.root.prefix, paths.epoch), { force: true });
    savePair(one, pairAt(1));
    startAgent(two, one);
    startAgent(one, two);
    const { paused } = await until(
      () => status(one),
      ({ epoch, paused }) => epoch === 3 && paused !== null,
    );
    expect(paused?.by).toContain('this server was set back');
    expect(alarmsOf(one)).toEqual([expect.stringContaining('only there: new')]);
    await expect(callAgent(one, 'syncNow')).rejects.toMatchObject({ code: 'sync-paused' });
    expect(tree(two)).toMatchObject({ users: 'v2', new: 'new' });
    await callAgent(one, 'syncResume');
    await drained(one);
    expect(tree(two)).toEqual(tree(one));
  });

  it.each([
    { after: 'a boot that lost what was across', boot: 'another', isLost: true },
    { after: 'a boot that lost nothing', boot: 'another', isLost: false },
    { after: 'no boot', boot: undefined, isLost: true },
  ])('is told which versions of the other server it replaced, after $after', async ({ boot, isLost }) => {
    const { one, two } = twoServers();
    write(one, 'users', 'v1');
    await pass(one, two);
    const index = join(one.root.prefix, paths.sync, 'admin.index');
    const before = fs.readFileSync(index);
    write(one, 'users', 'v2');
    write(one, 'new', 'new');
    await pass(one, two);
    if (isLost) {
      write(one, 'users', 'v1');
      fs.rmSync(placeOf(one, 'new'));
      fs.writeFileSync(index, before);
    }
    const system = boot === undefined ? one.system : { ...one.system, bootId: () => boot };
    startAgent(two, one);
    startAgent({ ...one, system }, two);
    await drained(one);
    expect(tree(two)).toEqual(tree(one));
    const told = boot !== undefined && isLost;
    expect(alarmsOf(one)).toEqual(
      told ? [expect.stringMatching(/nothing is known here .*: (users, new|new, users)\./)] : [],
    );
    if (isLost) expect(kept(two).map(([, content]) => content)).toEqual(expect.arrayContaining(['v2', 'new']));
  });

  it('and is the secondary like the other one: it is told that nobody administers, until somebody does', async () => {
    const { one, two } = twoServers();
    savePair(one, pairAt(2, cms2));
    write(one, 'x', 'x');
    startAgent(two, one);
    startAgent(one, two);
    for (const host of [one, two])
      await until(
        () => alarmsOf(host),
        ([alarm]) => alarm?.startsWith('Nobody administers this pair:') === true,
      );
    expect((await status(one)).state).toContain('Nobody administers');
    for (const host of [one, two]) savePair(host, pairAt(3));
    await until(
      () => [...alarmsOf(one), ...alarmsOf(two)],
      (alarms) => alarms.length === 0,
    );
    await drained(one);
  });
});

it('a pause of an administration that is over does not stop the next one of this server', async () => {
  const { one, two } = twoServers();
  write(one, 'x', 'x');
  startAgent(two, one);
  startAgent(one, two);
  await drained(one);
  await callAgent(one, 'syncPause', { by: 'ops' });
  for (const host of [two, one]) savePair(host, pairAt(2, cms2));
  await until(
    () => status(one),
    ({ role, paused }) => role === 'secondary' && paused === null,
  );
  for (const host of [one, two]) savePair(host, pairAt(3));
  write(one, 'z', 'z');
  await until(
    () => tree(two),
    (found) => 'z' in found,
  );
});

describe.each([
  ['paused.json', ''],
  ['paused.json', '{"by":"ops'],
  ['restoring.json', '{}'],
])('a damaged %s (%j)', (name, text) => {
  it('still stops what is sent, and can be ended', async () => {
    const { one, two } = twoServers();
    fs.mkdirSync(join(one.root.prefix, paths.sync), { recursive: true });
    fs.writeFileSync(join(one.root.prefix, paths.sync, name), text);
    write(one, 'x', 'x');
    startAgent(two, one);
    startAgent(one, two);
    const { state } = await until(
      () => status(one),
      (found) => found.state.includes('its file is damaged'),
    );
    expect(state).toContain('since an unknown time');
    expect(tree(two)).toEqual({});
    await callAgent(one, 'syncResume', name === 'paused.json' ? {} : { tag: 'unknown' });
    await until(
      () => tree(two),
      (found) => 'x' in found,
    );
  });
});
