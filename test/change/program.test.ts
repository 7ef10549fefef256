import * as fs from 'node:fs';
import { mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Change } from '../../src/change/change.ts';
import { runChange } from '../../src/change/coordinator.ts';
import { note, readJournal, unfinished, unfinishedRoles } from '../../src/change/journal.ts';
import { currentRelease, proveAgent, switchProgram } from '../../src/change/program.ts';
import { recover } from '../../src/change/recover.ts';
import { upgradeChange } from '../../src/ha/upgrade.ts';
import { type Disk, sha256 } from '../../src/host/root.ts';
import type { System } from '../../src/host/system.ts';
import { paths } from '../../src/pair/state.ts';
import { writeStatus } from '../../src/pair/sync-status.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { collected } from '../rehearsal/pair.ts';
import { profile, serverOf, type TestHost, tag, testHost } from './test-host.ts';

const folder = tempFolder();
const id = `${tag}.program`;
const agent = profile.agentUnit;
const program = { from: '1.0.0', to: '1.1.0', digest: sha256('manifest of 1.1.0') };
let number = 0;

/** The agent's process tells its status; a new one does so when its unit is restarted. */
function told(host: TestHost, pid: number): void {
  const facts = { role: 'secondary', epoch: 1, state: 'in step', lastPass: null, lag: null, queue: 0 } as const;
  const more = { passPercent: null, paused: null, seq: 0, acked: 0, conflicts: 0, sets: [] };
  writeStatus(host.root, { ...facts, ...more, pid, at: '' });
}

/** A server with two releases, the first of them in use. `agents` tells who is alive. */
function server(system: Partial<System> = {}): TestHost {
  number += 1;
  const prefix = join(folder, String(number));
  let now = 1_700_000_000_000;
  const host = testHost(prefix, {
    elapsed: () => {
      now += 2_000;
      return now;
    },
    processStart: (pid) => (pid === process.pid ? '100' : pid > 1 ? String(pid) : undefined),
    ...system,
  });
  for (const version of ['1.0.0', '1.1.0']) {
    mkdirSync(join(prefix, paths.releases, version), { recursive: true });
    writeFileSync(join(prefix, paths.releases, version, 'manifest.json'), `manifest of ${version}`);
  }
  symlinkSync('releases/1.0.0', join(prefix, paths.program));
  host.units.set(agent, { exists: true, active: true, enabled: true });
  told(host, 500);
  const { control } = host.system;
  const restarting: System['control'] = async (verb, names) => {
    await control(verb, names);
    if (names.includes(agent) && verb !== 'start') told(host, 501);
  };
  return { ...host, system: { ...host.system, control: restarting } };
}
const changeFor = (more: Partial<Change> = {}): Change => ({
  ...upgradeChange('cms1', program, profile, { tag, operator: 'ops' }),
  ...more,
});
const links = (host: TestHost) =>
  Object.fromEntries(
    readdirSync(join(host.root.prefix, '/opt/cmsadm'), { withFileTypes: true })
      .filter((entry) => entry.isSymbolicLink())
      .map(({ name }) => [name, readlinkSync(join(host.root.prefix, '/opt/cmsadm', name))]),
  );
const asBefore = { current: 'releases/1.0.0' };
const asPlanned = { current: 'releases/1.1.0' };

