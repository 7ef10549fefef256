import { createHash, randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { run } from '../host/processes.ts';
import { at, makeFolders } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { type Link, paths } from '../pair/state.ts';
import { readAccounts } from './accounts.ts';
import { baseOf, mtimeOf, orGone, placeIn } from './data-set.ts';
import { BULK_FOLDER, type DataSet } from './entry.ts';
import type { LiveSet } from './live-set.ts';
import { agreeOn, type Line, type Sent, whileBusy } from './send.ts';
import { provisionalSign, stampOf } from './tree.ts';
import { makeWindow } from './window.ts';

/** From so many new files, or so many bytes in them, rsync is quicker than one message each. */
const ENOUGH = { files: 500, bytes: 16_777_216 };
/** Files told in one message. */
const BATCH = 1_000;

type Bulk = { readonly path: string; readonly stat: fs.Stats };

/**
 * Brings new files with rsync in its daemon form over OpenSSH's client: its cipher is native code, and a gigabyte passes
 * no program of ours. Nothing that exists there is touched. The other server then takes each file whose size and time
 * arrived, under a sign of this run; what changed meanwhile is left to be sent one by one. (rsync(1), rsyncd.conf(5))
 */
export function makeBulk(host: Host, link: Link, line: Line): NonNullable<Line['bulk']> {
  return async (live, wanted) => {
    const sent: Sent = { sent: 0, removed: 0, bytes: 0, problems: [] };
    const { set, tree } = live;
    const base = baseOf(host, set);
    const files = wanted.flatMap((path): Bulk[] => {
      const name = tree.names.get(path);
      if (!name || name.there !== undefined) return [];
      const stat = orGone(() => fs.lstatSync(placeIn(base, path)));
      // Of a file with several names its own must be known before the others.
      return stat?.isFile() && stat.nlink === 1 && name.here === provisionalSign(stampOf(stat)) ? [{ path, stat }] : [];
    });
    const bytes = files.reduce((sum, { stat }) => sum + stat.size, 0);
    if ((files.length < ENOUGH.files && bytes < ENOUGH.bytes) || !(await hasTools())) return sent;
    if ((await line.session.call('agentBulk', { epoch: line.epoch, set: set.name })) !== true) return sent;
    let taken: Taken[] = [];
    try {
      await whileBusy(
        line,
        live,
        files.map(({ path }) => path),
        async () => {
          // Looking for holes costs rsync a good part of its time.
          for (const withHoles of [false, true]) {
            const some = files.filter(({ stat }) => hasHoles(stat) === withHoles);
            if (some.length > 0) await othersMeanwhile(line, runRsync(host, link, set, base, some, withHoles));
          }
        },
      );
      taken = await takeAll(line, live, files);
    } finally {
      await line.session.call('agentBulkEnd', { epoch: line.epoch, set: set.name });
    }
    for (const one of taken) agree(line, live, base, one, sent);
    tree.agreed.flush();
    return sent;
  };
}

/** Lets what else changes pass while something takes long. */
async function othersMeanwhile(line: Line, work: Promise<void>): Promise<void> {
  let isOver = false;
  const over = work.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await Promise.race([over, sleep(20)]);
    if (!isOver) await line.meanwhile?.();
  }
  await over;
}

const hasHoles = ({ blocks, size }: fs.Stats): boolean => blocks * 512 < size;

const hasTools = async (): Promise<boolean> =>
  (await run(['rsync', '--version'])).exitCode === 0 && (await run(['ssh', '-V'])).exitCode === 0;

/** @throws CmsadmError only through the session; what rsync could not bring is sent in the other way */
async function runRsync(
  host: Host,
  { peer }: Link,
  set: DataSet,
  base: Buffer,
  files: readonly Bulk[],
  withHoles: boolean,
): Promise<void> {
  const hosts = at(host.root, '/run/cmsadm/bulk-hosts');
  makeFolders(host.root, dirname('/run/cmsadm/bulk-hosts'), 0o700);
  const lines = peer.hostKeys.map(({ type, base64 }) => `cmsadm-peer ${type} ${base64}\n`);
  fs.writeFileSync(hosts, lines.join(''), { mode: 0o600 });
  const options = {
    BatchMode: 'yes',
    IdentitiesOnly: 'yes',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: hosts,
    GlobalKnownHostsFile: 'none',
    HostKeyAlias: 'cmsadm-peer',
    // The quickest where the processor knows AES.
    Ciphers: '^aes128-gcm@openssh.com',
    ServerAliveInterval: '5',
    ServerAliveCountMax: '4',
  };
  const ssh = ['ssh', '-F', 'none', '-i', at(host.root, paths.pairKey), '-p', String(peer.port), '-l', 'root'];
  const shell = [...ssh, ...Object.entries(options).map(([name, value]) => `-o${name}=${value}`)].join(' ');
  const address = peer.address.includes(':') ? `[${peer.address}]` : peer.address;
  await run(
    [
      'rsync',
      ...['--times', '--perms', '--owner', '--group', '--numeric-ids', '--whole-file', '--ignore-existing'],
      ...(withHoles ? ['--sparse'] : []),
      ...['--no-implied-dirs', '--from0', '--files-from=-', `--temp-dir=${BULK_FOLDER}`, '--timeout=60', '--quiet'],
      ...['-e', shell, `${base.toString()}/`, `${address}::${set.name}/`],
    ],
    { input: Buffer.from(files.map(({ path }) => path).join('\0'), 'latin1'), timeout: 0 },
  );
}

type Taken = Bulk & { readonly sign: string };

/** Has the other server take what arrived, several messages at a time. */
async function takeAll(line: Line, { set, tree }: LiveSet, files: readonly Bulk[]): Promise<Taken[]> {
  const accounts = readAccounts(tree.host.root);
  const run = randomUUID();
  const window = makeWindow();
  const taken: Taken[] = [];
  for (let start = 0; start < files.length; start += BATCH) {
    const some = files.slice(start, start + BATCH).map(({ path, stat }) => {
      const digest = createHash('sha256').update(`${run} ${path}`).digest('base64');
      return { path, stat, sign: `f${digest.slice(0, 22)}` };
    });
    const told = some.map(({ path, stat, sign }) => {
      const own = { owner: accounts.owner(stat.uid), group: accounts.group(stat.gid), mode: stat.mode & 0o7777 };
      return { path, ...own, mtimeMs: mtimeOf(stat), size: stat.size, sign };
    });
    await window.add(BATCH, async () => {
      const answer = await line.session.call('agentTake', { epoch: line.epoch, set: set.name, files: told });
      const paths = new Set(v.parse(v.array(v.string()), answer));
      taken.push(...some.filter(({ path }) => paths.has(path)));
    });
  }
  await window.empty();
  return taken;
}

/** What was taken is on the disk there now. */
function agree(line: Line, { set, tree }: LiveSet, base: Buffer, { path, stat, sign }: Taken, sent: Sent): void {
  const now = orGone(() => fs.lstatSync(placeIn(base, path)));
  // Changed while it was read: what arrived may be half of each.
  if (!now || stampOf(now) !== stampOf(stat)) {
    const name = tree.names.get(path);
    if (name) name.there = sign;
    return;
  }
  line.acknowledged(line.next(), set.name);
  agreeOn(tree, path, sign, stat);
  sent.sent += 1;
  sent.bytes += stat.size;
}
