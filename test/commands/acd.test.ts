import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, connect as dial, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { acdsWanted } from '../../src/acd/apply.ts';
import { acdCheck } from '../../src/commands/acd-check.ts';
import { acdCreate } from '../../src/commands/acd-create.ts';
import { acdLink } from '../../src/commands/acd-link.ts';
import { acdList } from '../../src/commands/acd-list.ts';
import { acdRemove } from '../../src/commands/acd-remove.ts';
import type { CommandContext, CommandOutcome } from '../../src/commands/context.ts';
import { pkgInstall } from '../../src/commands/pkg-install.ts';
import { restore } from '../../src/commands/restore.ts';
import { runCms } from '../../src/commands/run-cms.ts';
import { runPkg } from '../../src/commands/run-pkg.ts';
import { setUp } from '../../src/commands/setup.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { buildFixture, licenceFor } from '../features/fixture-packages.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, refusalOf } from '../rehearsal/pair.ts';
import { about, furnish, peerLink } from './acd-server.ts';

const folder = tempFolder();
let make: NewPair;
let linked: RehearsalPair;
beforeAll(async () => {
  make = await pairMaker(folder);
  linked = make('linked');
  await setUp(linked.context(linked.cms1), linked.answers);
  for (const server of [linked.cms1, linked.cms2]) furnish(server);
  await runCms(linked.context(linked.cms1), { action: 'off' });
}, 60_000);

/** A single server with CMS off. */
async function single(name: string): Promise<RehearsalPair> {
  const pair = make(name);
  furnish(pair.cms1);
  await runCms(pair.context(pair.cms1), { action: 'off' });
  return pair;
}

const textAt = (server: string, path: string): string | undefined =>
  existsSync(join(server, path)) ? readFileSync(join(server, path), 'utf8') : undefined;
const create = (pair: RehearsalPair, given: Record<string, string>, more: Partial<CommandContext> = {}) =>
  acdCreate(pair.context(pair.cms1, more), given);
const fits = (schema: string, { exitCode, result }: CommandOutcome): void =>
  // What stands in the outcome goes through JSON on its way out.
  expect(misfits(publishedSchema(schema), JSON.parse(JSON.stringify({ exitCode, ...result })))).toEqual([]);

/** Installs the feature package for two addresses. */
async function withDualIp(pair: RehearsalPair): Promise<void> {
  await buildFixture('dual_ip', join(pair.cms1, 'root/dual_ip.zip'));
  await licenceFor(join(pair.cms1, 'root/features.zip'));
  const given = { package: '/root/dual_ip.zip', 'licence-package': '/root/features.zip' };
  await pkgInstall(pair.context(pair.cms1), given);
}

