import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { configPkg } from '../../src/commands/config-pkg.ts';
import type { CommandOutcome, Given } from '../../src/commands/context.ts';
import { pkgInstall } from '../../src/commands/pkg-install.ts';
import { pkgList } from '../../src/commands/pkg-list.ts';
import { pkgRemove } from '../../src/commands/pkg-remove.ts';
import { reverse } from '../../src/commands/reverse.ts';
import { runPkg } from '../../src/commands/run-pkg.ts';
import { setUp } from '../../src/commands/setup.ts';
import { exitCodes } from '../../src/errors.ts';
import { differencesOfAll } from '../../src/features/differences.ts';
import { isInstalled, settingOf } from '../../src/features/installed.ts';
import { standAsWanted } from '../../src/features/stand.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, refusalOf, standing } from '../rehearsal/pair.ts';
import { buildFixture, type Changes, type FixtureName, fixtureNames, licenceFor } from './fixture-packages.ts';

const folder = tempFolder();
let make: NewPair;
let alone: RehearsalPair;
let paired: RehearsalPair;

const licence = '/root/features.zip';
const zipOf = (name: string): string => `/root/${name}.zip`;
const history = 'external_call_history';
const unit = `cmsadm-pkg-${history}.service`;
const home = `opt/cmsadm-packages/${history}`;

beforeAll(async () => {
  make = await pairMaker(folder);
  alone = make('alone');
  for (const name of fixtureNames) await buildFixture(name, join(alone.cms1, zipOf(name)));
  await licenceFor(join(alone.cms1, licence));
  paired = make('paired', alone);
  await setUp(paired.context(paired.cms1), { ...paired.answers, 'licence-package': licence });
}, 120_000);

const install = (pair: RehearsalPair, name: string, more: Given = {}): Promise<CommandOutcome> =>
  pkgInstall(pair.context(pair.cms1), { package: zipOf(name), 'licence-package': licence, ...more });

const unitsAt = (server: string): Record<string, { active: boolean; enabled: boolean }> =>
  existsSync(`${server}.units.json`) ? JSON.parse(readFileSync(`${server}.units.json`, 'utf8')) : {};
const runsAt = (server: string, name = unit): boolean =>
  unitsAt(server)[name]?.active === true && unitsAt(server)[name]?.enabled === true;
const text = (server: string, path: string): string => readFileSync(join(server, path), 'utf8');

/** What admin-sync does: the administration folder of one server is on the other; then that one applies it. */
async function carried(pair: RehearsalPair, from = pair.cms1, to = pair.cms2): Promise<string[]> {
  rmSync(join(to, 'cms/admin'), { recursive: true });
  cpSync(join(from, 'cms/admin'), join(to, 'cms/admin'), {
    recursive: true,
    filter: (path) => !path.includes('.zdt_'),
  });
  const { host, profile } = pair.context(to);
  return standAsWanted(host, profile);
}
const applied = (pair: RehearsalPair, server = pair.cms1) => {
  const { host, profile } = pair.context(server);
  return standAsWanted(host, profile);
};
const differences = (pair: RehearsalPair, server = pair.cms1) => {
  const { host, profile } = pair.context(server);
  return differencesOfAll(host, profile);
};

/** Everything of a server below its packages' places. */
const traces = (server: string): string[] => [
  ...['opt/cmsadm-packages', 'var/lib/cmsadm/own/packages', 'var/lib/cmsadm-packages'].filter((path) =>
    existsSync(join(server, path)),
  ),
  ...(existsSync(join(server, 'etc/systemd/system')) ? readdirSync(join(server, 'etc/systemd/system')) : []).filter(
    (name) => name.startsWith('cmsadm-pkg'),
  ),
];

