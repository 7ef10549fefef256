import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { configPkg } from '../../src/commands/config-pkg.ts';
import type { CommandContext } from '../../src/commands/context.ts';
import { pkgInstall } from '../../src/commands/pkg-install.ts';
import { pkgRemove } from '../../src/commands/pkg-remove.ts';
import { runPkg } from '../../src/commands/run-pkg.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import type { RunHook } from '../../src/features/hooks.ts';
import { standAsWanted } from '../../src/features/stand.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type NewPair, pairMaker, type RehearsalPair, refusalOf, standing } from '../rehearsal/pair.ts';
import { buildFixture, licenceFor } from './fixture-packages.ts';

const folder = tempFolder();
let make: NewPair;
let ready: RehearsalPair;

const history = 'external_call_history';
const unit = `cmsadm-pkg-${history}.service`;
const home = `opt/cmsadm-packages/${history}`;
const hooks = {
  install: { file: 'hooks/check', seconds: 5 },
  settings: { file: 'hooks/check', seconds: 5 },
  remove: { file: 'hooks/check', seconds: 5 },
};

beforeAll(async () => {
  make = await pairMaker(folder);
  ready = make('ready');
  await licenceFor(join(ready.cms1, 'root/features.zip'));
  await buildFixture(history, join(ready.cms1, 'root/old.zip'), { source: { hooks } });
  await buildFixture(history, join(ready.cms1, 'root/new.zip'), {
    source: { hooks, version: '2.0.0' },
    files: { 'bin/more': '#!/bin/sh\n', [`units/${unit}`]: '[Service]\nExecStart=/bin/false\n' },
  });
}, 60_000);

const install = (context: CommandContext, zip: string) =>
  pkgInstall(context, { package: `/root/${zip}.zip`, 'licence-package': '/root/features.zip' });

/** A server on which the old version is installed and on. */
async function running(name: string): Promise<RehearsalPair> {
  const pair = make(name, ready);
  await install(pair.context(pair.cms1), 'old');
  await runPkg(pair.context(pair.cms1), { name: history, state: 'on' });
  return pair;
}
const unitsAt = (server: string): Record<string, unknown> => JSON.parse(readFileSync(`${server}.units.json`, 'utf8'));
/** What stands on a server but for the backups that each change leaves, and the journal. */
const stand = (pair: RehearsalPair): unknown => [
  Object.entries(standing(pair)).filter(
    ([path]) => !/\.zdt_|cmsadm\/journal|cms1:\/cms\/admin\/packages\/[a-z_]+$/.test(path),
  ),
  existsSync(`${pair.cms1}.units.json`) && unitsAt(pair.cms1)[unit],
];

/** A server whose services do as they are told, but for this. */
function failing(context: CommandContext, fails: (verb: string, units: readonly string[]) => void): CommandContext {
  const { system } = context.host;
  return {
    ...context,
    host: {
      ...context.host,
      system: {
        ...system,
        units: async (names) => {
          if (names.length > 0) fails('units', names);
          return system.units(names);
        },
        control: async (verb, units) => {
          if (units.length > 0) fails(verb, units);
          await system.control(verb, units);
        },
      },
    },
  };
}
const once = (verb: string): ((given: string) => void) => {
  let left = 1;
  return (given) => {
    if (given !== verb || left-- < 1) return;
    throw new CmsadmError('service-failed', 'systemctl failed.', { remedy: 'See the journal.' });
  };
};

describe('a unit that does not start', () => {
  test('takes a first installation back, and what is wanted with it', async () => {
    const pair = make('first', ready);
    await install(pair.context(pair.cms1), 'old');
    await runPkg(pair.context(pair.cms1), { name: history, state: 'on' });
    await pkgRemove(pair.context(pair.cms1), { name: history });
    const before = stand(pair);
    const context = failing(pair.context(pair.cms1), (verb) => {
      if (verb === 'enable') throw new CmsadmError('service-failed', 'systemctl failed.', {});
    });
    await install(pair.context(pair.cms1), 'old');
    expect(await refusalOf(runPkg(context, { name: history, state: 'on' }))).toMatchObject({
      code: 'service-failed',
      exitCode: exitCodes.putBack,
    });
    expect(readFileSync(join(pair.cms1, `cms/admin/packages/${history}/wanted.yaml`), 'utf8')).toContain('on: false');
    await pkgRemove(pair.context(pair.cms1), { name: history });
    expect(stand(pair)).toEqual(before);
  });

  test.each(['restart', 'enable', 'stop'])(
    'takes a newer version back where %s fails: the old one runs',
    async (verb) => {
      const pair = await running(`upgrade-${verb}`);
      const before = stand(pair);
      const refusal = await refusalOf(install(failing(pair.context(pair.cms1), once(verb)), 'new'));
      // Nothing is to be enabled or stopped where the unit keeps its name.
      if (verb !== 'restart') expect(refusal).toMatchObject({ exitCode: exitCodes.done });
      else {
        expect(refusal).toMatchObject({ code: 'service-failed', exitCode: exitCodes.putBack });
        expect(stand(pair)).toEqual(before);
        expect(readlinkSync(join(pair.cms1, home, 'current'))).toMatch(/^1\.0\.0-/);
      }
    },
  );

  test('takes settings back', async () => {
    const pair = await running('settings');
    const before = stand(pair);
    const context = failing(pair.context(pair.cms1), once('restart'));
    expect(await refusalOf(configPkg(context, { name: history, set: 'interval=99' }))).toMatchObject({
      code: 'service-failed',
      exitCode: exitCodes.putBack,
    });
    expect(stand(pair)).toEqual(before);
    expect(readFileSync(join(pair.cms1, home, 'settings.env'), 'utf8')).toContain('INTERVAL="10"');
  });
});

