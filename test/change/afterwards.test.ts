// What goes when a link has ended: the boot unit, and the program that set up brought. Whenever the process dies, the
// server settles by itself, and nothing of it stays for ever.
import * as fs from 'node:fs';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { takeAwayTheRest } from '../../src/change/afterwards.ts';
import { decide, unfinished } from '../../src/change/journal.ts';
import { recover } from '../../src/change/recover.ts';
import { recoverCommand } from '../../src/commands/recover.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { paths, readLink } from '../../src/pair/state.ts';
import { runCommand } from '../crash-points/command-run.ts';
import { watched } from '../crash-points/memory-disk.ts';
import { run } from '../crash-points/operations.ts';
import { prepare, type Stage } from '../crash-points/trial.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeOf, serverOf, type TestHost, tag, testHost, textAt } from './test-host.ts';

const folder = tempFolder();
const id = `${tag}.link`;
const unit = 'cmsadm-recover.service';
const afterwards = { removeFiles: [paths.recoverUnit], disableUnits: [unit], removeProgram: true };
let number = 0;

/** A server whose end of the link is decided, with the way back's timer armed, and whose run has died. */
async function decided(): Promise<TestHost> {
  number += 1;
  const prefix = join(folder, String(number));
  const host = testHost(prefix, {
    runInstaller: async () => rmSync(join(prefix, dirname(paths.program)), { recursive: true }),
  });
  for (const path of [paths.recoverUnit, `${paths.program}/templates/install`, paths.link]) {
    mkdirSync(join(prefix, dirname(path)), { recursive: true });
    writeFileSync(join(prefix, path), 'text\n');
  }
  host.units.set(unit, { exists: true, active: false, enabled: true });
  const change = changeOf(host, { [paths.link]: null }, { step: 'link', afterwards });
  const server = serverOf(host);
  await server.stage({ change, part: 'alone' });
  await server.commit({ id });
  decide(host.root, id, 'confirmed');
  return host;
}

/** The same server as a process sees it that dies at this call; systemd ends one that stops its own unit. */
function dying(host: TestHost, at: number): { host: TestHost; isDead: () => boolean } {
  let calls = 0;
  let isDead = false;
  const step = (): void => {
    calls += 1;
    isDead ||= calls > at;
    if (isDead) throw new CmsadmError('killed', 'This process is dead.');
  };
  const { control, runInstaller, reloadUnitFiles, disarm } = host.system;
  const system: TestHost['system'] = {
    ...host.system,
    control: async (verb, units) => {
      step();
      isDead = verb === 'stop' && units.includes(unit);
      await control(verb, units);
    },
    runInstaller: async (...told) => {
      step();
      await runInstaller(...told);
    },
    reloadUnitFiles: async () => {
      step();
      await reloadUnitFiles();
    },
    disarm: async (timer) => {
      step();
      await disarm(timer);
    },
  };
  const disk = watched(fs, (_call, _path, kind) => (kind === 'write' ? step() : undefined));
  return { host: { ...host, root: { ...host.root, disk }, system }, isDead: () => isDead };
}

const bootFindsUnit = (host: TestHost): boolean =>
  host.units.get(unit)?.enabled === true && existsSync(join(host.root.prefix, paths.recoverUnit));
/** As main.ts does where nobody is there, and the command of the operator. */
async function settle(host: TestHost, only?: typeof id, by: 'operator' | 'itself' = 'itself'): Promise<void> {
  await recover(host, only, by);
  await takeAwayTheRest(host);
}
const boot = async (host: TestHost): Promise<void> => {
  if (bootFindsUnit(host)) await settle(host);
};
const settleOnce = (host: TestHost): Promise<unknown> => settle(host).catch(() => undefined);

describe('a process that finishes the end of a link', () => {
  test('at boot does not end itself: nothing stays', async () => {
    const host = await decided();
    await settle(dying(host, Number.POSITIVE_INFINITY).host);
    expect(host.did).not.toContain(`stop ${unit}`);
    expect(unfinished(host.root)).toEqual([]);
    expect(host.units.get(unit)).toMatchObject({ enabled: false });
    expect(textAt(host, paths.recoverUnit)).toBeUndefined();
    expect(textAt(host, `${paths.recoverUnit}.${tag}`)).toBe('text\n');
    expect(existsSync(join(host.root.prefix, dirname(paths.program)))).toBe(false);
    expect(host.did.at(-1)).toBe('disarm');
  });

  test('and dies at any call leaves what the next boot, its timer or recover takes up', {
    timeout: 60_000,
  }, async () => {
    let last = false;
    for (let at = 0; !last; at += 1)
      for (const by of ['boot', 'timer'] as const) {
        const host = await decided();
        const one = dying(host, at);
        await settleOnce(one.host);
        last = !one.isDead();
        const died = `dead at call ${at}, then ${by}`;
        if (by === 'boot') await boot(host);
        else if (!host.did.includes('disarm')) await settle(host, id);
        expect(unfinished(host.root), died).toEqual([]);
        expect(bootFindsUnit(host), died).toBe(false);
        if (by === 'boot') await settle(host, undefined, 'operator');
        expect(textAt(host, paths.recoverUnit), died).toBeUndefined();
        expect(existsSync(join(host.root.prefix, dirname(paths.program))), died).toBe(false);
        expect(number, 'it has an end').toBeLessThan(300);
      }
  });
});

