import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { copyIn, exec } from '../lab/lab.ts';
import { inTurn, type Measure, median, timed } from './measure.ts';
import { fillMemory } from './memory.ts';
import { labPair } from './pair.ts';
import { folders, guestNode, inStep, makeSyncPair, peerHost, sshConfig } from './sync-pair.ts';

const firstPass = { files: 10_000, bytes: 1_000_000_000, perFolder: 100, rounds: 7 } as const;
const unchanged = { files: 100_000, bytes: 80_000_000, perFolder: 200, rounds: 5 } as const;
const idleSeconds = 60;
/** What the agent may take at most: megabytes, and per cent of one processor. */
const aims = { memory: 200, idle: 0.5 } as const;

const say = (line: string): void => console.error(line);

/**
 * Admin-sync against `rsync -a` over an SSH connection of its own, on the same servers, in turn: a first pass of many
 * files into an empty folder, and a pass over many files of which none changed. Then what the agent takes of memory and
 * processor while it watches them.
 */
export async function benchSyncBulk(): Promise<readonly Measure[]> {
  await makeSyncPair(say);
  const programs = {
    make: new URL('guest/make-files.mjs', import.meta.url),
    pass: new URL('guest/first-pass.mjs', import.meta.url),
  };
  await copyIn('cms1', fileURLToPath(programs.make), '/root/bench/make-files.mjs');
  await copyIn('cms1', fileURLToPath(programs.pass), '/root/bench/first-pass.mjs');
  return [...(await benchFirstPass()), ...(await benchUnchanged()), ...(await benchIdle())];
}

async function benchFirstPass(): Promise<readonly Measure[]> {
  await agents('stop');
  await makeFiles(firstPass);
  // A first round, not counted: whoever is the first to read files that were just made takes longer.
  await firstPassOfOurs();
  await firstPassOfRsync();
  const durable: number[] = [];
  const { ours, peer } = await inTurn(firstPass.rounds, firstPassOfOurs, async () => {
    durable.push(await firstPassOfRsync('--fsync'));
    return firstPassOfRsync();
  });
  return [
    against('sync-first-pass', ours, peer),
    // A first pass of rsync's that leaves the same behind: each file on the disk.
    against('sync-first-pass-rsync-fsync', ours, durable),
  ];
}

/** From the start of the primary's agent until all is across; the other's is there. */
async function firstPassOfOurs(): Promise<number> {
  await agents('stop');
  await forgetSync();
  await exec('cms2', ['systemctl', 'start', 'cmsadm-agent']);
  await sleep(2000);
  const sync = await timed(() => exec('cms1', ['sync']));
  await fillMemory();
  // Waits for the file's event: a loop that looks would take a tenth of the processor.
  const { stdout } = await exec('cms1', [guestNode, '/root/bench/first-pass.mjs'], { timeoutMs: 600_000 });
  const ms = Number(stdout);
  await inStep();
  await sameTrees(folders.ours);
  await agents('stop');
  say(`first pass of ours: ${Math.round(ms)} ms (sync before it: ${Math.round(sync)} ms)`);
  return ms;
}

async function firstPassOfRsync(...more: readonly string[]): Promise<number> {
  await emptyOnCms2(folders.peer);
  await exec('cms1', ['sync']);
  await fillMemory();
  const ms = await timed(() => rsync(folders.peer, more));
  await sameTrees(folders.peer);
  say(`first pass of rsync${more.map((one) => ` ${one}`).join('')}: ${Math.round(ms)} ms`);
  return ms;
}

async function benchUnchanged(): Promise<readonly Measure[]> {
  await agents('stop');
  await exec('cms1', ['sh', '-c', `rm -rf ${folders.ours}/bulk-*`]);
  await makeFiles(unchanged);
  await emptyOnCms2(folders.peer);
  await forgetSync();
  await rsync(folders.ours);
  await agents('start');
  await inStep(600);
  // Stamps of files that were just written are not trusted yet.
  await sleep(3000);
  const told: number[] = [];
  const { ours, peer } = await inTurn(
    unchanged.rounds,
    async () => {
      let milliseconds = 0;
      const ms = await timed(async () => {
        milliseconds = await fullPass();
      });
      told.push(milliseconds);
      say(`pass of ours: ${Math.round(ms)} ms, of which ${milliseconds} ms by its own report`);
      return ms;
    },
    async () => {
      const ms = await timed(() => rsync(folders.ours));
      say(`pass of rsync: ${Math.round(ms)} ms`);
      return ms;
    },
  );
  return [against('sync-unchanged-by-its-report', told, peer), against('sync-unchanged', ours, peer)];
}

const reportSchema = v.pipe(v.string(), v.parseJson(), v.unknown());

/** A full pass as an operator asks for it. @returns its duration as the agent reports it, in milliseconds */
async function fullPass(): Promise<number> {
  const { stdout } = await exec('cms1', ['cmsadm', 'sync', 'now', '--json'], { timeoutMs: 600_000 });
  const took = /"milliseconds":\s*(\d+)/.exec(JSON.stringify(v.parse(reportSchema, stdout)))?.[1];
  if (took === undefined || /"ok":\s*false/.test(stdout)) throw new Error(`the full pass did not go well: ${stdout}`);
  return Number(took);
}