test('installs a package: files, link, settings and unit stand, nothing runs yet', async () => {
  const pair = make('install', alone);
  const outcome = await install(pair, history);
  expect(outcome.result).toMatchObject({
    outcome: 'done',
    package: { name: history, version: '1.0.0', licence: 'FEATURES-1' },
    on: false,
  });
  expect(misfits(publishedSchema('pkg_install'), { exitCode: outcome.exitCode, ...outcome.result })).toEqual([]);
  const current = readlinkSync(join(pair.cms1, home, 'current'));
  expect(current).toMatch(/^1\.0\.0-[0-9a-f]{12}$/);
  const program = join(pair.cms1, home, 'current/bin/export-calls');
  expect(lstatSync(program).mode & 0o7777).toBe(0o755);
  expect(text(pair.cms1, `${home}/settings.env`)).toContain('SETTING_CUSTOMISED_REPORTS="no"\nSETTING_INTERVAL="10"\n');
  expect(text(pair.cms1, `etc/systemd/system/${unit}`)).toContain('ExecStart=/opt/cmsadm-packages');
  expect(runsAt(pair.cms1)).toBe(false);
  expect(await differences(pair)).toEqual([]);
  const { host, profile } = pair.context(pair.cms1);
  expect([isInstalled(host, profile, history), isInstalled(host, profile, 'dual_ip')]).toEqual([true, false]);
  expect((await install(pair, history)).result).toMatchObject({ outcome: 'nothing' });
});

test('turns it on, off, and removes it without a trace', async () => {
  const pair = make('remove', alone);
  await install(pair, history);
  const on = await runPkg(pair.context(pair.cms1), { name: history, state: 'on' });
  expect(on.result).toMatchObject({ outcome: 'done', on: true, runsOn: 'primary' });
  expect(misfits(publishedSchema('run_pkg'), { exitCode: on.exitCode, ...on.result })).toEqual([]);
  expect(runsAt(pair.cms1)).toBe(true);
  await runPkg(pair.context(pair.cms1), { name: '1', state: '2' });
  expect(unitsAt(pair.cms1)[unit]).toMatchObject({ active: false, enabled: false });
  await runPkg(pair.context(pair.cms1), { name: history, state: 'on' });
  const gone = await pkgRemove(pair.context(pair.cms1), { name: history });
  expect(gone.result).toMatchObject({ outcome: 'done', verified: [`${history}: removed`] });
  expect(misfits(publishedSchema('pkg_remove'), { exitCode: gone.exitCode, ...gone.result })).toEqual([]);
  expect(traces(pair.cms1)).toEqual([]);
  expect(unitsAt(pair.cms1)[unit]).toMatchObject({ active: false, enabled: false });
  expect(
    readdirSync(join(pair.cms1, `cms/admin/packages/${history}`)).filter((name) => !name.includes('.zdt_')),
  ).toEqual([]);
});

test('keeps what somebody edited, and the data, when it goes', async () => {
  const pair = make('edited', alone);
  await install(pair, history);
  const current = readlinkSync(join(pair.cms1, home, 'current'));
  writeFileSync(join(pair.cms1, home, 'current/bin/row.awk'), 'edited\n');
  writeFileSync(join(pair.cms1, home, current, 'mine'), 'mine\n');
  writeFileSync(join(pair.cms1, 'etc/systemd/system', unit), 'edited\n');
  writeFileSync(join(pair.cms1, home, 'settings.env'), 'edited\n');
  mkdirSync(join(pair.cms1, `var/lib/cmsadm-packages/${history}`), { recursive: true });
  writeFileSync(join(pair.cms1, `var/lib/cmsadm-packages/${history}/calls-2026-01-01.csv`), 'row\n');
  expect((await differences(pair)).sort()).toEqual([
    `${history}: /etc/systemd/system/${unit} was edited`,
    `${history}: /${home}/${current}/bin/row.awk was edited`,
    `${history}: /${home}/settings.env is not as config_pkg was told`,
  ]);
  expect(await applied(pair)).toEqual([]); // nothing of it is overwritten
  expect(text(pair.cms1, `${home}/settings.env`)).toBe('edited\n');
  const gone = await pkgRemove(pair.context(pair.cms1), { name: history });
  expect(gone.result['verified']).toEqual([
    `${history}: removed`,
    `${history}: not ours, stays: /etc/systemd/system/${unit}.edited`,
    `${history}: not ours, stays: /${home}/settings.env.edited`,
    `${history}: not ours, stays: /${home}/${current}/bin/row.awk.edited`,
    `${history}: its data stay in /var/lib/cmsadm-packages/${history}`,
  ]);
  for (const path of [
    `${home}/${current}/bin/row.awk.edited`,
    `${home}/settings.env.edited`,
    `etc/systemd/system/${unit}.edited`,
  ])
    expect(text(pair.cms1, path)).toBe('edited\n');
  expect(text(pair.cms1, `${home}/${current}/mine`)).toBe('mine\n');
  expect(existsSync(join(pair.cms1, home, 'current'))).toBe(false);
  expect(text(pair.cms1, `var/lib/cmsadm-packages/${history}/calls-2026-01-01.csv`)).toBe('row\n');
  // What stays is in nobody's way when it comes again.
  await install(pair, history);
  expect(readlinkSync(join(pair.cms1, home, 'current'))).toBe(`${current}.2`);
  expect(await differences(pair)).toEqual([]);
});