test('Ctrl-C while this server is made to stand so puts back', async () => {
  const pair = await running('interrupted');
  const before = stand(pair);
  const stop = { requested: false };
  const context = failing(pair.context(pair.cms1, { stop }), (verb) => {
    stop.requested ||= verb === 'restart';
  });
  expect(await refusalOf(install(context, 'new'))).toMatchObject({
    code: 'interrupted',
    exitCode: exitCodes.interrupted,
  });
  expect(stand(pair)).toEqual(before);
});

test('what can’t be put back needs a person', async () => {
  const pair = await running('person');
  let isDead = false;
  const context = failing(pair.context(pair.cms1), (verb) => {
    isDead ||= verb === 'restart';
    if (isDead) throw new CmsadmError('service-failed', 'systemd does not answer.', {});
  });
  expect(await refusalOf(configPkg(context, { name: history, set: 'interval=99' }))).toMatchObject({
    exitCode: exitCodes.needsPerson,
    remedy: expect.stringContaining('cmsadm recover'),
  });
  // It is not forgotten: once the units start again, all stands as wanted.
  const { host, profile } = pair.context(pair.cms1);
  await standAsWanted(host, profile);
  expect(readFileSync(join(pair.cms1, home, 'settings.env'), 'utf8')).toContain('INTERVAL="10"');
});

describe('a hook that fails', () => {
  const fails =
    (event: string): RunHook =>
    async (_, [given]) =>
      given === event ? 'exit code 1\nno reason' : undefined;

  /** Files of what is wanted, as the primary has them; then this server applies them with this hook. */
  async function apply(pair: RehearsalPair, from: RehearsalPair, run: RunHook): Promise<unknown> {
    const place = `cms/admin/packages/${history}`;
    mkdirSync(join(pair.cms1, place), { recursive: true });
    for (const name of readdirSync(join(from.cms1, place)).filter((one) => !one.includes('.zdt_')))
      writeFileSync(join(pair.cms1, place, name), readFileSync(join(from.cms1, place, name)));
    const { host, profile } = pair.context(pair.cms1);
    return standAsWanted(host, profile, { run }).then(
      (lines) => lines,
      (error: unknown) => error,
    );
  }
  let old: RehearsalPair;
  let next: RehearsalPair;
  beforeAll(async () => {
    old = await running('hooks-old');
    next = make('hooks-next', old);
    await install(next.context(next.cms1), 'new');
  });
  const own = (pair: RehearsalPair): unknown =>
    Object.entries(standing(pair)).filter(([path]) => !path.includes('/cms/admin'));

  test('install: nothing of the package is here', async () => {
    const pair = make('hook-install', ready);
    const before = own(pair);
    expect(await apply(pair, old, fails('install'))).toMatchObject({
      code: 'hook-failed',
      details: ['exit code 1', 'no reason'],
    });
    // The folder of our records may have been made.
    expect(JSON.stringify(own(pair))).not.toContain(history);
    expect(own(pair)).toEqual(expect.arrayContaining([...(Array.isArray(before) ? before : [])]));
    expect(await apply(pair, old, async () => undefined)).toContain(`${history}: 1.0.0 installed`);
  });

  test('install of a newer version: the old one is as it was', async () => {
    const pair = make('hook-upgrade', old);
    const before = own(pair);
    expect(await apply(pair, next, fails('install'))).toMatchObject({ code: 'hook-failed' });
    expect(own(pair)).toEqual(before);
    const asked: string[] = [];
    await apply(pair, next, async (file, args) => void asked.push(`${args.join(' ')} ${file.includes('/2.0.0-')}`));
    expect(asked).toEqual(['install 1.0.0 true']);
  });

  test('settings: those of before are in force', async () => {
    const pair = make('hook-settings', old);
    const changed = make('hook-settings-wanted', old);
    await configPkg(changed.context(changed.cms1), { name: history, set: 'interval=77' });
    const before = own(pair);
    expect(await apply(pair, changed, fails('settings'))).toMatchObject({ code: 'hook-failed' });
    expect(own(pair)).toEqual(before);
    expect(await apply(pair, changed, async () => undefined)).toContain(`${history}: settings changed`);
  });

  test('remove: it stays, and runs', async () => {
    const pair = make('hook-remove', old);
    const removed = make('hook-removed', old);
    await pkgRemove(removed.context(removed.cms1), { name: history });
    const before = own(pair);
    for (const name of readdirSync(join(pair.cms1, `cms/admin/packages/${history}`)))
      if (!name.includes('.zdt_')) writeFileSync(join(pair.cms1, `cms/admin/packages/${history}`, name), '');
    const { host, profile } = pair.context(pair.cms1);
    const { unlinkSync } = await import('node:fs');
    unlinkSync(join(pair.cms1, `cms/admin/packages/${history}/wanted.yaml`));
    await expect(standAsWanted(host, profile, { run: fails('remove') })).rejects.toMatchObject({ code: 'hook-failed' });
    expect(own(pair)).toEqual(before);
    expect(unitsAt(pair.cms1)[unit]).toMatchObject({ active: true, enabled: true });
    expect(await standAsWanted(host, profile, { run: async () => undefined })).toContain(`${history}: removed`);
  });
});