/**
 * Memory and processor time of both agents, with all files watched and nothing to do: also not what the last pass has left,
 * which is collected some eight seconds after it.
 */
async function benchIdle(): Promise<readonly Measure[]> {
  await inStep();
  await sleep(20_000);
  const before = await Promise.all(labPair.map(taken));
  await sleep(idleSeconds * 1000);
  const after = await Promise.all(labPair.map(taken));
  return labPair.flatMap((server, index) => {
    const [from, to] = [before[index], after[index]];
    if (from === undefined || to === undefined) throw new Error(`nothing is known of the agent on ${server}`);
    say(
      `${server}: ${to.megabytes} MB, at most ${to.most} MB; ${(to.seconds - from.seconds).toFixed(2)} s of processor`,
    );
    const idle = ((to.seconds - from.seconds) / idleSeconds) * 100;
    const aim = (measure: string, unit: Measure['unit'], ours: number, peer: number): Measure => ({
      measure: `${measure}-${server}`,
      unit,
      ours,
      peer,
      ratio: ours / peer,
      n: 1,
    });
    return [aim('sync-memory', 'MB', to.megabytes, aims.memory), aim('sync-idle', '%', idle, aims.idle)];
  });
}

type Taken = { readonly megabytes: number; readonly most: number; readonly seconds: number };

/** What the agent's process has of memory, and has had of processor time: proc(5). */
async function taken(server: (typeof labPair)[number]): Promise<Taken> {
  const script = `pid=$(systemctl show --property=MainPID --value cmsadm-agent); grep -E '^Vm(RSS|HWM)' /proc/$pid/status; cat /proc/$pid/stat`;
  const { stdout } = await exec(server, ['sh', '-c', script]);
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(stdout)?.[1]);
  // After the name in brackets: state is field 3, user and system time are fields 14 and 15, in hundredths of a second.
  const fields = stdout.slice(stdout.lastIndexOf(') ') + 2).split(' ');
  const seconds = (Number(fields[11]) + Number(fields[12])) / 100;
  return { megabytes: Math.round(kilobytes('VmRSS') / 1024), most: Math.round(kilobytes('VmHWM') / 1024), seconds };
}

const makeFiles = ({ files, bytes, perFolder }: typeof firstPass | typeof unchanged): Promise<unknown> =>
  exec('cms1', [guestNode, '/root/bench/make-files.mjs', folders.ours, ...[files, bytes, perFolder].map(String)], {
    timeoutMs: 600_000,
  });

const agents = (what: 'start' | 'stop'): Promise<unknown> =>
  Promise.all(labPair.map((server) => exec(server, ['systemctl', what, 'cmsadm-agent'])));

/** Both servers as if nothing had ever been carried: the other one's folder empty, no index, nothing kept. */
async function forgetSync(): Promise<void> {
  await emptyOnCms2(folders.ours);
  await Promise.all(
    labPair.map((server) => exec(server, ['rm', '-rf', '/var/lib/cmsadm/sync', '/var/lib/cmsadm/kept'])),
  );
}

/**
 * What a folder of cms2 holds is moved away, not deleted: a file system that tells its disk what is free (mount option
 * discard) would do so in the middle of the next run, and only those that write to the disk would wait for it.
 */
const emptyOnCms2 = (folder: string): Promise<unknown> =>
  exec('cms2', [
    'sh',
    '-c',
    `mkdir -p /srv/away; away=$(mktemp -d /srv/away/XXXXXX); find ${folder} -mindepth 1 -maxdepth 1 -exec mv -t "$away" -- {} +`,
  ]);

/** The data set of cms1 to a folder of cms2, by a new connection. */
const rsync = (to: string, more: readonly string[] = []): Promise<unknown> =>
  exec(
    'cms1',
    ['rsync', '-a', ...more, '-e', `ssh -F ${sshConfig} -o ControlPath=none`, `${folders.ours}/`, `${peerHost}:${to}/`],
    { timeoutMs: 600_000 },
  );

/** Throws where the folder of cms2 does not hold as many files, and as many bytes, as the data set of cms1. */
async function sameTrees(folder: string): Promise<void> {
  const count = async (server: (typeof labPair)[number], path: string): Promise<string> =>
    (
      await exec(server, [
        'sh',
        '-c',
        `find ${path} -type f -printf '%s\\n' | awk '{ n += 1; s += $1 } END { print n, s }'`,
      ])
    ).stdout;
  const [here, there] = await Promise.all([count('cms1', folders.ours), count('cms2', folder)]);
  if (here !== there) throw new Error(`${folder} holds ${there} (files, bytes) instead of ${here}`);
}

const against = (measure: string, ours: readonly number[], peer: readonly number[]): Measure => ({
  measure,
  unit: 'ms',
  ours: median(ours),
  peer: median(peer),
  ratio: median(ours) / median(peer),
  n: ours.length,
});