describe('acd_create', () => {
  test('defines an ACD in a file of its own, with the link of this server beside it', async () => {
    const pair = await single('creates');
    const outcome = await create(pair, about(1, 'north'));
    fits('acd_create', outcome);
    expect(outcome.result).toMatchObject({ outcome: 'done', acd: 1, definition: { master: true, vdns: 2000 } });
    expect(textAt(pair.cms1, 'cms/admin/acd/1.yaml')).toMatch(
      /^# ACD 1, as .*\nid: .*\nname: north\nrelease: 10\.x\nmaster: true\n/,
    );
    expect(textAt(pair.cms1, 'var/lib/cmsadm/own/acd/1-link.yaml')).toMatch(
      /\nlocalPort: 1\nremotePort: 1\ntransport: TCP\/IP\nhost: 10\.1\.1\.1\nport: 5001\n$/,
    );
    expect(pair.lines.filter((line) => line.startsWith('! '))).toEqual([
      '! What was administered earlier under this number may not be restorable afterwards.',
    ]);
    const second = await create(pair, about(3, 'south', { shifts: '2', 'shift-2-agents': '0' }));
    expect(second.result).toMatchObject({
      definition: { master: false, shifts: [{ start: '8:00 AM' }, { agents: 0 }] },
    });
    const listed = await acdList(pair.context(pair.cms1));
    fits('acd_list', listed);
    expect(listed.result).toMatchObject({ acds: [{ number: 1, master: true }, { number: 3 }], removed: [] });
  });

  test('tells everything that is missing or wrong at once, and touches nothing', async () => {
    const pair = await single('missing');
    const none = await refusalOf(create(pair, {}));
    expect(none).toMatchObject({ code: 'usage', exitCode: exitCodes.usage });
    const { details } = none instanceof CmsadmError ? none : { details: [] };
    expect(details.map((line) => /^--([\w-]+)/.exec(line)?.[1])).toEqual([
      ...['acd', 'switch-name', 'release', 'vectoring', 'eas', 'local-port', 'remote-port', 'host', 'split-members'],
      'shift-1-agents',
    ]);
    const wrong = await refusalOf(
      create(pair, about(1, 'n'.repeat(21), { release: '9.x', port: '5000', 'shift-1-agents': '901' })),
    );
    expect(wrong).toMatchObject({ code: 'answers-refused' });
    expect(wrong instanceof CmsadmError && wrong.details).toHaveLength(4);
    const dry = await create(pair, about(1, 'north'), { dryRun: true });
    fits('acd_create', dry);
    expect(dry.exitCode).toBe(exitCodes.pending);
    expect(textAt(pair.cms1, 'cms/admin/acd/1.yaml')).toBeUndefined();
  });

  test('asks in the order of the original, only what applies, and leaves all as it was on q and n', async () => {
    const pair = await single('asks');
    const asked: string[] = [];
    const answers = {
      ...{ 'ACD number': '2', 'Switch name': 'west', 'Switch release': '8.X', Vectoring: 'n', 'Expert Agent': 'n' },
      ...{
        'Does the central': 'n',
        'Phantom-abandon': '5',
        'Local port': '1',
        'Remote port': '64',
        'Switch host': 'west.example',
      },
      ...{ 'Total split': '10', 'Shift 1: agents': '10', 'Proceed?': 'n' },
    };
    const ask = answering(answers);
    const context = {
      yes: false,
      ask: {
        ...ask,
        text: (question: Parameters<typeof ask.text>[0]) => {
          asked.push(question.text);
          return ask.text(question);
        },
      },
    };
    expect((await create(pair, {}, context)).result).toEqual({ outcome: 'declined' });
    expect(asked.slice(0, 9)).toEqual([
      'ACD number (1-8), q leaves',
      'Switch name',
      'Switch release (7.x, 8.x, 10.x)',
      'Vectoring (y/n)',
      'Expert Agent Selection (y/n)',
      'Does the central office have disconnect supervision (y/n)',
      'Phantom-abandon call timer, seconds (1-10)',
      'Local port (1-64)',
      'Remote port (1-64)',
    ]);
    expect(asked).not.toContain('Survivable host name or IP address, or none');
    const left = await create(pair, {}, { yes: false, ask: answering({ 'ACD number': 'q' }) });
    expect(left.result).toEqual({ outcome: 'declined' });
    expect(existsSync(join(pair.cms1, 'cms/admin/acd'))).toBe(false);
  });

  test('is refused for a number that is taken, more than the licence allows, and while CMS is on', async () => {
    const pair = await single('refuses');
    await create(pair, about(1, 'north'));
    expect(await refusalOf(create(pair, about(1, 'again')))).toMatchObject({ code: 'answers-refused' });
    expect(await refusalOf(create(pair, about(9, 'nine')))).toMatchObject({ code: 'answers-refused' });
    const { buildLicence } = await import('../../src/licence/build-licence.ts');
    const privateKeyPem = readFileSync(new URL('../../fixtures/keys/test-signing.pem', import.meta.url), 'utf8');
    const counted = (count: number) => ({ name: 'ACDs', count });
    await buildLicence({
      licence: {
        ...{ serial: 'L-1', holder: 'Test', product: 'cms', issued: '2026-01-01', expires: 'never' },
        features: { ACD: counted(1), ACD_MEMBERS: counted(100) },
      },
      privateKeyPem,
      out: join(pair.cms1, 'root/small.zip'),
    });
    const small = { 'licence-package': '/root/small.zip' };
    expect(await refusalOf(create(pair, about(2, 'south', small)))).toMatchObject({ code: 'acds-licensed' });
    rmSync(join(pair.cms1, 'cms/admin/acd/1.yaml'));
    const members = await refusalOf(create(pair, about(2, 'south', small)));
    expect(members).toMatchObject({
      code: 'answers-refused',
      details: [expect.stringContaining('0 to 100')],
    });
    await runCms(pair.context(pair.cms1), { action: 'on' });
    expect(await refusalOf(create(pair, about(2, 'south')))).toMatchObject({ code: 'application-on' });
    const half = { exists: true, active: false, enabled: true, changing: 'stopping' };
    writeFileSync(`${pair.cms1}.units.json`, JSON.stringify({ 'cms.service': half }));
    expect(await refusalOf(create(pair, about(2, 'south')))).toMatchObject({
      code: 'service-changing',
      message: expect.stringMatching(/^The application is just stopping at /),
    });
    const list = await acdList(pair.context(pair.cms1));
    fits('acd_list', list);
    expect(list.result).toMatchObject({
      servers: [{ here: { applicationOn: false, applicationChanging: 'stopping' } }],
    });
  });

  test('asks for a second address with the Dual IP package only, and never mixes both kinds on one server', async () => {
    const pair = await single('dual');
    await create(pair, about(1, 'north'));
    await withDualIp(pair);
    const ess = { 'survivable-host': '10.1.1.9' };
    const mixed = await refusalOf(create(pair, about(2, 'south', ess)));
    expect(mixed).toMatchObject({
      code: 'answers-refused',
      details: [expect.stringContaining('links with one address: ACD 1 (north)')],
    });
    expect((await create(pair, about(2, 'south', { 'survivable-host': 'none' }))).result).toMatchObject({
      outcome: 'done',
    });
    const other = await single('dual-only');
    await withDualIp(other);
    const made = await create(other, about(1, 'north', ess));
    fits('acd_create', made);
    expect(textAt(other.cms1, 'var/lib/cmsadm/own/acd/1-link.yaml')).toMatch(
      /survivable:\n {2}host: 10\.1\.1\.9\n {2}port: 5001\n/,
    );
    expect(await refusalOf(create(other, about(2, 'south', { 'survivable-host': 'none' })))).toMatchObject({
      code: 'answers-refused',
    });
    rmSync(join(other.cms1, 'cms/admin/packages'), { recursive: true });
    expect(await refusalOf(create(other, about(2, 'south')))).toMatchObject({ code: 'links-mixed' });
  });

  test('in a pair asks for both links, and writes both in one transaction, each on its own server', async () => {
    const pair = make('pair', linked);
    const missing = await refusalOf(create(pair, about(1, 'north')));
    expect(missing).toMatchObject({
      code: 'usage',
      details: [...Array(3)].map(() => expect.stringContaining('--peer-')),
    });
    const outcome = await create(pair, about(1, 'north', peerLink));
    fits('acd_create', outcome);
    expect(outcome.result).toMatchObject({
      links: { 'cms1.example.com': { host: '10.1.1.1' }, 'cms2.example.com': { host: '10.2.2.2', localPort: 2 } },
      // CMS is on there: it uses the link after its next start.
      restart: ['cms2.example.com'],
    });
    expect(textAt(pair.cms1, 'var/lib/cmsadm/own/acd/1-link.yaml')).toContain('host: 10.1.1.1');
    expect(textAt(pair.cms2, 'var/lib/cmsadm/own/acd/1-link.yaml')).toContain('host: 10.2.2.2');
    expect(textAt(pair.cms2, 'cms/admin/acd/1.yaml')).toBeUndefined();
    // A link that is still on the other server keeps its number.
    rmSync(join(pair.cms1, 'cms/admin/acd/1.yaml'));
    rmSync(join(pair.cms1, 'var/lib/cmsadm/own/acd/1-link.yaml'));
    const taken = await refusalOf(create(pair, about(1, 'anew', peerLink)));
    expect(taken).toMatchObject({ details: [expect.stringContaining('cms2.example.com still has a link')] });
  });
});

