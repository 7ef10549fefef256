import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isInstalled, runLines } from '../host/processes.ts';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { makeFolders } from '../host/writing.ts';
import { type Link, paths } from '../pair/state.ts';
import { baseOf, orGone, placeIn } from './data-set.ts';
import { BULK_FOLDER, type DataSet } from './entry.ts';
import type { Line, Sent } from './line.ts';
import type { LiveSet } from './live-set.ts';
import { agreeOn, whileBusy } from './send.ts';
import { type Bulk, makeTaker, type Taken } from './taker.ts';
import { isProvisional, provisionalSign, stampOf, steady, type Tree } from './tree.ts';

/** From so many new files, or so many bytes in them, rsync is quicker than one message each. */
const ENOUGH = { files: 500, bytes: 16_777_216, forTwo: 134_217_728 };
/** What a file costs beside its bytes, in bytes. */
const EACH = 16_384;

/**
 * Brings new files with rsync in its daemon form over OpenSSH's client: its cipher is native code, and a gigabyte passes
 * no program of ours. Nothing that exists there is touched. The other server then takes each file whose size and time
 * arrived, under a sign of this run; what changed meanwhile is left to be sent one by one. (rsync(1), rsyncd.conf(5))
 */
export function makeBulk(host: Host, link: Link, line: Line): NonNullable<Line['bulk']> {
  return async (live, wanted, sendFolders) => {
    const { set, tree } = live;
    const base = baseOf(host, set);
    const fresh = wanted.filter((path) => isFresh(tree.names.get(path)));
    const look = (): readonly Bulk[] =>
      fresh.flatMap((path) => bulkOf(path, placeIn(base, path), tree.names.get(path)));
    // So many are worth it whatever is in them: rsync logs in while they are looked at.
    const many = fresh.length >= ENOUGH.files;
    let files = many ? [] : look();
    if (!many && bytesOf(files) < ENOUGH.bytes) return sendFolders();
    if (!['rsync', 'ssh'].every(isInstalled)) return sendFolders();
    if ((await line.session.call('agentBulk', { epoch: line.epoch, set: set.name })) !== true) return sendFolders();
    const peer = reachPeer(host, link);
    const connections = many || bytesOf(files) >= ENOUGH.forTwo ? [0, 1] : [0];
    let wasSent: (path: string) => void = () => {};
    const start = (shares: Promise<Bulk[][]>, withHoles: boolean): Promise<unknown> =>
      Promise.all(
        connections.map((one) =>
          runRsync(
            peer,
            set,
            base,
            shares.then((all) => all[one] ?? []),
            withHoles,
            (path) => wasSent(path),
            line.session.closed,
          ),
        ),
      );
    let taken: readonly Taken[] = [];
    let sent: Sent;
    let open: (shares: Bulk[][]) => void = () => {};
    try {
      // It hears of its files when their folders are there.
      const runs = start(
        new Promise((resolve) => {
          open = resolve;
        }),
        false,
      );
      // The other server makes the folders while the files are looked at.
      const folders = sendFolders();
      folders.catch(() => {});
      if (many) files = look();
      const taker = makeTaker(line, live, files);
      wasSent = taker.wasSent;
      sent = await folders;
      await whileBusy(
        line,
        live,
        files.map(({ path }) => path),
        async () => {
          // Looking for holes costs rsync a good part of its time.
          open(sharesOf(files.filter(({ stat }) => !hasHoles(stat))));
          await othersMeanwhile(line, runs);
          const holed = files.filter(({ stat }) => hasHoles(stat));
          if (holed.length > 0) await othersMeanwhile(line, start(Promise.resolve(sharesOf(holed)), true));
        },
      );
      taken = await taker.takeRest();
    } finally {
      open([]);
      await line.session.call('agentBulkEnd', { epoch: line.epoch, set: set.name });
    }
    const across = taken.filter((one) => agree(tree, one));
    tree.agreed.flush();
    line.brought(across.length, set.name);
    sent.sent += across.length;
    sent.bytes += bytesOf(across);
    return sent;
  };
}

