// A message that failed although some of it was done: what the other server has is not what is known of it.
import * as fs from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { Line } from '../../src/agent/line.ts';
import { type LiveSet, openLiveSet } from '../../src/agent/live-set.ts';
import { fullPass, sendChanges } from '../../src/agent/pass.ts';
import { CmsadmError } from '../../src/errors.ts';
import type { Host } from '../../src/host/system.ts';
import { quietLine } from './quiet-line.ts';
import { placeOf, profile, sessionWith, tree, twoServers, write } from './two-servers.ts';

const lives: LiveSet[] = [];
afterEach(() => {
  for (const live of lives.splice(0)) live.close();
});

/** Both in step, and a line whose next messages of changes are carried out but end with a full disk. */
async function inStep(
  prepare: (one: Host) => void,
): Promise<{ one: Host; two: Host; live: LiveSet; line: Line; failing: { messages: number } }> {
  const { one, two } = twoServers();
  prepare(one);
  const session = await sessionWith(two);
  const failing = { messages: 0 };
  const line: Line = {
    ...quietLine(session),
    session: {
      ...session,
      call: async (verb, args) => {
        const answer = await session.call(verb, args);
        if (verb !== 'agentChanges' || failing.messages === 0) return answer;
        failing.messages -= 1;
        throw new CmsadmError('sync-write-failed', 'The data set admin cannot be written: ENOSPC.');
      },
    },
  };
  const [set] = profile.dataSets;
  if (!set) throw new Error('the profile has no data set');
  const live = openLiveSet(one, set, () => {});
  lives.push(live);
  expect(await fullPass(line, live, 'nothing')).toMatchObject({ failure: undefined, held: undefined });
  expect(tree(two)).toEqual(tree(one));
  return { one, two, live, line, failing };
}

describe('after a message that failed although it was carried out', () => {
  it('a folder is made again that was removed there, and looks as if it had never gone', async () => {
    const { one, two, live, line, failing } = await inStep((host) => {
      write(host, 'f/a', 'text');
      write(host, 'stays', 'here');
    });
    fs.rmSync(placeOf(one, 'f'), { recursive: true });
    live.touch(['f']);
    failing.messages = 1;
    expect((await sendChanges(line, live, false)).failure?.code).toBe('sync-write-failed');
    expect(tree(two)).toEqual({ stays: 'here' });
    write(one, 'f/b', 'other');
    live.touch(['f']);
    expect(await sendChanges(line, live, false)).toMatchObject({ failure: undefined, problems: [] });
    expect(tree(two)).toEqual({ f: '/', 'f/b': 'other', stays: 'here' });
  });

  it('a removal that is tried again and again counts once for the guard', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `file-${index}`);
    const { one, two, live, line, failing } = await inStep((host) => {
      for (const name of names) write(host, name, name);
    });
    failing.messages = 3;
    for (const name of names.slice(0, 25)) fs.renameSync(placeOf(one, name), placeOf(one, `${name}-new`));
    live.touch(names.slice(0, 25).flatMap((name) => [name, `${name}-new`]));
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const result = await sendChanges(line, live, true);
      expect(result.held).toBeUndefined();
      if (attempt < 3) expect(result.failure?.code).toBe('sync-write-failed');
      // One more goes each time; what was tried before is no loss anew.
      fs.rmSync(placeOf(one, names[30 + attempt] ?? ''));
      live.touch([names[30 + attempt] ?? '']);
    }
    expect(await sendChanges(line, live, false)).toMatchObject({ failure: undefined, held: undefined, problems: [] });
    expect(tree(two)).toEqual(tree(one));
  });
});

describe('what comes and goes in many small messages', () => {
  const many = (from: number, count: number): string[] => Array.from({ length: count }, (_, at) => `file-${from + at}`);

  it('is no loss where as much comes as goes', async () => {
    const { one, two, live, line } = await inStep((host) => {
      for (const name of many(0, 100)) write(host, name, name);
    });
    for (let round = 0; round < 60; round += 1) {
      write(one, `file-${100 + round}`, 'new');
      live.touch([`file-${100 + round}`]);
      expect((await sendChanges(line, live, false)).held).toBeUndefined();
      fs.rmSync(placeOf(one, `file-${round}`));
      live.touch([`file-${round}`]);
      expect((await sendChanges(line, live, false)).held).toBeUndefined();
    }
    expect(tree(two)).toEqual(tree(one));
  });

  it('is held where it only goes, name by name', async () => {
    const { one, two, live, line } = await inStep((host) => {
      for (const name of many(0, 100)) write(host, name, name);
    });
    let held: string | undefined;
    for (const name of many(0, 60)) {
      fs.rmSync(placeOf(one, name));
      live.touch([name]);
      ({ held } = await sendChanges(line, live, false));
      if (held !== undefined) break;
    }
    expect(held).toContain('vanished within a minute');
    expect(Object.keys(tree(two)).length).toBeGreaterThanOrEqual(69);
  });
});