describe('a change of the program', () => {
  let host: TestHost;
  beforeEach(() => {
    host = server();
  });

  test('is staged without touching what is in use, and armed with the old program', async () => {
    const one = serverOf(host);
    await one.stage({ change: changeFor(), part: 'peer' });
    await one.arm({ id, seconds: 9 });
    expect(links(host)).toEqual(asBefore);
    expect(host.did).toEqual([`arm 9 recover --way-back ${id}`]);
  });

  test('switches, restarts the agent and nothing else; until it is confirmed the boot finds the old program', async () => {
    const one = serverOf(host);
    await one.stage({ change: changeFor(), part: 'peer' });
    await one.commit({ id });
    expect(links(host)).toEqual({ ...asPlanned, 'way-back': 'releases/1.0.0' });
    expect(host.did).toEqual([`try-restart ${agent}`]);
    expect(unfinished(host.root)).toEqual([id]);
    expect(unfinishedRoles(host.root), 'admin-sync goes on meanwhile').toEqual([]);
    await one.confirm({ id });
    expect(links(host)).toEqual(asPlanned);
    expect(unfinished(host.root)).toEqual([]);
  });

  test.each(['operator', 'itself'] as const)('goes back to the old release, by %s, with its agent', async (by) => {
    const one = serverOf(host);
    await one.stage({ change: changeFor(), part: 'peer' });
    await one.commit({ id });
    // The new one ended and systemd gave it up.
    host.units.set(agent, { exists: true, active: false, enabled: true });
    await one.putBack({ id, by });
    expect(links(host)).toEqual(asBefore);
    expect(host.did.filter((line) => /^(re)?start /.test(line))).not.toEqual([]);
    expect(host.units.get(agent)?.active).toBe(true);
  });

  test('a third version that somebody installed meanwhile stays', async () => {
    const one = serverOf(host);
    await one.stage({ change: changeFor(), part: 'peer' });
    await one.commit({ id });
    rmSync(join(host.root.prefix, paths.program));
    symlinkSync('releases/1.2.0', join(host.root.prefix, paths.program));
    await one.putBack({ id, by: 'operator' });
    expect(links(host)).toEqual({ current: 'releases/1.2.0' });
  });

  test.each(['staged', 'committed'])('is put back by recover when it was only %s', async (state) => {
    const one = serverOf(host);
    await one.stage({ change: changeFor(), part: 'coordinator' });
    if (state === 'committed') await one.commit({ id });
    expect(await recover(host, undefined, 'itself')).toMatchObject([{ id, did: 'put back' }]);
    expect(links(host)).toEqual(asBefore);
  });

  test('a crash between the two links is put back as well', async () => {
    const one = serverOf(host);
    await one.stage({ change: changeFor(), part: 'peer' });
    note(host.root, id, 'committing', 0, { running: [agent], enabled: [] });
    symlinkSync('releases/1.0.0', join(host.root.prefix, '/opt/cmsadm/way-back'));
    expect(await recover(host, undefined, 'operator')).toMatchObject([{ did: 'put back' }]);
    expect(links(host)).toEqual(asBefore);
  });

  test.each([
    { name: 'another version came into use', from: '0.9.0', code: 'program-changed' },
    { name: 'the new release is not there', to: '1.2.0', code: 'release-missing' },
    { name: 'the new release is another one', digest: 'x', code: 'release-missing' },
    { name: 'the name leads elsewhere', to: '1/../../..', code: 'release-missing' },
    { name: 'the old name leads elsewhere', from: '../x', code: 'program-changed' },
  ])('is refused when $name, and leaves no journal', async ({ code, name: _, ...wrong }) => {
    const change = changeFor({ program: { ...program, ...wrong } });
    await expect(serverOf(host).stage({ change, part: 'peer' })).rejects.toMatchObject({ code });
    expect(unfinished(host.root)).toEqual([]);
    expect(links(host)).toEqual(asBefore);
  });
});

/** This machine's file system until the server dies: from the call of that number on nothing answers. */
function dyingDisk(last: number): { disk: Disk; calls: () => number } {
  let calls = 0;
  const disk = new Proxy<Disk>(fs, {
    get:
      (target, name) =>
      (...args: unknown[]) => {
        calls += 1;
        if (calls > last) throw Object.assign(new Error('dead'), { code: 'EIO' });
        const call: unknown = Reflect.get(target, name);
        return typeof call === 'function' ? Reflect.apply(call, target, args) : undefined;
      },
  });
  return { disk, calls: () => calls };
}