describe('an ACD that was defined before the pair was', () => {
  test('gets its link on the other server alone, and nothing else changes', async () => {
    const pair = make('before');
    furnish(pair.cms1);
    await runCms(pair.context(pair.cms1), { action: 'off' });
    await create(pair, about(1, 'north'));
    const definition = textAt(pair.cms1, 'cms/admin/acd/1.yaml');
    await setUp(pair.context(pair.cms1), pair.answers);
    const checked = await acdCheck(pair.context(pair.cms1), {});
    expect(JSON.stringify(checked.result)).toContain('cms1.example.com: ACD 1: the switch does not answer');
    const missing = await refusalOf(create(pair, { acd: '1' }));
    expect(missing).toMatchObject({
      code: 'usage',
      details: [...Array(3)].map(() => expect.stringContaining('--peer-')),
    });
    const outcome = await create(pair, { acd: '1', ...peerLink });
    fits('acd_create', outcome);
    expect(outcome.result).toMatchObject({ outcome: 'done', links: { 'cms2.example.com': { host: '10.2.2.2' } } });
    expect(textAt(pair.cms2, 'var/lib/cmsadm/own/acd/1-link.yaml')).toContain('host: 10.2.2.2');
    expect(textAt(pair.cms1, 'var/lib/cmsadm/own/acd/1-link.yaml')).toContain('host: 10.1.1.1');
    expect(textAt(pair.cms1, 'cms/admin/acd/1.yaml')).toBe(definition);
    expect(await refusalOf(create(pair, { acd: '1', ...peerLink }))).toMatchObject({ code: 'answers-refused' });
  });
});

