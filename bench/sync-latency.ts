import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { copyIn, exec } from '../lab/lab.ts';
import { lsyncdVersion, startLsyncd, stopLsyncd } from './lsyncd.ts';
import { type Measure, median } from './measure.ts';
import { folders, guestNode, inStep, makeSyncPair } from './sync-pair.ts';

/** Files that count, of each side; some before them warm up. */
const files = 100;
const warmUps = 5;
const changesASecond = 200;
const spread = 20;

const writeFiles = fileURLToPath(new URL('guest/write-files.mjs', import.meta.url));
const watchFiles = fileURLToPath(new URL('guest/watch-files.mjs', import.meta.url));
const diskTimes = fileURLToPath(new URL('guest/disk-times.mjs', import.meta.url));
const timesSchema = v.pipe(v.string(), v.parseJson(), v.array(v.tuple([v.string(), v.number()])));

/** What the other server's disk itself takes to keep 2 kB, measured all the while: each wait of admin-sync is at least this. */
const diskSchema = v.pipe(v.string(), v.parseJson(), v.array(v.tuple([v.number(), v.number()])));
type DiskTimes = v.InferOutput<typeof diskSchema>;

/** Path and time (milliseconds of the machine's own clock, which both servers share) of each file. */
type Times = readonly (readonly [string, number])[];

/**
 * How long a new 2 kB file of cms1 takes until it is on cms2 under its final name: admin-sync against lsyncd with no
 * delay over a kept-open SSH connection, in turn, at random gaps. Ours counts when it is on disk there. Then so many
 * changes a second with admin-sync alone: the age of the oldest file that is not across, at the end against the beginning.
 * Beside both, what the disk itself took in that time: its stalls are no tool's, and lsyncd does not wait for it.
 * @param minute seconds that the changes go on
 */
export async function benchSyncLatency(minute: string): Promise<readonly Measure[]> {
  const seconds = Number(minute === '' ? '60' : minute);
  const say = (line: string): void => console.error(line);
  await makeSyncPair(say);
  await copyIn('cms1', writeFiles, '/root/bench/write-files.mjs');
  await copyIn('cms2', watchFiles, '/root/bench/watch-files.mjs');
  await copyIn('cms2', diskTimes, '/root/bench/disk-times.mjs');
  await startLsyncd();
  say(await lsyncdVersion());
  const disk = await watchDisk();
  const total = 2 * (files + warmUps);
  // Each side's own gaps are 0.2 to 0.5 s.
  const single = await writeAndWatch(total, [100, 250], [`durable:${folders.ours}`, folders.peer], 60);
  say(`the disk itself, one file: ${told(ofDisk(await disk.stop()))}`);
  await stopLsyncd();
  await inStep();
  const ours = latencies(single, folders.ours);
  const peer = latencies(single, folders.peer);
  const stream = await changeStream(seconds);
  for (const [name, times] of [
    ['ours', ours],
    ['lsyncd', peer],
  ] as const)
    say(`${name}: ${told(times)}`);
  return [
    against('sync-latency-median', median(ours), median(peer), files),
    against('sync-latency-p99', percentile(ours, 99), percentile(peer, 99), files),
    against('sync-latency-worst', Math.max(...ours), Math.max(...peer), files),
    // No other tool: the last ten seconds against the first ten.
    against(`sync-lag-${changesASecond}-a-second`, stream.last, stream.first, stream.samples),
  ];
}

const against = (measure: string, ours: number, peer: number, n: number): Measure => ({
  measure,
  unit: 'ms',
  ours,
  peer,
  ratio: ours / peer,
  n,
});

const told = (times: readonly number[]): string =>
  `median ${median(times).toFixed(1)} ms, 99 % ${percentile(times, 99).toFixed(1)} ms, worst ${Math.max(...times).toFixed(1)} ms`;

/** The value that so many per cent do not exceed (nearest rank). */
function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil((sorted.length * percent) / 100) - 1] ?? Number.NaN;
}

type Seen = { readonly written: Times; readonly seen: ReadonlyMap<string, number> };