describe('the proof of the new agent', () => {
  test.each([
    { name: 'never tells its status', tell: () => {} },
    { name: 'dies', tell: (host: TestHost) => told(host, 1) },
    {
      name: 'comes and goes',
      tell: (host: TestHost, round: number) => told(host, 600 + round),
    },
  ])('fails when it $name', async ({ tell }) => {
    let now = 0;
    let round = 0;
    const host: TestHost = server({
      elapsed: () => {
        now += 1_000;
        round += 1;
        tell(host, round);
        return now;
      },
    });
    await expect(proveAgent(host, 500, 10)).rejects.toMatchObject({ code: 'service-unhealthy' });
  });

  test('wants a process other than the old one, alive for a while', async () => {
    const host = server();
    told(host, 501);
    const begun = host.system.elapsed();
    await proveAgent(host, 500, 10);
    expect(host.system.elapsed() - begun).toBeGreaterThan(3_000);
  });
});

test('a death at any call of the file system leaves a whole release in use, and recover settles it', async () => {
  const carryOut = async (host: TestHost): Promise<void> => {
    const one = serverOf(host);
    await one.stage({ change: changeFor(), part: 'peer' });
    await one.arm({ id, seconds: 9 });
    await one.commit({ id });
    await one.confirm({ id });
  };
  const whole = dyingDisk(Number.POSITIVE_INFINITY);
  const good = server();
  await carryOut({ ...good, root: { ...good.root, disk: whole.disk } });
  expect(links(good)).toEqual(asPlanned);
  const ends = new Set<string>();
  for (let last = 0; last < whole.calls(); last += 1) {
    const host = server();
    const run = carryOut({ ...host, root: { ...host.root, disk: dyingDisk(last).disk } });
    await expect(run, `call ${last + 1}`).rejects.toThrow();
    expect(['1.0.0', '1.1.0'], `call ${last + 1}`).toContain(currentRelease(host.root));
    await recover(host, undefined, 'operator');
    expect(unfinished(host.root), `call ${last + 1}`).toEqual([]);
    const { current, ...more } = links(host);
    expect(more, `call ${last + 1}`).toEqual({});
    ends.add(current ?? '');
  }
  expect([...ends].sort()).toEqual(['releases/1.0.0', 'releases/1.1.0']);
});

describe('on two servers', () => {
  const link = {
    self: { address: '192.0.2.11', fqdn: 'cms1.example.com', hostname: 'cms1' },
    peer: { address: '192.0.2.12', fqdn: 'cms2.example.com', hostname: 'cms2', port: 22, hostKeys: [] },
    ...{ tag, broughtProgram: false, broughtFiles: [] },
  };

  test.each([
    { name: 'the peer’s new agent does not come up', broken: 'peer', end: asBefore },
    { name: 'this server’s new agent does not come up', broken: 'local', end: asBefore },
    { name: 'nothing goes wrong', broken: 'none', end: asPlanned },
  ])('both stand alike when $name', async ({ broken, end }) => {
    const dead: Partial<System> = {
      processStart: (pid) => (pid === process.pid ? '100' : undefined),
    };
    const local = server(broken === 'local' ? dead : {});
    const peer = server(broken === 'peer' ? dead : {});
    const side = (name: string, host: TestHost) => ({
      name,
      server: { ...serverOf(host), proveLogin: async () => {} },
      change: changeFor({ server: name }),
    });
    const run = runChange(
      { local: side('cms1', local), peer: side('cms2', peer) },
      { local: link, peer: link },
      collected().report,
      { requested: false },
    );
    if (broken === 'none') await run;
    else await expect(run).rejects.toMatchObject({ code: 'service-unhealthy', exitCode: 4 });
    expect([links(local), links(peer)]).toEqual([end, end]);
    expect([...unfinished(local.root), ...unfinished(peer.root)]).toEqual([]);
    expect(readJournal(peer.root, id).manifest.program).toEqual(program);
  });
});

test('what is no link to a release is no version in use', () => {
  const host = server();
  switchProgram(host.root, program);
  expect(currentRelease(host.root)).toBe('1.1.0');
  rmSync(join(host.root.prefix, paths.program));
  expect(currentRelease(host.root)).toBeUndefined();
  mkdirSync(join(host.root.prefix, paths.program));
  expect(currentRelease(host.root)).toBeUndefined();
});