describe('acd_link change', () => {
  const linkAt = (server: string, number = 1): string =>
    textAt(server, `var/lib/cmsadm/own/acd/${number}-link.yaml`) ?? '';
  const change = (pair: RehearsalPair, given: Record<string, string>, more: Partial<CommandContext> = {}, number = 1) =>
    acdLink(pair.context(pair.cms1, more), { what: `change ${number}`, ...given });
  const collects = (server: string, on: boolean): void => {
    mkdirSync(join(server, 'cms/data/acd-stand-in'), { recursive: true });
    writeFileSync(join(server, 'cms/data/acd-stand-in/1.collection'), on ? 'on\n' : 'off\n');
  };

  test('gives a link another address, with all else as it was, and the data stays', async () => {
    const pair = await single('moves');
    await create(pair, about(1, 'north'));
    mkdirSync(join(pair.cms1, 'cms/data/acd/1'), { recursive: true });
    writeFileSync(join(pair.cms1, 'cms/data/acd/1/calls'), 'one\n');
    const [definition, before] = [textAt(pair.cms1, 'cms/admin/acd/1.yaml'), linkAt(pair.cms1)];
    const same = await change(pair, {});
    fits('acd_link', same);
    expect(same.result).toMatchObject({ outcome: 'nothing' });
    const dry = await change(pair, { host: '10.9.9.9' }, { dryRun: true });
    fits('acd_link', dry);
    expect([dry.exitCode, linkAt(pair.cms1)]).toEqual([exitCodes.pending, before]);
    const done = await change(pair, { host: '10.9.9.9', port: '5002' });
    fits('acd_link', done);
    expect(done.result).toMatchObject({ outcome: 'done', action: 'change', restart: [] });
    expect(linkAt(pair.cms1)).toBe(before.replace('10.1.1.1', '10.9.9.9').replace('5001', '5002'));
    expect(textAt(pair.cms1, 'cms/admin/acd/1.yaml')).toBe(definition);
    expect(textAt(pair.cms1, 'cms/data/acd/1/calls')).toBe('one\n');
    const tag = /"tag":"(zdt_\d+_\d+)"/.exec(JSON.stringify(done.result))?.[1] ?? '';
    await restore(pair.context(pair.cms1), { tag });
    expect(linkAt(pair.cms1)).toBe(before);
  });

  test('asks the questions of the link with what it is now, and does nothing on n', async () => {
    const pair = await single('asks-link');
    await create(pair, about(1, 'north', { port: '5007' }));
    const before = linkAt(pair.cms1);
    const asked: string[] = [];
    const ask = answering({ 'Switch host': '10.9.9.9', 'Proceed?': ['n', 'y'] });
    const context = {
      yes: false,
      ask: {
        ...ask,
        text: (question: Parameters<typeof ask.text>[0]) => {
          asked.push(`${question.text}: ${question.preset}`);
          return ask.text(question);
        },
      },
    };
    expect((await change(pair, {}, context)).result).toEqual({ outcome: 'declined' });
    expect(asked).toEqual([
      'Local port (1-64): 1',
      'Remote port (1-64): 1',
      'Transport (TCP/IP): TCP/IP',
      'Switch host name or IP address: 10.1.1.1',
      'TCP port (5001-5999): 5007',
    ]);
    expect(linkAt(pair.cms1)).toBe(before);
  });

  test('is refused while the ACD collects or CMS is on, for an ACD that is none, a wrong answer, and beside other actions', async () => {
    const pair = await single('refuses-change');
    await create(pair, about(1, 'north'));
    const before = linkAt(pair.cms1);
    collects(pair.cms1, true);
    expect(await refusalOf(change(pair, { host: 'x' }))).toMatchObject({ code: 'acd-collects' });
    collects(pair.cms1, false);
    expect(await refusalOf(change(pair, { host: 'x' }, {}, 2))).toMatchObject({ code: 'no-link' });
    expect(await refusalOf(change(pair, { host: '10.77.0', port: '1' }))).toMatchObject({
      code: 'answers-refused',
      details: [expect.stringContaining('--host'), expect.stringContaining('--port')],
    });
    const start = await refusalOf(acdLink(pair.context(pair.cms1), { what: 'start 1', host: '10.9.9.9' }));
    expect(start).toMatchObject({ code: 'usage', message: 'start takes no --host.' });
    await runCms(pair.context(pair.cms1), { action: 'on' });
    expect(await refusalOf(change(pair, { host: 'x' }))).toMatchObject({ code: 'application-on' });
    expect(linkAt(pair.cms1)).toBe(before);
  });

  test('takes a second address with Dual IP, keeps it without the package, and mixes both kinds on no server', async () => {
    const pair = await single('dual-change');
    await withDualIp(pair);
    await create(pair, about(1, 'north', { 'survivable-host': 'none' }));
    await change(pair, { 'survivable-host': '10.1.1.9', 'survivable-port': '5003' });
    expect(linkAt(pair.cms1)).toContain('survivable:\n  host: 10.1.1.9\n  port: 5003\n');
    await create(pair, about(2, 'south', { 'survivable-host': '10.1.2.9' }));
    const mixed = await refusalOf(change(pair, { 'survivable-host': 'none' }));
    expect(mixed).toMatchObject({ details: [expect.stringContaining('two addresses: ACD 2 (south)')] });
    rmSync(join(pair.cms1, 'cms/admin/packages'), { recursive: true });
    await change(pair, { host: '10.9.9.9' });
    expect(linkAt(pair.cms1)).toContain('host: 10.9.9.9\nport: 5001\nsurvivable:\n  host: 10.1.1.9\n  port: 5003\n');
  });

  test('changes the links of both servers in one transaction, and leaves the one alone that collects or is away', async () => {
    const pair = make('both-change', linked);
    await create(pair, about(1, 'north', peerLink));
    const [one, two] = [linkAt(pair.cms1), linkAt(pair.cms2)];
    const both = await change(pair, { host: '10.9.9.9', 'peer-port': '5004' });
    fits('acd_link', both);
    expect(both.result).toMatchObject({
      links: { 'cms1.example.com': { after: { host: '10.9.9.9' } }, 'cms2.example.com': { after: { port: 5004 } } },
      files: [{ server: 'cms1.example.com' }, { server: 'cms2.example.com' }],
      restart: ['cms2.example.com'],
    });
    expect(linkAt(pair.cms1)).toBe(one.replace('10.1.1.1', '10.9.9.9'));
    expect(linkAt(pair.cms2)).toBe(two.replace('5001', '5004'));
    const theirs = await change(pair, { 'peer-host': '10.2.2.3' });
    expect(theirs.result).toMatchObject({ files: [{ server: 'cms2.example.com' }] });
    collects(pair.cms2, true);
    expect(await refusalOf(change(pair, { 'peer-host': '10.2.2.4' }))).toMatchObject({
      code: 'acd-collects',
      server: 'cms2.example.com',
    });
    const held = await change(pair, { host: '10.9.9.8' });
    expect(Object.keys(Object(held.result['links']))).toEqual(['cms1.example.com']);
    expect(pair.lines).toContain('! ACD 1 (north) collects data on cms2.example.com. Its link stays as it is.');
    expect(linkAt(pair.cms2)).toContain('host: 10.2.2.3');
    const connect = async (): Promise<never> => {
      throw new CmsadmError('unreachable', 'No cable.');
    };
    const context = pair.context(pair.cms1);
    const apart = { ...context, host: { ...context.host, system: { ...context.host.system, connect } } };
    const named = await refusalOf(acdLink(apart, { what: 'change 1', 'peer-host': '10.2.2.5' }));
    expect(named).toMatchObject({ code: 'peer-away' });
    await acdLink(apart, { what: 'change 1', host: '10.9.9.7' });
    expect(linkAt(pair.cms1)).toContain('host: 10.9.9.7');
    const there = await refusalOf(acdLink(pair.context(pair.cms2), { what: 'change 1', host: '10.9.9.6' }));
    expect(there).toMatchObject({ code: 'not-authority' });
  });
});

