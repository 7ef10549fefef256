// What vanishes while many files are brought at once: the guard judges it before anything of it is removed.
import * as fs from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { Line } from '../../src/agent/line.ts';
import { type LiveSet, openLiveSet } from '../../src/agent/live-set.ts';
import { fullPass, type SetResult, sendChanges } from '../../src/agent/pass.ts';
import { whileBusy } from '../../src/agent/send.ts';
import { quietLine } from './quiet-line.ts';
import { pass, placeOf, profile, sessionWith, tree, twoServers, write } from './two-servers.ts';

const lives: LiveSet[] = [];
afterEach(() => {
  for (const live of lives.splice(0)) live.close();
});

const names = (folder: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${folder}/${index}`);

/**
 * The other server has 100 old files; a line whose transfer of many takes its time: the folders are there, something
 * happens, and what is told of it is sent as in a real one. None of the files is brought that way.
 */
async function longTransfer(...happens: (() => string[])[]) {
  const { one, two } = twoServers();
  for (const name of names('old', 100)) write(one, name, name);
  await pass(one, two);
  const session = await sessionWith(two);
  await session.call('agentOpen', { epoch: 1 });
  const [set] = profile.dataSets;
  if (!set) throw new Error('the profile has no data set');
  const live = openLiveSet(one, set, () => {});
  lives.push(live);
  live.setLazy(true);
  const meanwhile: SetResult[] = [];
  const line: Line = {
    ...quietLine(session),
    busy: new Map(),
    bulk: async (_live, paths, sendFolders) => {
      const sent = await sendFolders();
      const fresh = paths.filter((path) => path.startsWith('new/'));
      await whileBusy(line, live, fresh, async () => {
        for (const one of happens) {
          live.touch(one());
          const result = await sendChanges(line, live, false);
          meanwhile.push(result);
          if (result.held !== undefined) live.again();
        }
      });
      return sent;
    },
  };
  return { one, two, live, line, meanwhile };
}

const oldOnes = (tree: Record<string, string>): number =>
  Object.keys(tree).filter((path) => path.startsWith('old/')).length;

describe('a source that is emptied while many files are on their way', () => {
  it('empties nobody at the end of that full pass', async () => {
    const { one, two, line, live } = await longTransfer(() => {
      for (const name of fs.readdirSync(placeOf(one, ''))) fs.rmSync(placeOf(one, name), { recursive: true });
      return ['old', 'new'];
    });
    for (const name of names('new', 300)) write(one, name, name);
    expect(await fullPass(line, live, 'nothing')).toMatchObject({ held: expect.stringContaining('empty'), removed: 0 });
    expect(oldOnes(tree(two))).toBe(100);
  });

  it('empties nobody where events told of the very files that are gone', async () => {
    const { one, two, line, live } = await longTransfer(() => {
      fs.rmSync(placeOf(one, 'old'), { recursive: true });
      return ['old'];
    });
    const { bulk: _bulk, ...plain } = line;
    await fullPass(plain, live, 'nothing');
    const changed = [...names('old', 100), ...names('new', 300)];
    for (const name of changed) write(one, name, 'edited');
    live.touch(['new', ...changed]);
    const result = await sendChanges(line, live, false);
    expect(result).toMatchObject({ held: expect.stringContaining('101 of 102 names'), removed: 0 });
    expect(oldOnes(tree(two))).toBe(100);
  });

  it('is not taken for a large one because of what is on its way', async () => {
    const { one, two, line, live, meanwhile } = await longTransfer(() => {
      for (const name of names('old', 60)) fs.rmSync(placeOf(one, name));
      return names('old', 60);
    });
    for (const name of names('new', 300)) write(one, name, name);
    const result = await fullPass(line, live, 'nothing');
    expect(meanwhile).toMatchObject([{ held: expect.stringContaining('60 of 102 names') }]);
    expect(result).toMatchObject({ held: expect.stringContaining('60 of 102 names'), removed: 0 });
    expect(oldOnes(tree(two))).toBe(100);
  });
});

it('removals in small portions are not made up for by what is on its way', async () => {
  const removed = (from: number) => () => {
    const portion = names('old', 100).slice(from, from + 15);
    for (const name of portion) fs.rmSync(placeOf(one, name));
    return portion;
  };
  const { one, two, line, live, meanwhile } = await longTransfer(removed(0), removed(15), removed(30), removed(45));
  const { bulk: _bulk, ...plain } = line;
  await fullPass(plain, live, 'nothing');
  for (const name of names('new', 300)) write(one, name, name);
  live.touch(['new', ...names('new', 300)]);
  await sendChanges(line, live, false);
  expect(meanwhile.map(({ held }) => held)).toEqual([
    undefined,
    undefined,
    expect.stringContaining('45 of 102 names'),
    expect.stringContaining('45 of 102 names'),
  ]);
  expect(oldOnes(tree(two))).toBe(70);
});

it('a few names that vanish while many are on their way go with the same full pass', async () => {
  const { one, two, line, live } = await longTransfer(() => {
    fs.rmSync(placeOf(one, 'old/1'));
    return ['old/1'];
  });
  for (const name of names('new', 300)) write(one, name, name);
  expect(await fullPass(line, live, 'nothing')).toMatchObject({ held: undefined, problems: [] });
  expect(tree(two)).toEqual(tree(one));
});