test('what systemd refused at the end of a link is done by recover, as its last step: no timer outlives the program', async () => {
  const host = await decided();
  const { reloadUnitFiles } = host.system;
  const refused = new CmsadmError('service-failed', 'It did not end in its time.');
  const system = { ...host.system, reloadUnitFiles: () => Promise.reject(refused) };
  await serverOf({ ...host, system })
    .confirm({ id })
    .catch(() => undefined);
  expect([textAt(host, paths.recoverUnit), host.did.includes('disarm')]).toEqual([undefined, false]);
  host.system.reloadUnitFiles = reloadUnitFiles;
  await recover(host, undefined, 'operator');
  expect(existsSync(join(host.root.prefix, paths.program))).toBe(true);
  await takeAwayTheRest(host);
  expect(existsSync(join(host.root.prefix, paths.program))).toBe(false);
  expect(host.did).toContain('disarm');
});

test('recover leaves the program that it runs in its place until its last step', async () => {
  const host = await decided();
  expect(await recover(host, undefined, 'operator')).toMatchObject([{ id, did: 'confirmed' }]);
  expect([unfinished(host.root), host.did.includes('disarm')]).toEqual([[], false]);
  expect(existsSync(join(host.root.prefix, paths.program))).toBe(true);
  await takeAwayTheRest(host);
  expect(existsSync(join(host.root.prefix, paths.program))).toBe(false);
  expect(host.did.at(-1)).toBe('disarm');
});

test('the boot unit of a link that stands is no leftover of the one before', async () => {
  const host = await decided();
  await settleOnce(host);
  const later = { tag: 'zdt_4711_1700000100', step: 'link' } as const;
  const server = serverOf(host);
  await server.stage({ change: changeOf(host, { [paths.recoverUnit]: 'new\n' }, later), part: 'alone' });
  await server.commit({ id: `${later.tag}.link` });
  await server.confirm({ id: `${later.tag}.link` });
  await settle(host, undefined, 'operator');
  expect(textAt(host, paths.recoverUnit)).toBe('new\n');
});

describe('disable, where the other server can’t take its program away', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await prepare('disable');
  });

  test('ends both ends of the link all the same, and says what is left', async () => {
    const world = stage.before.copy();
    const at = stage.points.cms2.findIndex(({ call, path }) => call === 'install' && path === '--remove');
    world.watch({ server: 'cms2', at, kind: 'fails' });
    await expect(run(world, 'disable')).rejects.toMatchObject({
      code: 'link-remains',
      exitCode: exitCodes.needsPerson,
      remedy: expect.stringContaining('`cmsadm recover` on cms2'),
    });
    await world.quiet();
    for (const name of ['cms1', 'cms2'] as const)
      expect(readLink({ prefix: '/', ownersCount: true, disk: world.servers[name].disk })).toBeUndefined();
  });
});

test('recover that can’t do its last step tells what it settled all the same, and that a person is needed', async () => {
  const stage = await prepare('disable');
  const world = stage.before.copy();
  const at = stage.points.cms1.findIndex(({ call, path }) => call === 'disable' && path.includes(unit));
  world.watch({ server: 'cms1', at, kind: 'fails' });
  await run(world, 'disable').catch(() => undefined); // its timer has not come yet
  world.heal();
  const control = (): Promise<never> => Promise.reject(new CmsadmError('service-failed', 'It did not end.'));
  await runCommand(world, 'cms1', 97, async (context) => {
    const host = { ...context.host, system: { ...context.host.system, control } };
    expect(await recoverCommand({ ...context, host })).toMatchObject({
      exitCode: exitCodes.needsPerson,
      result: { outcome: 'done', servers: [{ reachable: true }] },
      error: { code: 'link-remains', message: expect.stringContaining('It did not end.') },
    });
  });
});

describe('disable, whose server loses power once the boot unit is switched off', () => {
  test.each(['cms1', 'cms2'] as const)('on %s: set up switches it on again', async (name) => {
    const stage = await prepare('disable');
    const world = stage.before.copy();
    const off = stage.points[name].findIndex(({ call, path }) => call === 'disable' && path.includes(unit));
    const at = stage.points[name].findIndex(({ kind }, index) => index > off && kind === 'write');
    world.watch({ server: name, at, kind: 'power cut' });
    await run(world, 'disable').catch(() => undefined);
    await world.quiet();
    world.heal();
    await world.boot(name);
    await world.quiet();
    const server = world.servers[name];
    expect([server.units.get(unit)?.enabled, server.disk.existsSync(paths.recoverUnit)]).toEqual([false, true]);
    await run(world, 'set up', 98);
    await world.quiet();
    for (const one of Object.values(world.servers)) expect(one.units.get(unit)).toMatchObject({ enabled: true });
  });
});