describe('another version', () => {
  const next: Changes = {
    source: {
      version: '1.1.0',
      settings: [
        { name: 'interval', question: 'Seconds', kind: 'integer', min: 30, max: 60, default: 30 },
        {
          name: 'source',
          question: 'Folder',
          kind: 'text',
          pattern: '/[a-z/-]+',
          example: '/var/x',
          default: '/var/x',
        },
      ],
      onBothWhen: null,
      units: [{ name: `cmsadm-pkg-${history}-next.service`, starts: true }],
    },
    files: { [`units/cmsadm-pkg-${history}-next.service`]: '[Service]\nExecStart=/bin/true\n' },
  };

  test('takes the place of the one before: settings that fit stay, units that went are gone', async () => {
    const pair = make('upgrade', alone);
    await buildFixture(history, join(pair.cms1, zipOf('next')), next);
    await install(pair, history);
    await configPkg(pair.context(pair.cms1), { name: history, set: 'interval=5; source=/var/calls' });
    await runPkg(pair.context(pair.cms1), { name: history, state: 'on' });
    const outcome = await install(pair, 'next');
    expect(outcome.result).toMatchObject({
      outcome: 'done',
      on: true,
      settings: { interval: 30, source: '/var/calls' },
    });
    expect(unitsAt(pair.cms1)[unit]).toMatchObject({ active: false, enabled: false });
    expect(runsAt(pair.cms1, `cmsadm-pkg-${history}-next.service`)).toBe(true);
    expect(existsSync(join(pair.cms1, 'etc/systemd/system', unit))).toBe(false);
    expect(readdirSync(join(pair.cms1, home)).sort()).toEqual([
      expect.stringMatching(/^1\.1\.0-/),
      'current',
      'settings.env',
    ]);
    expect(await refusalOf(install(pair, history))).toMatchObject({
      code: 'answers-refused',
      details: [expect.stringContaining('1.1.0 is installed')],
    });
  });

  test('stops a unit that is just starting, or tried again, where it is off, or gone with its version', async () => {
    const pair = make('starting', alone);
    const starting = { exists: true, active: false, enabled: false, changing: 'starting' };
    const stopped = `recorded on cms1: systemctl stop ${unit}`;
    const halfWay = (): void => {
      pair.lines.splice(0);
      writeFileSync(`${pair.cms1}.units.json`, JSON.stringify({ ...unitsAt(pair.cms1), [unit]: starting }));
    };
    await install(pair, history);
    halfWay();
    expect(await differences(pair)).toContain(`${history}: ${unit} runs, and shall not here`);
    await applied(pair);
    expect(pair.lines).toContain(stopped);
    expect(await differences(pair)).toEqual([]);
    halfWay();
    await buildFixture(history, join(pair.cms1, zipOf('next')), next);
    await install(pair, 'next');
    expect(pair.lines).toContain(stopped);
  });

  test('is refused under a version that other content has', async () => {
    const pair = make('taken', alone);
    await install(pair, history);
    await buildFixture(history, join(pair.cms1, zipOf('other')), { files: { 'bin/more': 'x\n' } });
    expect(await refusalOf(install(pair, 'other'))).toMatchObject({
      code: 'answers-refused',
      details: [expect.stringContaining('with other content')],
    });
  });
});

test('needs what it needs, in both directions', async () => {
  const pair = make('needs', alone);
  const before = standing(pair);
  expect(await refusalOf(install(pair, 'forecasting'))).toMatchObject({
    code: 'answers-refused',
    details: [expect.stringContaining('external_call_history 1.0.0 or later')],
  });
  expect(standing(pair)).toEqual(before);
  await install(pair, history);
  await install(pair, 'forecasting');
  expect(await refusalOf(pkgRemove(pair.context(pair.cms1), { name: history }))).toMatchObject({
    code: 'package-needed',
    remedy: 'Remove first: forecasting.',
  });
  // The timer runs, and its service waits for it.
  await runPkg(pair.context(pair.cms1), { name: 'forecasting', state: 'on' });
  expect(runsAt(pair.cms1, 'cmsadm-pkg-forecasting.timer')).toBe(true);
  expect(unitsAt(pair.cms1)['cmsadm-pkg-forecasting.service']).toBeUndefined();
  // A server that gets all at once brings them in the order of their needs, whatever their names.
  expect((await carried(pair)).filter((line) => line.endsWith('installed'))).toEqual([
    `${history}: 1.0.0 installed`,
    'forecasting: 1.0.0 installed',
  ]);
});

