import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { runAgent } from '../../src/agent/run-agent.ts';
import { callAgent, openAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { paths, readPair } from '../../src/pair/state.ts';
import type { Conflict, PassReport, SetDifference } from '../../src/pair/sync-reports.ts';
import type { SyncStatus } from '../../src/pair/sync-status.ts';
import type { Profile } from '../../src/profile/schema.ts';
import {
  cms1,
  cms2,
  kept,
  pairAt,
  placeOf,
  profile,
  savePair,
  sessionWith,
  tree,
  twoServers,
  verbsOf,
  write,
} from './two-servers.ts';
import { until } from './until.ts';

const timing = { retry: 50, settle: 20, heartbeat: 50, reachable: 100, folders: 60_000, compare: 60_000, coalesce: 3 };
type Running = { readonly lines: string[]; stop(): Promise<void> };
const running: Running[] = [];
afterEach(async () => {
  for (const { stop } of running.splice(0)) await stop();
});

function start(host: Host, peer: Host, ofProfile: Profile = profile): Running {
  const aborter = new AbortController();
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const login = () => openAgent(peer.root);
  const done = runAgent(host, ofProfile, { signal: aborter.signal, log, login, timing });
  const stop = async (): Promise<void> => {
    aborter.abort();
    await done;
  };
  running.push({ lines, stop });
  return { lines, stop };
}

const status = (host: Host): Promise<SyncStatus> =>
  until(
    () => callAgent(host, 'syncStatus').catch(() => undefined) as Promise<SyncStatus | undefined>,
    (answer) => answer !== undefined,
  ) as Promise<SyncStatus>;
const stateOf = async (host: Host, set = 'admin'): Promise<string | undefined> =>
  (await status(host)).sets.find(({ name }) => name === set)?.state;
const inState = (host: Host, state: string, set = 'admin'): Promise<unknown> =>
  until(
    () => stateOf(host, set),
    (found) => found === state,
  );
const conflicts = async (host: Host): Promise<string[]> =>
  ((await callAgent(host, 'syncConflicts')) as Conflict[]).map(({ path }) => path).sort();
const mark = (host: Host, set = 'admin'): string => join(host.root.prefix, paths.sync, `${set}.undecided`);
const keep = (on: Host, server: string): Promise<unknown> => callAgent(on, 'syncKeep', { set: 'admin', server });

/** In step under cms1; then cms2 was activated at epoch 2 while cms1 went on, and both changed things. */
async function split(): Promise<{ one: Host; two: Host; agentOne: Running; agentTwo: Running }> {
  const { one, two } = twoServers();
  for (const name of ['both', 'gone-here', 'gone-there', 'theirs', 'untouched']) write(one, name, 'agreed');
  const first = [start(one, two), start(two, one)];
  await inState(one, 'in step');
  await until(
    () => tree(two),
    (there) => Object.keys(there).length === 5,
  );
  for (const { stop } of first) await stop();
  running.splice(0);
  write(one, 'both', 'of cms1');
  write(one, 'mine/new', 'only cms1');
  fs.rmSync(placeOf(one, 'gone-here'));
  write(two, 'both', 'of cms2');
  write(two, 'theirs', 'changed by cms2');
  fs.symlinkSync('both', placeOf(two, 'link'));
  fs.rmSync(placeOf(two, 'gone-there'));
  savePair(two, pairAt(2, cms2));
  const agentTwo = start(two, one);
  const agentOne = start(one, two);
  await inState(two, 'undecided');
  await inState(one, 'undecided');
  return { one, two, agentOne, agentTwo };
}

const ofOne = {
  both: 'of cms1',
  'gone-there': 'agreed',
  mine: '/',
  'mine/new': 'only cms1',
  theirs: 'agreed',
  untouched: 'agreed',
};
const ofTwo = {
  both: 'of cms2',
  'gone-here': 'agreed',
  link: '->both',
  theirs: 'changed by cms2',
  untouched: 'agreed',
};

describe('a primary that comes back with changes of its own', () => {
  it('becomes the secondary, and nothing moves until somebody decides', async () => {
    const { one, two, agentOne } = await split();
    expect(readPair(one.root)?.epoch).toBe(2);
    write(two, 'later', 'x');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(tree(one)).toEqual(ofOne);
    expect(tree(two)).toEqual({ ...ofTwo, later: 'x' });
    expect(JSON.parse(fs.readFileSync(mark(one), 'utf8'))).toMatchObject({ own: 4, epoch: 1 });
    for (const host of [one, two]) {
      const alarms = readAlarms(host.root).filter(({ text }) => text.startsWith('The data set admin is undecided:'));
      expect(alarms).toHaveLength(1);
      expect(alarms[0]?.text).toContain('cms1.example.org came back with 4 changes of its own');
      for (const server of ['cms1', 'cms2'])
        expect(alarms[0]?.text).toContain(`cmsadm sync keep ${server}.example.org --set admin`);
    }
    expect(agentOne.lines.some((line) => line.startsWith('event sync-undecided: '))).toBe(true);
  });

  it('lets the difference be seen on the primary', async () => {
    const { two } = await split();
    expect((await callAgent(two, 'syncDiff')) as SetDifference[]).toEqual([
      {
        set: 'admin',
        onlyHere: ['gone-here', 'link'],
        different: ['both', 'theirs'],
        onlyThere: ['gone-there', 'mine', 'mine/new'],
        more: false,
      },
    ]);
  });

  it('waits over restarts of both agents', async () => {
    const { one, two, agentOne, agentTwo } = await split();
    await agentOne.stop();
    await agentTwo.stop();
    start(two, one);
    start(one, two);
    await inState(two, 'undecided');
    await inState(one, 'undecided');
    expect(tree(one)).toEqual(ofOne);
  });

  it('takes the primary’s versions when they are kept, and keeps its own', async () => {
    const { one, two, agentTwo } = await split();
    const reports = (await keep(two, 'cms2.example.org')) as PassReport[];
    expect(reports).toMatchObject([{ set: 'admin', ok: true }]);
    expect(tree(one)).toEqual(ofTwo);
    expect(tree(two)).toEqual(ofTwo);
    expect(kept(one)).toEqual([
      ['both', 'of cms1'],
      ['gone-there', 'agreed'],
      ['mine/new', 'only cms1'],
      ['theirs', 'agreed'],
    ]);
    expect(await conflicts(one)).toEqual(['both', 'mine/new']);
    await inState(one, 'in step');
    await inState(two, 'in step');
    expect(fs.existsSync(mark(one))).toBe(false);
    for (const host of [one, two])
      expect(readAlarms(host.root).filter(({ text }) => text.includes('is undecided'))).toEqual([]);
    expect(agentTwo.lines).toContain('event sync-decided: admin goes on');
    expect(fs.readFileSync(join(two.root.prefix, paths.syncLog), 'utf8')).toContain(
      'full pass after the decision for the versions of cms2.example.org: ok:',
    );
    write(two, 'after', 'goes on');
    await until(
      () => tree(one)['after'],
      (text) => text === 'goes on',
    );
  });

  it('gives its versions to the primary when they are kept, which keeps its own', async () => {
    const { one, two } = await split();
    const big = Buffer.alloc(2_500_000, 'big ');
    write(one, 'mine/big', big, 0o600);
    const { mtimeMs } = fs.statSync(placeOf(one, 'mine/big'));
    expect(await keep(two, 'CMS1')).toMatchObject([{ set: 'admin', ok: true }]);
    const wanted = { ...ofOne, 'mine/big': big.toString('latin1') };
    expect(tree(two)).toEqual(wanted);
    expect(tree(one)).toEqual(wanted);
    expect(fs.statSync(placeOf(two, 'mine/big')).mode & 0o777).toBe(0o600);
    expect(Math.round(fs.statSync(placeOf(two, 'mine/big')).mtimeMs)).toBe(Math.round(mtimeMs));
    expect(kept(two)).toEqual([
      ['both', 'of cms2'],
      ['gone-here', 'agreed'],
      ['link', '->both'],
      ['theirs', 'changed by cms2'],
    ]);
    expect(await conflicts(two)).toEqual(['both', 'link', 'theirs']);
    expect(await conflicts(one)).toEqual([]);
    await inState(two, 'in step');
    expect(fs.existsSync(mark(one))).toBe(false);
    write(two, 'both', 'administered here');
    await until(
      () => tree(one)['both'],
      (text) => text === 'administered here',
    );
    expect(await conflicts(one)).toEqual([]);
  });

  it('makes a file of a folder and a folder of a file where its versions are kept', async () => {
    const { one, two } = await split();
    fs.rmSync(placeOf(one, 'untouched'));
    write(one, 'untouched/below', 'a folder on cms1');
    write(two, 'swap/below', 'a folder on cms2');
    write(one, 'swap', 'a file on cms1');
    expect(await keep(two, 'cms1')).toMatchObject([{ ok: true }]);
    expect(tree(two)).toEqual(tree(one));
    expect(tree(two)).toMatchObject({ swap: 'a file on cms1', 'untouched/below': 'a folder on cms1' });
    expect(kept(two)).toContainEqual(['swap/below', 'a folder on cms2']);
  });

  it('gives its hard links as hard links where its versions are kept', async () => {
    const { one, two } = await split();
    write(one, 'linked/a', 'one file');
    fs.linkSync(placeOf(one, 'linked/a'), placeOf(one, 'linked/b'));
    fs.linkSync(placeOf(one, 'untouched'), placeOf(one, 'untouched-too'));
    expect(await keep(two, 'cms1')).toMatchObject([{ ok: true, sent: 0, removed: 0 }]);
    expect(tree(two)).toEqual(tree(one));
    const inode = (path: string): number => fs.statSync(placeOf(two, path)).ino;
    expect(inode('linked/b')).toBe(inode('linked/a'));
    expect(inode('untouched-too')).toBe(inode('untouched'));
  });

  it('is refused as the winner where its data set is empty', async () => {
    const { one, two } = await split();
    for (const name of fs.readdirSync(placeOf(one, ''))) fs.rmSync(placeOf(one, name), { recursive: true });
    await expect(keep(two, 'cms1')).rejects.toMatchObject({ code: 'keep-refused' });
    expect(tree(two)).toEqual(ofTwo);
    expect(await stateOf(two)).toBe('undecided');
  });

  /** Unmounts the disk of a data set: what is seen then is the folder below. @returns mounts it again */
  function unmount(host: Host): () => void {
    const place = join(host.root.prefix, 'admin');
    fs.renameSync(place, `${place}.disk`);
    fs.mkdirSync(place);
    return () => {
      fs.rmSync(place, { recursive: true });
      fs.renameSync(`${place}.disk`, place);
    };
  }

  it('is not compared without its disk, nor wins without it', async () => {
    const { one, two, agentOne } = await split();
    await agentOne.stop();
    fs.rmSync(mark(one));
    savePair(one, pairAt(1));
    const mountAgain = unmount(one);
    write(one, 'stray', 'older than the mount');
    start(one, two);
    await until(
      () => readPair(one.root)?.epoch,
      (epoch) => epoch === 2,
    );
    expect(JSON.parse(fs.readFileSync(mark(one), 'utf8'))).toMatchObject({ own: null, epoch: 1 });
    await inState(two, 'undecided');
    await expect(keep(two, 'cms1')).rejects.toMatchObject({ code: 'folder-other' });
    expect(tree(two)).toEqual(ofTwo);
    mountAgain();
    expect(await keep(two, 'cms1')).toMatchObject([{ ok: true }]);
    expect(tree(two)).toEqual(ofOne);
  });

  it('removes nothing on the primary where its disk went before the decision, and nothing is to be taken', async () => {
    const { one, two } = await split();
    const mountAgain = unmount(one);
    fs.cpSync(placeOf(two, 'untouched').toString(), placeOf(one, 'untouched').toString(), { preserveTimestamps: true });
    await expect(keep(two, 'cms1')).rejects.toMatchObject({
      code: 'folder-other',
      remedy: expect.stringContaining('cmsadm sync keep cms2.example.org --set admin, then cmsadm sync release admin'),
    });
    expect(tree(two)).toEqual(ofTwo);
    mountAgain();
    expect(await keep(two, 'cms1')).toMatchObject([{ ok: true }]);
    expect(tree(two)).toEqual(ofOne);
  });

  it('is filled again on a new disk: the primary’s versions are kept, then the set is released', async () => {
    const { one, two } = await split();
    unmount(one);
    expect(await keep(two, 'cms2')).toMatchObject([{ ok: false, why: expect.stringContaining('another folder') }]);
    await inState(two, 'held');
    expect(tree(one)).toEqual({});
    await callAgent(two, 'syncRelease', { set: 'admin' });
    await inState(two, 'in step');
    expect(tree(one)).toEqual(ofTwo);
    expect(tree(two)).toEqual(ofTwo);
  });

  it('is not in step for a reversal, and not asked on the secondary', async () => {
    const { one, two } = await split();
    await expect(callAgent(two, 'syncDrain', { seconds: 5 })).rejects.toMatchObject({
      code: 'not-in-step',
      details: [expect.stringContaining('cms1.example.org came back')],
    });
    expect(await callAgent(two, 'syncNow')).toMatchObject([{ set: 'admin', ok: false }]);
    await expect(keep(one, 'cms1')).rejects.toMatchObject({
      code: 'not-authority',
      message: expect.stringContaining('cms2.example.org is the primary'),
    });
    await expect(keep(two, 'cms3')).rejects.toMatchObject({ code: 'server-unknown' });
    expect(await stateOf(two)).toBe('undecided');
  });

  it('drops the question when it is activated itself: the other one then marks its own changes', async () => {
    const { one, two, agentOne, agentTwo } = await split();
    await agentOne.stop();
    await agentTwo.stop();
    savePair(one, pairAt(3, cms1));
    start(one, two);
    start(two, one);
    await inState(one, 'undecided');
    expect(fs.existsSync(mark(one))).toBe(false);
    expect(JSON.parse(fs.readFileSync(mark(two), 'utf8'))).toMatchObject({ own: 4, epoch: 2 });
    expect(tree(one)).toEqual(ofOne);
    expect(tree(two)).toEqual(ofTwo);
  });

  it('holds up no other data set', async () => {
    const { one, two } = twoServers();
    const [admin] = profile.dataSets;
    const more = { ...profile, dataSets: [admin, { ...admin, name: 'more', path: '/more' }] } as Profile;
    for (const host of [one, two]) fs.mkdirSync(join(host.root.prefix, 'more'));
    write(one, 'mine', 'x');
    fs.writeFileSync(join(two.root.prefix, 'more/a'), 'of the new primary');
    savePair(two, pairAt(2, cms2));
    start(two, one, more);
    start(one, two, more);
    await inState(two, 'undecided');
    await inState(two, 'in step', 'more');
    expect(fs.readFileSync(join(one.root.prefix, 'more/a'), 'utf8')).toBe('of the new primary');
    expect(tree(one)).toEqual({ mine: 'x' });
  });

  it('with nothing of its own goes on at once', async () => {
    const { one, two } = twoServers();
    write(two, 'theirs', 'new');
    savePair(two, pairAt(2, cms2));
    start(two, one);
    start(one, two);
    await until(
      () => tree(one),
      (found) => found['theirs'] === 'new',
    );
    expect(fs.existsSync(mark(one))).toBe(false);
  });

  it('knows no data set that waits where none does', async () => {
    const { one, two } = twoServers();
    start(two, one);
    start(one, two);
    await inState(one, 'in step');
    await expect(keep(one, 'cms1')).rejects.toMatchObject({ code: 'not-undecided' });
  });
});

describe('the receiver of an undecided data set', () => {
  const own = { owner: 'root', group: 'root' };
  const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
  const writing: [verb: string, args: object][] = [
    [
      'agentPut',
      {
        seq: 1,
        entry: { type: 'file', path: 'b', ...own, mode: 0o644, mtimeMs: 1, size: 1, sha256: sha256('x') },
        offset: 0,
        data: Buffer.from('x').toString('base64'),
      },
    ],
    ['agentChanges', { changes: [{ kind: 'remove', seq: 1, path: 'a' }] }],
    ['agentBulkEnd', {}],
    ['agentAgree', { folders: [''], names: ['a'] }],
    ['agentApply', {}],
    ['agentBulk', {}],
    ['agentTake', { files: [] }],
  ];
  it.each(writing)('refuses %s', async (verb, args) => {
    const { two } = twoServers();
    write(two, 'a', 'own');
    fs.mkdirSync(join(two.root.prefix, paths.sync), { recursive: true });
    fs.writeFileSync(mark(two), 'damaged, and a mark all the same');
    const session = await sessionWith(two);
    await expect(session.call(verb, { epoch: 1, set: 'admin', ...args })).rejects.toMatchObject({
      code: 'set-undecided',
    });
    expect(tree(two)).toEqual({ a: 'own' });
    await session.call('agentDecided', { epoch: 1, set: 'admin' });
    await session.call(verb, { epoch: 1, set: 'admin', ...args });
  });

  const fetched = (host: Host, path: string, offset = 0): Promise<unknown> | undefined =>
    verbsOf(host).verbs['agentFetch']?.({ epoch: 1, set: 'admin', path, offset });

  it('hands out what is in the set, and follows no link', async () => {
    const { two } = twoServers();
    write(two, 'd/a', 'text');
    fs.symlinkSync('/etc', placeOf(two, 'out'));
    expect(await fetched(two, 'd')).toEqual({ type: 'folder', owner: 'root', group: 'root', mode: 0o755 });
    expect(await fetched(two, 'd/a', 2)).toMatchObject({ type: 'file', size: 4, mode: 0o640, data: 'eHQ=' });
    expect(await fetched(two, 'd/a', 9)).toMatchObject({ data: '' });
    expect(await fetched(two, 'out')).toMatchObject({ type: 'link', target: '/etc' });
    expect(await fetched(two, 'none')).toBe(null);
    for (const path of ['out/passwd', '../link.json', 'd/../d/a', 'a.log', '', 'd//a'])
      await expect(fetched(two, path), path).rejects.toMatchObject({ code: 'path-refused' });
    await expect(
      verbsOf(two).verbs['agentFetch']?.({ epoch: 0, set: 'admin', path: 'd', offset: 0 }),
    ).rejects.toMatchObject({
      code: 'epoch-older',
    });
  });
});