describe('acd_link and acd_check', () => {
  test('start, stop, busy out and release by the programs of the profile; nothing twice', async () => {
    const pair = await single('links');
    await create(pair, about(1, 'north'));
    const link = (what: string, more = {}) => acdLink(pair.context(pair.cms1, more), { what });
    const started = await link('start 1');
    fits('acd_link', started);
    expect(started.result).toMatchObject({ outcome: 'done', after: { collection: 'on', link: 'up' } });
    expect(textAt(pair.cms1, 'cms/data/acd/1/calls')).toContain('collecting since');
    const again = await link('start 1');
    fits('acd_link', again);
    expect(again.result).toMatchObject({ outcome: 'nothing' });
    const dry = await link('busy 1', { dryRun: true });
    fits('acd_link', dry);
    expect(dry.exitCode).toBe(exitCodes.pending);
    expect((await link('busy 1')).result).toMatchObject({ after: { link: 'busy' } });
    expect((await link('release 1')).result).toMatchObject({ after: { collection: 'on', link: 'up' } });
    const n = await link('stop 1', { yes: false, ask: answering({ 'Proceed?': 'n' }) });
    expect(n.result).toEqual({ outcome: 'declined' });
    expect((await link('stop 1')).result).toMatchObject({ after: { collection: 'off' } });
    for (const wrong of ['', 'start', 'start 9', 'begin 1', 'start 1 2', 'start;1'])
      expect(await refusalOf(link(wrong)), wrong).toMatchObject({ code: 'answers-refused' });
    expect(await refusalOf(link('start 2'))).toMatchObject({ code: 'no-link' });
    const nobody = { yes: false };
    expect(await refusalOf(acdLink(pair.context(pair.cms1, nobody), {}))).toMatchObject({
      details: [expect.stringContaining('WHAT: ')],
    });
    expect(await refusalOf(link('start 99', nobody))).toMatchObject({
      details: [expect.stringContaining('There is no ACD 99.')],
    });
    expect(await refusalOf(link('stop 1', nobody))).toMatchObject({ message: 'Nobody is there to say yes.' });
    writeFileSync(join(pair.cms1, 'cms/data/acd-stand-in/fail-start'), '');
    expect(await refusalOf(link('start 1'))).toMatchObject({
      code: 'hook-failed',
      exitCode: exitCodes.needsPerson,
      details: ['acd-link stand-in: told to fail at start'],
    });
  });

  test('a link whose switch has another clock by more than a day is refused', async () => {
    const pair = await single('clock');
    await create(pair, about(1, 'north'));
    mkdirSync(join(pair.cms1, 'cms/data/acd-stand-in'), { recursive: true });
    writeFileSync(join(pair.cms1, 'cms/data/acd-stand-in/1.clock-offset'), '90000\n');
    expect(await refusalOf(acdLink(pair.context(pair.cms1), { what: 'start 1' }))).toMatchObject({
      code: 'clock-differs',
    });
    writeFileSync(join(pair.cms1, 'cms/data/acd-stand-in/1.clock-offset'), '-80000\n');
    expect((await acdLink(pair.context(pair.cms1), { what: 'start 1' })).result).toMatchObject({ outcome: 'done' });
    // It is busied out with any clock, and released with the right one only.
    writeFileSync(join(pair.cms1, 'cms/data/acd-stand-in/1.clock-offset'), '-90000\n');
    await acdLink(pair.context(pair.cms1), { what: 'busy 1' });
    expect(await refusalOf(acdLink(pair.context(pair.cms1), { what: 'release 1' }))).toMatchObject({
      code: 'clock-differs',
      remedy: expect.stringContaining('cmsadm acd_link release 1'),
    });
    expect(textAt(pair.cms1, 'cms/data/acd-stand-in/1.link')).toBe('busy\n');
    writeFileSync(join(pair.cms1, 'cms/data/acd-stand-in/1.clock-offset'), '0\n');
    const released = await acdLink(pair.context(pair.cms1), { what: 'release 1' });
    expect(released.result).toMatchObject({ after: { collection: 'on', link: 'up' } });
  });

  test('a package of which nothing runs is not turned on or off, and is told so', async () => {
    const pair = await single('nothing-runs');
    await withDualIp(pair);
    expect(await refusalOf(runPkg(pair.context(pair.cms1), { name: 'dual_ip', state: 'on' }))).toMatchObject({
      code: 'nothing-runs',
    });
  });

  test('a link program that is not there is no fault of a clock', async () => {
    const pair = await single('no-program');
    await create(pair, about(1, 'north'));
    rmSync(join(pair.cms1, 'cms/bin/acd-link'));
    const error = await refusalOf(acdLink(pair.context(pair.cms1), { what: 'start 1' }));
    expect(error).toMatchObject({
      code: 'hook-failed',
      exitCode: exitCodes.refused,
      message: 'The program for clock, /cms/bin/acd-link, is not there.',
    });
  });

  describe('with real connections', () => {
    const listeners: Server[] = [];
    afterAll(() => listeners.forEach((one) => void one.close()));
    /** Plays a switch on a port of this machine. */
    const listening = (): Promise<number> =>
      new Promise((resolve) => {
        const server = createServer((socket) => socket.on('error', () => {}));
        listeners.push(server);
        server.listen(0, '127.0.0.1', () => {
          const address = server.address();
          resolve(typeof address === 'object' && address ? address.port : 0);
        });
      });
    /** The rehearsal's system, but with the real network for the switch. */
    const real = (context: CommandContext): CommandContext => ({
      ...context,
      host: {
        ...context.host,
        system: {
          ...context.host.system,
          connect: (host, port) =>
            new Promise((resolve, reject) => {
              const socket = dial({ host, port });
              socket.once('connect', () => resolve(socket));
              socket.once('error', (error) => reject(new CmsadmError('unreachable', error.message)));
            }),
        },
      },
    });
    const setPorts = (pair: RehearsalPair, main: number, survivable: number): void => {
      const file = join(pair.cms1, 'var/lib/cmsadm/own/acd/1-link.yaml');
      const text = readFileSync(file, 'utf8').replace(/^port: .*$/m, `port: ${main}`);
      writeFileSync(file, text.replace(/^ {2}port: .*$/m, `  port: ${survivable}`));
    };

    test('calls every address, and finds both silent and both answering', async () => {
      const pair = await single('check');
      await withDualIp(pair);
      await create(pair, about(1, 'north', { host: '127.0.0.1', 'survivable-host': '127.0.0.1' }));
      const [main, survivable] = [await listening(), await listening()];
      const check = () => acdCheck(real(pair.context(pair.cms1)), {});
      setPorts(pair, main, 1);
      const good = await check();
      fits('acd_check', good);
      expect(good).toMatchObject({ exitCode: exitCodes.done, result: { outcome: 'good' } });
      setPorts(pair, main, survivable);
      const both = await check();
      fits('acd_check', both);
      expect(both).toMatchObject({
        exitCode: exitCodes.needsPerson,
        result: { faults: [expect.stringContaining('only one may be active')] },
      });
      setPorts(pair, 1, 1);
      const none = await check();
      expect(none.result).toMatchObject({ faults: [expect.stringContaining('no address answers'), expect.anything()] });
      expect(await refusalOf(acdCheck(pair.context(pair.cms1), { acd: '2' }))).toMatchObject({
        code: 'answers-refused',
        exitCode: exitCodes.refused,
      });
    });
  });
});