test('is not installed without a licence that holds its feature', async () => {
  const pair = make('licence', alone);
  await licenceFor(join(pair.cms1, 'root/poor.zip'), ['OT_CONN']);
  await licenceFor(join(pair.cms1, 'root/ended.zip'), ['ECHI'], '2026-01-02');
  const before = standing(pair);
  for (const [path, why] of [
    ['/root/poor.zip', 'does not hold ECHI'],
    ['/root/ended.zip', 'ended on 2026-01-02'],
    [zipOf(history), 'not the licence package but the feature package'],
  ] as const)
    expect(await refusalOf(install(pair, history, { 'licence-package': path }))).toMatchObject({
      code: 'answers-refused',
      details: [expect.stringContaining(why)],
    });
  expect(await refusalOf(pkgInstall(pair.context(pair.cms1), { package: zipOf(history) }))).toMatchObject({
    code: 'usage',
  });
  expect(standing(pair)).toEqual(before);
});

describe('in a pair', () => {
  test('is on the secondary from the files alone, authorised and verified there anew', async () => {
    const pair = make('both', paired);
    // The licence that set up saved is taken where none is given.
    await pkgInstall(pair.context(pair.cms1), { package: zipOf(history) });
    await runPkg(pair.context(pair.cms1), { name: history, state: 'on' });
    expect(await carried(pair)).toContain(`${history}: 1.0.0 installed`);
    expect([runsAt(pair.cms1), runsAt(pair.cms2)]).toEqual([true, false]);
    expect(await differences(pair, pair.cms2)).toEqual([]);
    await configPkg(pair.context(pair.cms1), { name: history, set: 'customised_reports=y' });
    await carried(pair);
    expect([runsAt(pair.cms1), runsAt(pair.cms2)]).toEqual([true, true]);
    await configPkg(pair.context(pair.cms1), { name: history, set: 'customised_reports=n' });
    await carried(pair);
    expect([runsAt(pair.cms1), runsAt(pair.cms2)]).toEqual([true, false]);
  });

  test('follows a reversal', async () => {
    const pair = make('reversal', paired);
    await pkgInstall(pair.context(pair.cms1), { package: zipOf(history) });
    await runPkg(pair.context(pair.cms1), { name: history, state: 'on' });
    await carried(pair);
    await reverse(pair.context(pair.cms1));
    expect(await applied(pair, pair.cms1)).toEqual([`${history}: off here`]);
    expect(await applied(pair, pair.cms2)).toEqual([`${history}: on here`]);
    expect([runsAt(pair.cms1), runsAt(pair.cms2)]).toEqual([false, true]);
  });

  test('is not installed there from a package or a licence that is not the one', async () => {
    const pair = make('tampered', paired);
    await pkgInstall(pair.context(pair.cms1), { package: zipOf(history) });
    const zip = join(pair.cms1, `cms/admin/packages/${history}/package.zip`);
    const good = readFileSync(zip);
    for (const bad of [good.subarray(0, good.length - 30), Buffer.concat([good, good])]) {
      writeFileSync(zip, bad);
      expect(await refusalOf(carried(pair).then(() => Promise.reject(new Error('installed'))))).toMatchObject({
        code: 'package-not-here',
      });
    }
    // Somebody who rewrites the digest as well still lacks the key.
    writeFileSync(zip, good);
    writeFileSync(join(pair.cms2, 'etc/cmsadm/profiles/rehearsal.yaml'), 'extends: cms\ntrust: []\n');
    expect(await refusalOf(carried(pair).then(() => Promise.reject(new Error('installed'))))).toMatchObject({
      code: 'signer-unknown',
    });
    expect(traces(pair.cms2)).toEqual([]);
    expect(await differences(pair, pair.cms2)).toEqual([expect.stringContaining('1.0.0 is wanted, not here: ')]);
  });

  test('goes there too, and a folder that is away removes nothing', async () => {
    const pair = make('away', paired);
    await pkgInstall(pair.context(pair.cms1), { package: zipOf(history) });
    await carried(pair);
    rmSync(join(pair.cms2, 'cms/admin/packages'), { recursive: true });
    expect(await refusalOf(applied(pair, pair.cms2).then(() => Promise.reject(new Error('applied'))))).toMatchObject({
      code: 'packages-missing',
    });
    expect(traces(pair.cms2)).not.toEqual([]);
    await pkgRemove(pair.context(pair.cms1), { name: history });
    expect(await carried(pair)).toEqual([`${history}: removed`]);
    expect(traces(pair.cms2)).toEqual([]);
  });
});

