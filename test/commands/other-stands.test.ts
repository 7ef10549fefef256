import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { awaitOther, standOf } from '../../src/commands/other-stands.ts';
import { paths, printPair } from '../../src/pair/state.ts';
import type { SyncStatus, WantedStatus } from '../../src/pair/sync-status.ts';
import type { SyncView } from '../../src/report.ts';
import { pairAt } from '../agent/two-servers.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type Stub, status, stubServer } from './stub-agents.ts';

const folder = tempFolder();
const wantedSet = { name: 'admin', path: '/admin', wanted: { apply: ['/x'], report: ['/x'], seconds: 9, every: 600 } };
const sets = [{ ...wantedSet, exclude: [], deletions: { percent: 30, files: 1000 } }];
const quick = { most: 1_000, every: 20 };
let made = 0;

/** What an agent tells, `seconds` after it was committed by its own clock, which is an hour behind. */
const hourBehind = (seconds: number): string => new Date(Date.now() - 3_600_000 + seconds * 1000).toISOString();
const statusWith = (wanted: Partial<WantedStatus>, more: Partial<SyncStatus['sets'][number]> = {}): SyncStatus => ({
  ...status,
  at: hourBehind(0),
  sets: status.sets.map((set) => ({
    ...set,
    ...more,
    wanted: { state: 'as wanted', lines: [], at: hourBehind(0), ...wanted },
  })),
});

async function servers(own: SyncStatus, other: (() => SyncStatus | Promise<SyncStatus>) | undefined): Promise<Stub> {
  made += 1;
  const stub = await stubServer(
    join(folder, String(made)),
    { syncStatus: async () => own },
    other && { syncStatus: async () => other() },
    { sets },
  );
  fs.writeFileSync(join(stub.folder, paths.pair), printPair(pairAt(3)));
  return stub;
}

describe('after a change the other server', () => {
  test('is waited for until it stands as wanted', async () => {
    let asked = 0;
    const committed = Date.now();
    const { context, told } = await servers(statusWith({}), () => {
      asked += 1;
      // What it tells at first is from before the change; then it is at it, and fails while a file is not there yet.
      if (asked < 3) return statusWith({ at: hourBehind(-60) });
      return asked < 5 ? statusWith({ state: 'apply failed', lines: ['no zip'] }) : statusWith({ at: hourBehind(1) });
    });
    expect(await awaitOther(context, committed, quick)).toEqual({
      name: 'cms2.example.org',
      state: 'as wanted',
      lines: [],
    });
    expect(asked).toBe(5);
    expect(told.at(-1)).toContain('cms2.example.org stands as wanted, too.');
  });

  test('is not waited for longer than it may take, and told of', async () => {
    const { context, told } = await servers(statusWith({}), () =>
      statusWith({ state: 'differs', lines: ['its unit does not run'], at: hourBehind(1) }),
    );
    const begun = Date.now();
    expect(await awaitOther(context, begun, quick)).toMatchObject({
      state: 'not yet',
      lines: ['its unit does not run'],
    });
    expect(Date.now() - begun).toBeLessThan(3_000);
    expect(told.join('\n')).toContain('cms2.example.org does not stand as wanted yet: its unit does not run.');
  });

  test('keeps nobody waiting where it does not answer', async () => {
    const { context } = await servers(statusWith({}), () => new Promise(() => undefined));
    expect(await awaitOther(context, Date.now(), quick)).toMatchObject({
      state: 'not asked',
      lines: ['it did not answer in time'],
    });
  });

  test('without an agent fails nothing', async () => {
    const { context, told } = await servers(statusWith({}), undefined);
    expect(await awaitOther(context, Date.now(), quick)).toMatchObject({ state: 'not asked' });
    expect(told.join('\n')).toContain('could not be asked how it stands');
  });

  test('is none where this server is alone', async () => {
    const { context } = await servers(statusWith({}), undefined);
    fs.rmSync(join(context.host.root.prefix, paths.pair));
    expect(await awaitOther(context, Date.now(), quick)).toBeUndefined();
  });
});

describe('what is not across yet is not as wanted, whatever the other server tells:', () => {
  const view = (one: SyncStatus): SyncView => ({
    name: 'x',
    reachable: true,
    status: { ...one, sets: one.sets.map((set) => ({ ...set, lagSeconds: null })) },
  });
  const stands = (here: SyncStatus) =>
    standOf('x', [view(here), view(statusWith({ at: hourBehind(1) }))], Date.now(), Date.now());
  const since = hourBehind(0);

  test.each<[what: string, here: SyncStatus, line: string]>([
    ['names wait', statusWith({}, { queue: 1 }), 'it is at it'],
    ['it is sent', statusWith({}, { state: 'sending' }), 'it is at it'],
    [
      'its set is held',
      { ...statusWith({}, { state: 'held' }), state: 'admin is held: empty' },
      'admin is held: empty',
    ],
    ['its set is stopped', { ...statusWith({}, { state: 'stopped' }), state: 'admin: no space' }, 'admin: no space'],
    ['it is paused', { ...statusWith({}), state: 'paused', paused: { by: 'anna', since } }, 'paused'],
    [
      'it waits for a restore',
      { ...statusWith({}), state: 'restoring', restoring: { tag: 'zdt_1_1700000000', by: 'anna', since } },
      'restoring',
    ],
  ])('%s', (_what, here, line) => {
    expect(stands(here)).toMatchObject({ state: 'not yet', lines: [line] });
  });

  test('all is across', () => {
    expect(stands(statusWith({}))).toMatchObject({ state: 'as wanted' });
  });
});