describe('acd_remove', () => {
  const access = 'users:\n  anna: { acd: 2 } # night\n  dora: { acd: 2, tenant: only }\ntenants:\n  only: [2]\n';
  async function two(name: string): Promise<RehearsalPair> {
    const pair = await single(name);
    await create(pair, about(1, 'north'));
    await create(pair, about(2, 'south', { host: '10.1.1.2' }));
    mkdirSync(join(pair.cms1, 'cms/data/acd/2/deep'), { recursive: true });
    writeFileSync(join(pair.cms1, 'cms/data/acd/2/deep/calls'), 'one\n');
    writeFileSync(join(pair.cms1, 'cms/admin/acd/access.yaml'), access);
    return pair;
  }
  const remove = (pair: RehearsalPair, given: Record<string, string>, more: Partial<CommandContext> = {}) =>
    acdRemove(pair.context(pair.cms1, more), given);

  test('tells nobody the word that confirms it, and is left with q or with nothing', async () => {
    const pair = await two('leaves');
    const refused = await refusalOf(remove(pair, { acd: '2', name: 'north' }));
    if (!(refused instanceof CmsadmError)) throw new Error('it is not refused');
    expect(refused.code).toBe('answers-refused');
    expect([refused.message, ...refused.details, refused.remedy].join(' ')).not.toContain('south');
    for (const typed of ['q', '']) {
      const left = await remove(pair, {}, { ask: answering({ 'ACD number': '2', 'Type the name': typed }) });
      expect(left.result).toEqual({ outcome: 'declined' });
    }
    expect(textAt(pair.cms1, 'cms/admin/acd/2.yaml')).toContain('name: south');
  });

  test('removes administration, link and data, moves the users, and brings all back from the archive', async () => {
    const pair = await two('removes');
    const outcome = await remove(pair, { acd: '2', name: 'south' });
    fits('acd_remove', outcome);
    expect(outcome.result).toMatchObject({
      users: [
        { name: 'anna', to: 1 },
        { name: 'dora', to: null },
      ],
      tenants: [{ name: 'only', left: [] }],
    });
    expect(textAt(pair.cms1, 'cms/admin/acd/2.yaml')).toBeUndefined();
    expect(textAt(pair.cms1, 'var/lib/cmsadm/own/acd/2-link.yaml')).toBeUndefined();
    expect(existsSync(join(pair.cms1, 'cms/data/acd/2'))).toBe(false);
    expect(textAt(pair.cms1, 'cms/admin/acd/access.yaml')).toBe(
      'users:\n  anna: { acd: 1 } # night\n  dora: { acd: null, tenant: only }\ntenants:\n  only: []\n',
    );
    expect(textAt(pair.cms1, 'cms/admin/acd/1.yaml')).toContain('name: north');
    const id = /"id":"(2-\d+-\d+)"/.exec(JSON.stringify(outcome.result))?.[1] ?? '';
    const listed = await acdList(pair.context(pair.cms1));
    fits('acd_list', listed);
    expect(listed.result).toMatchObject({ removed: [{ number: 2, id, name: 'south' }] });
    expect(await refusalOf(create(pair, { 'from-archive': '2-1-1' }))).toMatchObject({ code: 'archive-unknown' });
    const back = await create(pair, { 'from-archive': id });
    fits('acd_create', back);
    expect(back.result).toMatchObject({ acd: 2, definition: { name: 'south', restoredFrom: id } });
    expect(textAt(pair.cms1, 'cms/data/acd/2/deep/calls')).toBe('one\n');
    expect(textAt(pair.cms1, 'var/lib/cmsadm/own/acd/2-link.yaml')).toContain('host: 10.1.1.2');
  });

  test('shows what goes and does nothing in a dry run, on n, with another name, for the master, or while it collects', async () => {
    const pair = await two('stays');
    const dry = await remove(pair, { acd: '2', name: 'south' }, { dryRun: true });
    fits('acd_remove', dry);
    expect(JSON.stringify(dry.result)).toContain('User dora of tenant only can');
    expect(JSON.stringify(dry.result)).toContain('/cms/data/acd/2 with ');
    expect(await refusalOf(remove(pair, { acd: '2', name: 'South' }))).toMatchObject({ code: 'answers-refused' });
    expect(await refusalOf(remove(pair, { acd: '2' }))).toMatchObject({ code: 'usage' });
    expect(await refusalOf(remove(pair, { acd: '1', name: 'north' }))).toMatchObject({ code: 'answers-refused' });
    const asked = { yes: false, ask: answering({ 'ACD number': '2', 'Type the name': 'south', 'Proceed?': 'n' }) };
    expect((await remove(pair, {}, asked)).result).toEqual({ outcome: 'declined' });
    expect((await remove(pair, {}, { yes: false, ask: answering({ 'ACD number': 'q' }) })).result).toEqual({
      outcome: 'declined',
    });
    await acdLink(pair.context(pair.cms1), { what: 'start 2' });
    const collects = await refusalOf(remove(pair, { acd: '2', name: 'south' }));
    expect(collects).toMatchObject({ details: [expect.stringContaining('collects data on cms1')] });
    expect(textAt(pair.cms1, 'cms/data/acd/2/deep/calls')).toBe('one\n');
    expect(textAt(pair.cms1, 'cms/admin/acd/access.yaml')).toBe(access);
  });

  test('is refused where the data folder is a link: administration, link and data stay', async () => {
    const pair = await two('data-link');
    renameSync(join(pair.cms1, 'cms/data/acd/2'), join(pair.cms1, 'elsewhere'));
    symlinkSync('../../../elsewhere', join(pair.cms1, 'cms/data/acd/2'));
    const refused = await refusalOf(remove(pair, { acd: '2', name: 'south' }));
    expect(refused).toMatchObject({ code: 'data-is-link', exitCode: exitCodes.refused, file: '/cms/data/acd/2' });
    expect(textAt(pair.cms1, 'cms/admin/acd/2.yaml')).toContain('name: south');
    expect(textAt(pair.cms1, 'cms/admin/acd/access.yaml')).toBe(access);
    expect(textAt(pair.cms1, 'cms/data/acd/2/deep/calls')).toBe('one\n');
    expect(existsSync(join(pair.cms1, 'var/lib/cmsadm/own/acd/archive'))).toBe(false);
  });

  test('an interrupted removal is made good on the server itself, and takes nothing of a number that was given anew', async () => {
    const pair = await two('interrupted');
    await remove(pair, { acd: '2', name: 'south' });
    const { host, profile } = pair.context(pair.cms1);
    const done = join(pair.cms1, 'var/lib/cmsadm/own/acd/done.json');
    // Killed after the archive, before anything was noted.
    rmSync(done);
    expect(await acdsWanted.report(host, profile)).toHaveLength(1);
    expect(await acdsWanted.apply(host, profile)).toEqual([
      expect.stringContaining('ACD 2 (south): nothing here removed'),
    ]);
    expect(await acdsWanted.report(host, profile)).toEqual([]);
    await create(pair, about(2, 'anew'));
    mkdirSync(join(pair.cms1, 'cms/data/acd/2'), { recursive: true });
    writeFileSync(join(pair.cms1, 'cms/data/acd/2/calls'), 'new\n');
    rmSync(done);
    await acdsWanted.apply(host, profile);
    expect(textAt(pair.cms1, 'cms/data/acd/2/calls')).toBe('new\n');
    expect(textAt(pair.cms1, 'var/lib/cmsadm/own/acd/2-link.yaml')).toContain('host: 10.1.1.1');
  });

  test('a removal that is taken back by its tag has link and data back, and can be made again', async () => {
    const pair = await two('tag');
    const removed = await remove(pair, { acd: '2', name: 'south' });
    const tag = /"tag":"(zdt_\d+_\d+)"/.exec(JSON.stringify(removed.result))?.[1] ?? '';
    await restore(pair.context(pair.cms1), { tag });
    const { host, profile } = pair.context(pair.cms1);
    await acdsWanted.apply(host, profile);
    expect(textAt(pair.cms1, 'cms/admin/acd/2.yaml')).toContain('name: south');
    expect(textAt(pair.cms1, 'cms/admin/acd/access.yaml')).toBe(access);
    expect(textAt(pair.cms1, 'var/lib/cmsadm/own/acd/2-link.yaml')).toContain('host: 10.1.1.2');
    expect(textAt(pair.cms1, 'cms/data/acd/2/deep/calls')).toBe('one\n');
    expect(await acdsWanted.report(host, profile)).toEqual([]);
    writeFileSync(join(pair.cms1, 'cms/data/acd/2/deep/calls'), 'one\ntwo\n');
    const again = await remove(pair, { acd: '2', name: 'south' });
    expect(existsSync(join(pair.cms1, 'cms/data/acd/2'))).toBe(false);
    const id = /"id":"(2-\d+-\d+)"/.exec(JSON.stringify(again.result))?.[1] ?? '';
    await create(pair, { 'from-archive': id });
    expect(textAt(pair.cms1, 'cms/data/acd/2/deep/calls')).toBe('one\ntwo\n');
  });

  test('leaves alone what still collects, and says so', async () => {
    const pair = await two('collects');
    await remove(pair, { acd: '2', name: 'south' });
    const { host, profile } = pair.context(pair.cms1);
    rmSync(join(pair.cms1, 'var/lib/cmsadm/own/acd/done.json'));
    mkdirSync(join(pair.cms1, 'cms/data/acd-stand-in'), { recursive: true });
    writeFileSync(join(pair.cms1, 'cms/data/acd-stand-in/2.collection'), 'on\n');
    mkdirSync(join(pair.cms1, 'cms/data/acd/2'));
    await expect(acdsWanted.apply(host, profile)).rejects.toMatchObject({ code: 'acd-collects' });
    expect(readdirSync(join(pair.cms1, 'cms/data/acd'))).toEqual(['2']);
  });

  test('works while the other server of a pair is away, and defines nothing then', async () => {
    const pair = make('away', linked);
    await create(pair, about(1, 'north', peerLink));
    await create(pair, about(2, 'south', peerLink));
    const context = pair.context(pair.cms1);
    const connect = async (): Promise<never> => {
      throw new CmsadmError('unreachable', 'No cable.');
    };
    const apart = { ...context, host: { ...context.host, system: { ...context.host.system, connect } } };
    expect(await refusalOf(acdCreate(apart, about(3, 'west', peerLink)))).toMatchObject({ code: 'peer-away' });
    const removed = await acdRemove(apart, { acd: '2', name: 'south' });
    expect(removed.result).toMatchObject({ outcome: 'done' });
    const checked = await acdCheck(apart, {});
    expect(checked).toMatchObject({ exitCode: exitCodes.needsPerson });
    fits('acd_check', checked);
    expect(textAt(pair.cms2, 'var/lib/cmsadm/own/acd/2-link.yaml')).toContain('host: 10.2.2.2');
    // It is back and has not done its part: the number stays taken until it has.
    const taken = await refusalOf(create(pair, about(2, 'anew', peerLink)));
    expect(taken).toMatchObject({ details: [expect.stringContaining('cms2.example.com still has a link')] });
    // What admin-sync carries.
    rmSync(join(pair.cms2, 'cms/admin'), { recursive: true });
    cpSync(join(pair.cms1, 'cms/admin'), join(pair.cms2, 'cms/admin'), { recursive: true });
    const other = pair.context(pair.cms2);
    expect(await acdsWanted.apply(other.host, other.profile)).toEqual([expect.stringContaining('2-link.yaml removed')]);
    expect((await create(pair, about(2, 'anew', peerLink))).result).toMatchObject({ outcome: 'done' });
  });

  test('never takes a missing administration folder for removed ACDs', async () => {
    const pair = await two('unmounted');
    rmSync(join(pair.cms1, 'cms/admin'), { recursive: true });
    const { host, profile } = pair.context(pair.cms1);
    await expect(acdsWanted.apply(host, profile)).rejects.toMatchObject({ code: 'administration-missing' });
    expect(readdirSync(join(pair.cms1, 'cms/data/acd'))).toEqual(['2']);
  });
});
