import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeArgv } from '../src/backup/archiver.ts';
import { makePairFolder } from '../src/rehearsal/pair-folder.ts';
import { inTurn, type Measure, median } from './measure.ts';

const programRoot = fileURLToPath(new URL('..', import.meta.url));
const program = join(programRoot, 'dist/cli.js');
const pairs = 3;
const fileCount = 50_000;
const roomNeeded = 9 * 1024 ** 3;

/**
 * The filesystem backup of a tree of 2 GB in 50,000 files against the same archiver with the same options run by hand:
 * as it is (tar alone), with its archive on the disk (tar, sync), and read back (tar, sync, then tar --compare). Then the
 * restore, held against the tree by rsync.
 */
export async function benchBackup(): Promise<readonly Measure[]> {
  if (process.getuid?.() !== 0) throw new Error('devices and access lists need root');
  const folder = fs.mkdtempSync(join(tmpdir(), 'cmsadm-bench-'));
  const { bavail, bsize } = fs.statfsSync(folder);
  try {
    if (bavail * bsize < roomNeeded) throw new Error(`${folder} has no room for 9 GB`);
    await makePairFolder(folder, programRoot);
    const root = join(folder, 'cms1');
    fs.mkdirSync(join(root, 'backup'));
    makeTree(join(root, 'cms/customer'));
    return [restoredAlike(root), ...(await againstTar(root)), ...(await againstCpio(root))];
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** 50,000 files of 2 GB in all, and what a plain copy would lose: hard links, access lists, attributes, holes, devices. */
function makeTree(tree: string): void {
  const random = randomBytes(4 * 1024 * 1024);
  for (let i = 0; i < fileCount; i += 1) {
    const folder = join(tree, `d${i % 500}`);
    if (i < 500) fs.mkdirSync(folder, { recursive: true });
    const from = (i * 977) % (3 * 1024 * 1024);
    fs.writeFileSync(join(folder, `f${i}`), random.subarray(from, from + 1000 + ((i * 7919) % 80_000)));
    if (i % 50 === 0) fs.linkSync(join(folder, `f${i}`), join(folder, `l${i}`));
  }
  for (let i = 0; i < 20; i += 1) {
    fs.writeFileSync(join(tree, `sparse${i}`), 'begin');
    fs.truncateSync(join(tree, `sparse${i}`), 10 * 1024 * 1024);
    execFileSync('mknod', [join(tree, `device${i}`), i % 2 ? 'b' : 'c', '7', String(i)]);
  }
  const some = Array.from({ length: 1000 }, (_, n) => join(tree, `d${n % 500}/f${n}`));
  execFileSync('setfacl', ['-m', 'u:1234:rw,g:4321:r', ...some]);
  for (const file of some.slice(0, 200)) execFileSync('setfattr', ['-n', 'user.bench', '-v', 'kept', file]);
}

type Timed = { readonly seconds: number; readonly peakMb: number };
let peakMb = 0;

/** Runs one process to its end; its peak of memory is what the kernel tells just before. */
function timed(argv: readonly string[], folder: string): Promise<Timed> {
  return new Promise((resolve, reject) => {
    const [file = '', ...args] = argv;
    const begun = performance.now();
    const child = spawn(file, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    let peak = 0;
    const look = setInterval(() => {
      peak = Math.max(peak, peakOf(child.pid ?? 0));
    }, 20);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      clearInterval(look);
      const seconds = (performance.now() - begun) / 1000;
      if (code === 0) resolve({ seconds, peakMb: peak });
      else reject(new Error(`${argv.join(' ')} ended with ${code}: ${said.slice(-2000)}`));
    });
  });
}

const peakOf = (pid: number): number => {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0; // it has ended
  }
};

const archive = 'backup/by-hand';
const cleared = (root: string): void => {
  for (const name of fs.readdirSync(join(root, 'backup'))) fs.rmSync(join(root, 'backup', name));
  // What is dirty from before must not slow the next side down.
  execFileSync('sync');
};

/** Our whole process, from its start to its end. */
const ours =
  (root: string, ...more: string[]) =>
  async (): Promise<number> => {
    cleared(root);
    const argv = [
      process.execPath,
      program,
      `--root=${root}`,
      'backup',
      '--device=2',
      '--path=/backup',
      '--yes',
      '--json',
    ];
    const { seconds, peakMb: peak } = await timed([...argv, ...more], root);
    peakMb = Math.max(peakMb, peak);
    return seconds;
  };

