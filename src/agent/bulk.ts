import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, runLines } from '../host/processes.ts';
import { at, makeFolders } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { type Link, paths } from '../pair/state.ts';
import { baseOf, orGone, placeIn } from './data-set.ts';
import { BULK_FOLDER, type DataSet } from './entry.ts';
import type { Line, Sent } from './line.ts';
import type { LiveSet } from './live-set.ts';
import { agreeOn, whileBusy } from './send.ts';
import { type Bulk, makeTaker, type Taken } from './taker.ts';
import { provisionalSign, stampOf } from './tree.ts';

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
    const files = wanted.flatMap((path): Bulk[] => {
      const name = tree.names.get(path);
      if (!name || name.there !== undefined) return [];
      const stat = orGone(() => fs.lstatSync(placeIn(base, path)));
      // Of a file with several names its own must be known before the others.
      return stat?.isFile() && stat.nlink === 1 && name.here === provisionalSign(stampOf(stat)) ? [{ path, stat }] : [];
    });
    const bytes = files.reduce((sum, { stat }) => sum + stat.size, 0);
    if ((files.length < ENOUGH.files && bytes < ENOUGH.bytes) || !(await hasTools())) return sendFolders();
    if ((await line.session.call('agentBulk', { epoch: line.epoch, set: set.name })) !== true) return sendFolders();
    const taker = makeTaker(line, live, files);
    const peer = reachPeer(host, link);
    // Looking for holes costs rsync a good part of its time.
    const plain = files.filter(({ stat }) => !hasHoles(stat));
    const holed = files.filter(({ stat }) => hasHoles(stat));
    const start = (some: readonly Bulk[], withHoles: boolean, gate: Promise<boolean>): Promise<unknown> =>
      Promise.all(sharesOf(some).map((share) => runRsync(peer, set, base, share, withHoles, gate, taker.wasSent)));
    let taken: readonly Taken[] = [];
    let sent: Sent;
    let open: (really: boolean) => void = () => {};
    try {
      // rsync logs in while the folders are made; it hears of its files when they are.
      const runs = start(
        plain,
        false,
        new Promise((resolve) => {
          open = resolve;
        }),
      );
      sent = await sendFolders();
      await whileBusy(
        line,
        live,
        files.map(({ path }) => path),
        async () => {
          open(true);
          await othersMeanwhile(line, runs);
          if (holed.length > 0) await othersMeanwhile(line, start(holed, true, Promise.resolve(true)));
        },
      );
      taken = await taker.takeRest();
    } finally {
      open(false);
      await line.session.call('agentBulkEnd', { epoch: line.epoch, set: set.name });
    }
    for (const one of taken) agree(line, live, one, sent);
    tree.agreed.flush();
    return sent;
  };
}

/**
 * Two shares of about as many bytes, for two connections, where that is worth a second login: the end that receives is the
 * slower one, and one connection keeps one processor of it busy.
 */
function sharesOf(files: readonly Bulk[]): Bulk[][] {
  if (files.length === 0) return [];
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

async function hasTools(): Promise<boolean> {
  const asked = await Promise.all([run(['rsync', '--version']), run(['ssh', '-V'])]);
  return asked.every(({ exitCode }) => exitCode === 0);
}

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
 * @param gate when rsync may begin; false: it ends without having brought anything
 * @param wasSent hears of each file once its last byte was sent
 */
async function runRsync(
  { shell, address }: ReturnType<typeof reachPeer>,
  set: DataSet,
  base: Buffer,
  files: readonly Bulk[],
  withHoles: boolean,
  gate: Promise<boolean>,
  wasSent: (path: string) => void,
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
    gate.then((isOpen) => Buffer.from(isOpen ? files.map(({ path }) => path).join('\0') : '', 'latin1')),
    (line) => wasSent(nameIn(line)),
  );
}

/** The name in a line of rsync's, in which other bytes than printable ones stand as `\#ooo`. (rsync(1), --8-bit-output) */
const nameIn = (line: string): string =>
  line
    .slice(line.indexOf(' ') + 1)
    .replaceAll(/\\#([0-7]{3})/g, (_whole, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** What was taken is on the disk there now. */
function agree(line: Line, { set, tree }: LiveSet, { path, stat, sign, isUnchanged }: Taken, sent: Sent): void {
  if (!isUnchanged) {
    const name = tree.names.get(path);
    if (name) name.there = sign;
    return;
  }
  line.acknowledged(line.next(), set.name);
  agreeOn(tree, path, sign, stat);
  sent.sent += 1;
  sent.bytes += stat.size;
}
