import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { runProgram } from '../../src/agent/program.ts';
import { runAgent } from '../../src/agent/run-agent.ts';
import { callAgent, openAgent } from '../../src/agent/socket.ts';
import { concernsWanted } from '../../src/agent/wanted.ts';
import { CmsadmError } from '../../src/errors.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import type { SyncStatus } from '../../src/pair/sync-status.ts';
import type { Profile } from '../../src/profile/schema.ts';
import { profile, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const timing = {
  ...{ retry: 50, settle: 20, heartbeat: 50, reachable: 100, folders: 60_000, compare: 60_000, coalesce: 3 },
  ...{ wanted: 20, wantedFirst: 20 },
};
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const inside = (host: Host, name: string): string => join(host.root.prefix, name);

/** A profile whose data set holds password ages, and two small programs of this server that see to them. */
function agesOf(host: Host, every: number): Profile {
  const program = (name: string, text: string): [string] => {
    const place = inside(host, name);
    fs.writeFileSync(place, `#!/bin/sh -e\ncd "${host.root.prefix}"\n${text}\n`, { mode: 0o755 });
    return [place];
  };
  const wanted = {
    apply: program(
      'apply',
      'if [ -e broken ]; then echo "no such user" >&2; exit 3; fi\ncp admin/ages ages; echo x >>runs',
    ),
    report: program('report', "if [ -e stubborn ]; then cat stubborn; fi; diff admin/ages ages | sed -n 's/^[<>] //p'"),
    every,
    seconds: 10,
  };
  const [admin] = profile.dataSets;
  return { ...profile, dataSets: [{ ...admin, wanted }] } as Profile;
}

function start(host: Host, peer: Host | undefined, every = 600): string[] {
  const aborter = new AbortController();
  const lines: string[] = [];
  const done = runAgent(host, agesOf(host, every), {
    signal: aborter.signal,
    log: (line) => void lines.push(line),
    login: peer ? () => openAgent(peer.root) : () => Promise.reject(new CmsadmError('unreachable', 'Nobody there.')),
    timing,
    run: runProgram,
  });
  stops.push(async () => {
    aborter.abort();
    await done;
  });
  return lines;
}

type Standing = NonNullable<SyncStatus['sets'][number]['wanted']>;
const standing = async (host: Host): Promise<Standing | undefined> =>
  ((await callAgent(host, 'syncStatus').catch(() => undefined)) as SyncStatus | undefined)?.sets[0]?.wanted;
const stands = (host: Host, state: Standing['state']): Promise<Standing | undefined> =>
  until(
    () => standing(host),
    (found) => found?.state === state,
  );
const ages = (host: Host): string | undefined =>
  fs.existsSync(inside(host, 'ages')) ? fs.readFileSync(inside(host, 'ages'), 'utf8') : undefined;
const agesAre = (host: Host, text: string): Promise<unknown> =>
  until(
    () => ages(host),
    (found) => found === text,
  );
const alarms = (host: Host): string[] => readAlarms(host.root).map(({ text }) => text);

async function pair(every?: number): Promise<{ one: Host; two: Host; lines: string[] }> {
  const { one, two } = twoServers();
  write(one, 'ages', 'bob 60\n');
  start(two, one, every);
  const lines = start(one, two, every);
  await agesAre(one, 'bob 60\n');
  await agesAre(two, 'bob 60\n');
  await stands(one, 'as wanted');
  await stands(two, 'as wanted');
  return { one, two, lines };
}

describe('wanted state', () => {
  it('is applied although a bulk transfer was cut off, and its primary does not come back', async () => {
    const { two } = twoServers();
    write(two, 'ages', 'bob 60\n');
    fs.mkdirSync(inside(two, 'run/cmsadm'), { recursive: true });
    fs.writeFileSync(inside(two, 'run/cmsadm/rsyncd.conf'), '# no data set\n');
    start(two, undefined);
    await agesAre(two, 'bob 60\n');
  });

  it('is applied on both servers, at the start and after each change', async () => {
    const { one, two } = await pair();
    write(one, 'ages', 'bob 90\n');
    await agesAre(one, 'bob 90\n');
    await agesAre(two, 'bob 90\n');
    await until(
      () => [...alarms(one), ...alarms(two)],
      (found) => found.length === 0,
    );
  });

  it('that one server fails to apply is an alarm there, and holds up neither the files nor the other server', async () => {
    const { one, two } = await pair();
    fs.writeFileSync(inside(two, 'broken'), '');
    write(one, 'ages', 'bob 90\n');
    const failed = await stands(two, 'apply failed');
    expect(failed?.lines).toEqual(['exit code 3', 'no such user']);
    expect(alarms(two)).toEqual([
      'This server does not stand as the data set admin wants it: apply failed: exit code 3; no such user',
    ]);
    await agesAre(one, 'bob 90\n');
    await stands(one, 'as wanted');
    await until(
      () => tree(two)['ages'],
      (there) => there === 'bob 90\n',
    );
    await until(
      () => callAgent(one, 'syncStatus') as Promise<SyncStatus>,
      ({ state }) => state === 'in step',
    );
    fs.rmSync(inside(two, 'broken'));
    // A full pass has it tried again.
    await callAgent(one, 'syncNow');
    await stands(two, 'as wanted');
    expect(ages(two)).toBe('bob 90\n');
    expect(alarms(two)).toEqual([]);
  });

  it('that a program reports as not reached is told line by line, and is over when it is', async () => {
    const { one, lines } = await pair(1);
    fs.writeFileSync(inside(one, 'stubborn'), 'carol: 30 days instead of 60\n\n  dave: \x1b[2Jno account\n');
    const differs = await stands(one, 'differs');
    expect(differs?.lines).toEqual(['carol: 30 days instead of 60', 'dave: \\x1b[2Jno account']);
    expect(alarms(one)).toHaveLength(1);
    fs.rmSync(inside(one, 'stubborn'));
    await stands(one, 'as wanted');
    expect(alarms(one)).toEqual([]);
    expect(lines.filter((line) => line.startsWith('event wanted-'))).toEqual([
      expect.stringMatching(/^event wanted-differs: This server does not stand .* carol: 30 days instead of 60; /),
      'event wanted-reached: admin',
    ]);
  });

  it('keeps not more of a report than a person reads', async () => {
    const { one } = await pair(1);
    fs.writeFileSync(inside(one, 'stubborn'), `${'y'.repeat(500)}\n`.repeat(100));
    const differs = await stands(one, 'differs');
    expect(differs?.lines).toHaveLength(20);
    expect(differs?.lines[0]).toHaveLength(200);
  });

  it('is applied on a server that cannot reach the other one', async () => {
    const { one } = twoServers();
    write(one, 'ages', 'bob 60\n');
    start(one, undefined);
    await agesAre(one, 'bob 60\n');
    write(one, 'ages', 'bob 90\n');
    await agesAre(one, 'bob 90\n');
  });

  it('is applied every so often without any change', async () => {
    const { one } = await pair(1);
    fs.writeFileSync(inside(one, 'ages'), 'edited by hand\n');
    await agesAre(one, 'bob 60\n');
  });

  it('is not applied over and over where nothing happens', async () => {
    const { one } = await pair();
    const runs = (): number => fs.readFileSync(inside(one, 'runs'), 'utf8').split('\n').length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = runs();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(runs()).toBe(before);
  });
});

describe('what concerns wanted state', () => {
  const [admin] = profile.dataSets;
  const concerned = (files: string[] | undefined) => {
    if (!admin) throw new Error('no data set');
    const wanted = { apply: ['/a'], report: ['/r'], every: 600, seconds: 10, ...(files ? { files } : {}) };
    const concerns = concernsWanted({ ...admin, exclude: ['*.log'], wanted });
    const paths = [
      undefined,
      'ages',
      'ages.zdt_1_1700000000',
      'packages',
      'packages/a/b',
      'packages2',
      'acd/1',
      'a.log',
    ];
    return paths.filter(concerns);
  };
  it('is all that the set carries, or the files and folders that it names', () => {
    expect(concerned(undefined)).toEqual([undefined, 'ages', 'packages', 'packages/a/b', 'packages2', 'acd/1']);
    expect(concerned(['ages', 'packages'])).toEqual([undefined, 'ages', 'packages', 'packages/a/b']);
    expect(concerned([])).toEqual([undefined]);
  });
});