type Name = Pick<NonNullable<ReturnType<LiveSet['tree']['names']['get']>>, 'here' | 'there'>;

/** A file that the other server has not, and that nobody has read here yet. */
const isFresh = (name: Name | undefined): boolean =>
  name !== undefined && name.there === undefined && isProvisional(name.here);

function bulkOf(path: string, place: Buffer, name: Name | undefined): Bulk[] {
  const stat = orGone(() => fs.lstatSync(place));
  // Of a file with several names its own must be known before the others.
  return stat?.isFile() && stat.nlink === 1 && name?.here === provisionalSign(stampOf(stat)) ? [{ path, stat }] : [];
}

const bytesOf = (files: readonly Bulk[]): number => files.reduce((sum, { stat }) => sum + stat.size, 0);

/**
 * Two shares of about as many bytes, for two connections, where that is worth it: the end that receives is the slower one,
 * and one connection keeps one processor of it busy.
 */
function sharesOf(files: readonly Bulk[]): Bulk[][] {
  const shares: [Bulk[], Bulk[]] = [[], []];
  const bytes: [number, number] = [0, 0];
  for (const file of files) {
    const lighter = bytes[0] <= bytes[1] ? 0 : 1;
    shares[lighter].push(file);
    bytes[lighter] += file.stat.size + EACH;
  }
  return bytes[0] + bytes[1] < ENOUGH.forTwo ? [[...files]] : shares;
}

/** Lets what else changes pass while something takes long. */
async function othersMeanwhile(line: Line, work: Promise<unknown>): Promise<void> {
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

/** How rsync reaches the other server, which is known by nothing but the pinned keys. */
function reachPeer(host: Host, { peer }: Link): { readonly shell: string; readonly address: string } {
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
  return {
    shell: [...ssh, ...Object.entries(options).map(([name, value]) => `-o${name}=${value}`)].join(' '),
    address: peer.address.includes(':') ? `[${peer.address}]` : peer.address,
  };
}

/**
 * What rsync could not bring is sent in the other way.
 * @param files told when rsync may begin; with none it ends without having brought anything
 * @param wasSent hears of each file once its last byte was sent
 * @param over ends it: without its session nothing that it brings counts
 */
async function runRsync(
  { shell, address }: ReturnType<typeof reachPeer>,
  set: DataSet,
  base: Buffer,
  files: Promise<readonly Bulk[]>,
  withHoles: boolean,
  wasSent: (path: string) => void,
  over: Promise<unknown>,
): Promise<void> {
  await runLines(
    [
      'rsync',
      ...['--times', '--perms', '--owner', '--group', '--numeric-ids', '--whole-file', '--ignore-existing'],
      ...(withHoles ? ['--sparse'] : []),
      ...['--no-implied-dirs', '--from0', '--files-from=-', `--temp-dir=${BULK_FOLDER}`, '--timeout=60'],
      // With %b in it a line is written when the file was sent, not before.
      '--out-format=%b %n',
      ...['-e', shell, `${base.toString()}/`, `${address}::${set.name}/`],
    ],
    files.then((all) => Buffer.from(all.map(({ path }) => path).join('\0'), 'latin1')),
    (line) => wasSent(nameIn(line)),
    over,
  );
}

/** The name in a line of rsync's, in which other bytes than printable ones stand as `\#ooo`. (rsync(1), --8-bit-output) */
const nameIn = (line: string): string =>
  line
    .slice(line.indexOf(' ') + 1)
    .replaceAll(/\\#([0-7]{3})/g, (_whole, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** What was taken is on the disk there now. @returns false where it is another one here by now */
function agree(tree: Tree, { path, stat, sign, isUnchanged }: Taken): boolean {
  if (isUnchanged) agreeOn(tree, path, sign, { stat, stamp: steady(stat) });
  else {
    const name = tree.names.get(path);
    if (name) name.there = sign;
  }
  return isUnchanged;
}
