// A file that is written again in the tick of the kernel's clock in which it was read: all its stamps stay the same.
import calls, * as fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { type LiveSet, openLiveSet } from '../../src/agent/live-set.ts';
import { sendChanges } from '../../src/agent/pass.ts';
import type { Session } from '../../src/host/session.ts';
import type { Host } from '../../src/host/system.ts';
import { quietLine } from './quiet-line.ts';
import { pass, placeOf, profile, sessionWith, tree, twoServers, write } from './two-servers.ts';

const { lstatSync, fstatSync, readSync } = calls;
const lives: LiveSet[] = [];
afterEach(() => {
  Object.assign(calls, { lstatSync, fstatSync, readSync });
  syncBuiltinESMExports();
  for (const live of lives.splice(0)) live.close();
});

/** From now on each file is stamped as if all happened at this moment; another write follows the nth reading of one. */
function inOneTick({ path, nth }: { readonly path: fs.PathLike; readonly nth: number }, afterwards: () => void): void {
  const now = Date.now();
  const { ino } = lstatSync(path);
  let readings = 0;
  const stamped = <T>(stat: T): T =>
    typeof stat === 'object' && stat !== null && 'isFile' in stat
      ? Object.assign(stat, { mtimeMs: now, ctimeMs: now })
      : stat;
  const hooks = {
    lstatSync: (...args: Parameters<typeof lstatSync>) => stamped(lstatSync(...args)),
    fstatSync: (...args: Parameters<typeof fstatSync>) => stamped(fstatSync(...args)),
    readSync: (...args: Parameters<typeof readSync>) => {
      const count = readSync(...args);
      if (count === 0 || fstatSync(args[0]).ino !== ino) return count;
      readings += 1;
      if (readings === nth) afterwards();
      return count;
    },
  };
  Object.assign(calls, hooks);
  syncBuiltinESMExports();
}

/** A line to a server that has `z`, `a` and two names of one file, and answers late. */
async function lateLine(one: Host, two: Host) {
  for (const name of ['z', 'a', 'linked']) write(one, name, 'before');
  fs.linkSync(placeOf(one, 'linked'), placeOf(one, 'name of it'));
  await pass(one, two);
  const session = await sessionWith(two);
  await session.call('agentOpen', { epoch: 1 });
  const call: Session['call'] = async (verb, args) => {
    const answer = await session.call(verb, args);
    if (verb === 'agentChanges') await sleep(80);
    return answer;
  };
  const [set] = profile.dataSets;
  if (!set) throw new Error('the profile has no data set');
  const live = openLiveSet(one, set, () => {});
  lives.push(live);
  live.setLazy(true);
  const line = quietLine({ ...session, call });
  live.tree.uncertain = true;
  await sendChanges(line, live, true);
  return { line, live };
}

// What is new is read once, when it is sent; what the other server has, first when it is looked at. The first write and
// the reading must fall within 50 ms, which a busy machine may miss.
it.each([
  { name: 'new', nth: 1 },
  { name: 'a', nth: 2 },
  { name: 'linked', nth: 2 },
])('$name goes across as it is in the end', { retry: 3 }, async ({ name, nth }) => {
  const { one, two } = twoServers();
  const { line, live } = await lateLine(one, two);
  const path = placeOf(one, name);
  write(one, name, 'AAAA');
  inOneTick({ path, nth }, () => fs.writeFileSync(path, 'BBBB'));
  for (let event = 0; event < 2; event += 1) {
    live.touch([name]);
    await sendChanges(line, live, false);
    expect(fs.readFileSync(path, 'utf8')).toBe('BBBB');
    await sleep(60);
  }
  expect(tree(two)[name]).toBe('BBBB');
});