describe('at a terminal', () => {
  test('asks each setting, and is left with q or n', async () => {
    const pair = make('terminal', alone);
    await install(pair, history);
    const before = standing(pair);
    const ask = (answers: Record<string, string | string[]>) => ({ yes: false, ask: answering(answers) });
    for (const command of [pkgInstall, pkgRemove, runPkg, configPkg]) {
      const outcome = await command(pair.context(pair.cms1, ask({ 'Full path': 'q', Package: 'q' })), {});
      expect(outcome.result).toEqual({ outcome: 'declined' });
    }
    const declined = await runPkg(pair.context(pair.cms1, ask({ Package: '1', '1 turns': '1', 'Proceed?': 'n' })), {});
    expect(declined.result).toEqual({ outcome: 'declined' });
    expect(standing(pair)).toEqual(before);
    const outcome = await configPkg(
      pair.context(pair.cms1, ask({ Package: history, 'Do customised': 'y', Seconds: '20', 'Proceed?': 'y' })),
      {},
    );
    expect(outcome.result).toMatchObject({ settings: { customised_reports: true, interval: 20, keep_days: 365 } });
    expect(misfits(publishedSchema('config_pkg'), { exitCode: outcome.exitCode, ...outcome.result })).toEqual([]);
    expect(text(pair.cms1, `${home}/settings.env`)).toContain(
      'SETTING_CUSTOMISED_REPORTS="yes"\nSETTING_INTERVAL="20"',
    );
  });

  test('tells all that is wrong with settings at once, and touches nothing', async () => {
    const pair = make('settings', alone);
    await install(pair, history);
    const before = standing(pair);
    const set = 'interval=0; customised_reports=maybe; source=relative; nothing=1; keep_days';
    expect(await refusalOf(configPkg(pair.context(pair.cms1), { name: history, set }))).toMatchObject({
      code: 'answers-refused',
      exitCode: exitCodes.refused,
      details: [
        expect.stringContaining('from 1 to 3600'),
        expect.stringContaining('Type y or n.'),
        expect.stringContaining('/var/spool'),
        expect.stringContaining('nothing=1'),
        expect.stringContaining('keep_days'),
      ],
    });
    expect(standing(pair)).toEqual(before);
  });

  test('lists what is there and what differs', async () => {
    const pair = make('list', alone);
    await install(pair, history);
    await install(pair, 'dual_ip');
    const outcome = await pkgList(pair.context(pair.cms1));
    expect(outcome.result).toMatchObject({
      packages: [
        { name: 'dual_ip', state: 'none' },
        { name: history, state: 'off', here: false },
      ],
    });
    expect(misfits(publishedSchema('package_list'), { exitCode: outcome.exitCode, ...outcome.result })).toEqual([]);
    const { host, profile } = pair.context(pair.cms1);
    const returns = () => settingOf(host, profile, 'dual_ip', 'return_to_main');
    expect([returns(), settingOf(host, profile, 'forecasting', 'return_to_main')]).toEqual([true, undefined]);
    await configPkg(pair.context(pair.cms1), { name: 'dual_ip', set: 'return_to_main=no' });
    expect(returns()).toBe(false);
    const none = pair.context(pair.cms1, { dryRun: true });
    expect(await pkgRemove(none, { name: 'dual_ip' })).toMatchObject({ exitCode: exitCodes.pending });
  });
});

const names: readonly FixtureName[] = fixtureNames;
test.each(names)('removes what it installed: %s', async (name) => {
  const pair = make(`round-${name}`, alone);
  if (name === 'forecasting') await install(pair, history);
  const before = traces(pair.cms1);
  await install(pair, name);
  await pkgRemove(pair.context(pair.cms1), { name });
  expect(traces(pair.cms1)).toEqual(before);
});