/** Writes files on cms1 while a watcher on cms2 notes when each is there; folders in turn, gaps in milliseconds. */
async function writeAndWatch(
  count: number,
  [least, most]: readonly [number, number],
  watched: readonly string[],
  patience: number,
): Promise<Seen> {
  const node = (name: string, ...args: readonly string[]): string[] => [guestNode, `/root/bench/${name}.mjs`, ...args];
  const ready = '/run/bench-watches';
  const seconds = Math.ceil((count * most) / 1000) + patience;
  await exec('cms2', ['rm', '-f', ready]);
  const watching = exec('cms2', node('watch-files', String(count), String(seconds), ready, ...watched), {
    timeoutMs: (seconds + 30) * 1000,
  });
  while ((await exec('cms2', ['test', '-e', ready], { reject: false })).exitCode !== 0) await sleep(50);
  const plain = watched.map((folder) => folder.replace('durable:', ''));
  const write = node('write-files', ...[count, least, most].map(String), ...plain);
  const written = v.parse(timesSchema, (await exec('cms1', write, { timeoutMs: (seconds + 30) * 1000 })).stdout);
  const seen = new Map(v.parse(timesSchema, (await watching).stdout));
  const missing = written.filter(([path]) => !seen.has(path));
  if (missing.length > 0)
    throw new Error(`${missing.length} of ${count} files did not come, such as ${missing[0]?.[0]}`);
  return { written, seen };
}

const latencies = ({ written, seen }: Seen, folder: string): number[] =>
  written
    .filter(([path]) => path.startsWith(`${folder}/`))
    .slice(warmUps)
    .map(([path, at]) => (seen.get(path) ?? Number.NaN) - at);

const diskFolder = '/srv/disk-times';

/** Measures the disk of cms2 from now on, until it is stopped. */
async function watchDisk(): Promise<{ readonly stop: () => Promise<DiskTimes> }> {
  await exec('cms2', ['mkdir', diskFolder]);
  const measuring = exec('cms2', [guestNode, '/root/bench/disk-times.mjs', diskFolder], { timeoutMs: 600_000 });
  const stop = async (): Promise<DiskTimes> => {
    await exec('cms2', ['mv', diskFolder, `${diskFolder}.old`]);
    const times = v.parse(diskSchema, (await measuring).stdout);
    await exec('cms2', ['rm', '-r', `${diskFolder}.old`]);
    return times;
  };
  return { stop };
}

const ofDisk = (times: DiskTimes): number[] => times.map(([, took]) => took);

/** The longest wait for the disk in the second from here on. */
const worstIn = (times: DiskTimes, from: number): number =>
  Math.max(0, ...times.filter(([at, took]) => at + took >= from && at < from + 1000).map(([, took]) => took));

/** The mean lag of the first and of the last ten samples, one a second. */
async function changeStream(seconds: number): Promise<{ first: number; last: number; samples: number }> {
  const places = Array.from({ length: spread }, (_, i) => `${folders.ours}/bench-${i}`);
  await exec('cms1', ['mkdir', ...places]);
  await sleep(1000);
  await inStep();
  const gap = 1000 / changesASecond;
  const disk = await watchDisk();
  const { written, seen } = await writeAndWatch(seconds * changesASecond, [gap, gap], places, 120);
  const kept = await disk.stop();
  const begun = written[0]?.[1] ?? 0;
  const lags = Array.from({ length: seconds }, (_, second) => lagAt(begun + second * 1000 + 1000, written, seen));
  console.error(`lag each second, ms: ${lags.map((lag) => Math.round(lag)).join(' ')}`);
  const waits = lags.map((_, second) => worstIn(kept, begun + second * 1000));
  console.error(`the disk itself, worst of each second, ms: ${waits.map((wait) => Math.round(wait)).join(' ')}`);
  const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;
  const part = Math.min(10, Math.floor(seconds / 2));
  return { first: mean(lags.slice(0, part)), last: mean(lags.slice(-part)), samples: lags.length };
}

/** At a moment: how long the oldest file that was written but is not across has been waiting; 0 where there is none. */
function lagAt(moment: number, written: Times, seen: Seen['seen']): number {
  const oldest = written.find(([path, at]) => at <= moment && (seen.get(path) ?? Number.POSITIVE_INFINITY) > moment);
  return oldest === undefined ? 0 : moment - oldest[1];
}