/** The archiver, the names that it shall save found by find, and what follows, one after the other in one shell. */
const byHand = (root: string, script: string) => async (): Promise<number> => {
  cleared(root);
  return (await timed(['sh', '-ec', script], root)).seconds;
};

const quoted = (argv: readonly string[]): string => argv.map((word) => `'${word}'`).join(' ');
const leftOut = '( -path ./backup -o -path ./run -o -path ./tmp ) -prune -o'.replaceAll(/[()]/g, '\\$&');
const names = `find . ${leftOut} ! -type s -print0`;
const handTar = `${names} | ${quoted(makeArgv.tar)} > ${archive}`;
const handCpio = `${names} | ${quoted(makeArgv.cpio)} > ${archive}`;

async function against(measure: string, own: () => Promise<number>, peer: () => Promise<number>): Promise<Measure> {
  await inTurn(1, own, peer);
  const times = await inTurn(pairs, own, peer);
  const [mine, theirs] = [median(times.ours), median(times.peer)];
  return { measure, unit: 's', ours: mine, peer: theirs, ratio: mine / theirs, n: pairs };
}

async function againstTar(root: string): Promise<Measure[]> {
  peakMb = 0;
  const unread = ours(root, '--unread');
  const measures = [
    await against('backup-tar', unread, byHand(root, handTar)),
    await against('backup-tar-synced', unread, byHand(root, `${handTar}; sync ${archive}`)),
    await against(
      'backup-tar-read-back',
      ours(root),
      byHand(
        root,
        `${handTar}; sync ${archive}; dd if=${archive} iflag=nocache count=0 status=none; tar --compare --file=${archive}`,
      ),
    ),
  ];
  return [
    ...measures,
    { measure: 'backup-tar-memory', unit: 'MB', ours: peakMb, peer: 150, ratio: peakMb / 150, n: pairs },
  ];
}

async function againstCpio(root: string): Promise<Measure[]> {
  return [
    await against(
      'backup-cpio-synced',
      ours(root, '--unread', '--format=cpio'),
      byHand(root, `${handCpio}; sync ${archive}`),
    ),
  ];
}

/** Restores the last backup into a folder and has rsync look for any difference: `ours` is how many it found. */
function restoredAlike(root: string): Measure {
  const differences = (['tar', 'cpio'] as const).map((format) => {
    cleared(root);
    const run = (...args: string[]): string =>
      execFileSync(process.execPath, [program, `--root=${root}`, 'backup', ...args, '--yes', '--json'], {
        encoding: 'utf8',
      });
    const { name = '' } = JSON.parse(run('--device=2', '--path=/backup', `--format=${format}`));
    run('restore', String(name), '--into=/restored');
    const found = execFileSync(
      'rsync',
      [
        '-aHAXn',
        '--checksum',
        '--delete',
        '--itemize-changes',
        join(root, 'cms/customer/'),
        join(root, 'restored/cms/customer/'),
      ],
      { encoding: 'utf8' },
    );
    const odd = oddOnes(join(root, 'cms/customer'), join(root, 'restored/cms/customer'));
    fs.rmSync(join(root, 'restored'), { recursive: true });
    return found.split('\n').filter((line) => line !== '').length + odd;
  });
  const total = differences.reduce((sum, one) => sum + one, 0);
  if (total > 0) throw new Error(`the restored trees differ: ${differences.join(' and ')} lines`);
  return { measure: 'backup-restore-differences', unit: '%', ours: total, peer: 0, ratio: 1, n: 2 };
}

/** How many devices have another number, and files with holes none any more. */
const oddOnes = (tree: string, restored: string): number =>
  Array.from({ length: 20 }, (_, i) => {
    const { blocks, size } = fs.statSync(join(restored, `sparse${i}`));
    const device = (root: string): number => fs.lstatSync(join(root, `device${i}`)).rdev;
    return Number(blocks * 512 > size / 10) + Number(device(tree) !== device(restored));
  }).reduce((sum, one) => sum + one, 0);
