import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { refuseUnlessAllowed } from '../../src/commands/allowed-here.ts';
import type { CommandOutcome } from '../../src/commands/context.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { paths, printPair } from '../../src/pair/state.ts';
import type { SyncStatus } from '../../src/pair/sync-status.ts';
import type { Profile } from '../../src/profile/schema.ts';
import { syncOperations } from '../../src/sync-operations.ts';
import { cms1, cms2, pairAt } from '../agent/two-servers.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type Stub, status, stubServer } from './stub-agents.ts';

const folder = tempFolder();
let made = 0;

const undecided = (...names: string[]): SyncStatus => ({
  ...status,
  sets: names.flatMap((name) => status.sets.map((set) => ({ ...set, name, state: 'undecided' as const, why: 'both' }))),
});
const difference = { set: 'admin', onlyHere: ['a'], different: ['b', 'c'], onlyThere: ['d'], more: false };
const passed = { set: 'admin', ok: true, why: '', sent: 3, removed: 1, bytes: 10, milliseconds: 12 };

/** The primary of epoch 2, or the secondary, whose agent knows of undecided sets. */
async function server(
  sets: readonly string[],
  more: Parameters<typeof stubServer>[3] = {},
  verbs: Parameters<typeof stubServer>[1] = {},
  primary = cms1,
): Promise<Stub> {
  made += 1;
  const stub = await stubServer(
    join(folder, `${made}`),
    {
      syncStatus: async () => undecided(...sets),
      syncDiff: async () => [difference],
      syncKeep: async () => [passed],
      ...verbs,
    },
    {},
    more,
  );
  fs.mkdirSync(join(stub.folder, dirname(paths.pair)), { recursive: true });
  fs.writeFileSync(join(stub.folder, paths.pair), printPair(pairAt(2, primary)));
  return stub;
}

const keep = ({ context }: Stub, given: Record<string, string>): Promise<CommandOutcome> => {
  const operation = syncOperations.find(({ name }) => name === 'keep');
  if (!operation) throw new Error('there is no keep');
  return operation.run(context, given);
};
const refused = async (work: Promise<unknown>): Promise<CmsadmError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof CmsadmError) return error;
  throw new Error(`not refused: ${String(error)}`);
};
const verbsAsked = ({ asked }: Stub): string[] => asked.map(([verb]) => verb);

describe('sync keep', () => {
  test('shows what differs and what is kept aside, asks, and has the agent do it', async () => {
    const stub = await server(['admin'], { answer: 'y' });
    const outcome = await keep(stub, { server: 'cms2' });
    expect(stub.told).toEqual([
      'Comparing both servers: done',
      'admin',
      '  only on this server (1 name)',
      '    a',
      '  different (2 names)',
      '    b',
      '    c',
      '  only on the other server (1 name)',
      '    d',
      '',
      'The versions of cms2.example.org stay. On cms1.example.org 2 names are replaced, 1 removed and 1 made.',
      'What cms1.example.org has now is kept there, below /var/lib/cmsadm/kept/admin; its own versions are listed: cmsadm sync conflicts',
      'Making admin on both servers what it is on cms2.example.org: done',
      'admin: ok, 3 sent, 1 removed, 10 bytes, 0.01 s',
      'admin: the versions of cms2.example.org stay. The others: cmsadm sync conflicts',
    ]);
    expect(stub.asked.at(-1)).toEqual(['syncKeep', { set: 'admin', server: 'cms2.example.org' }]);
    expect(outcome).toMatchObject({
      exitCode: exitCodes.done,
      result: { outcome: 'done', set: 'admin', kept: 'cms2.example.org' },
    });
    expect(stub.log).toContain('choice: proceed=y');
  });

  test('touches nothing after n, nor where nobody can be asked', async () => {
    const no = await server(['admin'], { answer: 'n' });
    expect(await keep(no, { server: 'cms1' })).toMatchObject({ result: { outcome: 'declined' } });
    const nobody = await server(['admin']);
    expect((await refused(keep(nobody, { server: 'cms1' }))).code).toBe('usage');
    const json = await server(['admin'], { dryRun: true });
    expect(await keep(json, { server: 'cms1' })).toMatchObject({
      exitCode: exitCodes.pending,
      result: { outcome: 'pending', kept: 'cms1.example.org' },
    });
    for (const stub of [no, nobody, json]) expect(verbsAsked(stub)).not.toContain('syncKeep');
  });

  test('with --yes wants the name of the server', async () => {
    const stub = await server(['admin'], { yes: true });
    const error = await refused(keep(stub, {}));
    expect(error.code).toBe('usage');
    expect(error.details[0]).toMatch(/^SERVER: /);
    expect(await keep(stub, { server: 'CMS1.example.org' })).toMatchObject({ result: { outcome: 'done' } });
  });

  test('wants the data set where more than one is undecided', async () => {
    const stub = await server(['admin', 'reports'], { yes: true });
    expect((await refused(keep(stub, { server: 'cms1' }))).details[0]).toMatch(/^--set: /);
    await keep(stub, { server: 'cms1', set: 'reports' });
    expect(stub.asked.at(-1)).toEqual(['syncKeep', { set: 'reports', server: 'cms1.example.org' }]);
    const other = await refused(keep(stub, { server: 'cms1', set: 'other' }));
    expect(other.details[0]).toContain('waits for no decision. Undecided: admin, reports.');
  });

  test('is refused where nothing waits, and for a server of another pair', async () => {
    expect((await refused(keep(await server([], { yes: true }), { server: 'cms1' }))).code).toBe('not-undecided');
    const stranger = await refused(keep(await server(['admin'], { yes: true }), { server: 'cms3' }));
    expect(stranger.details[0]).toContain('Type cms1.example.org or cms2.example.org.');
  });

  test('on the secondary is refused with the name of the primary, before its agent is asked', async () => {
    const stub = await server(['admin'], { yes: true }, {}, cms2);
    expect(await refused(keep(stub, { server: 'cms1' }))).toMatchObject({
      code: 'not-authority',
      exitCode: exitCodes.refused,
      server: 'cms1.example.org',
      remedy: 'Run it on cms2.example.org.',
    });
    expect(stub.asked).toEqual([]);
  });

  test('tells what is not across although the decision stands', async () => {
    const held = { ...passed, ok: false, why: 'admin is held: 40 of 50 names vanished' };
    const stub = await server(['admin'], { yes: true }, { syncKeep: async () => [held] });
    expect(await keep(stub, { server: 'cms1' })).toMatchObject({
      exitCode: exitCodes.refused,
      error: { code: 'not-in-step', details: [held.why] },
    });
  });
});

describe('a command of the menu', () => {
  const menu: Profile['menu'] = [
    { command: 'acd_create', label: 'x', on: 'primary' },
    { command: 'backup', label: 'x', on: 'both' },
  ];
  const allowed = async (command: string, primary: typeof cms1 | undefined): Promise<string> => {
    const { context } = await server([], {}, {}, primary ?? cms1);
    const pair = join(context.host.root.prefix, paths.pair);
    if (!primary) fs.rmSync(pair);
    try {
      refuseUnlessAllowed(context.host, { ...context.profile, menu }, command);
      return 'allowed';
    } catch (error) {
      if (!(error instanceof CmsadmError)) throw error;
      return `${error.code}: ${error.message} ${error.remedy}`;
    }
  };

  test.each([
    ['acd_create', 'the primary', cms1],
    ['acd_create', 'a single server', undefined],
    ['backup', 'the secondary', cms2],
    ['backup', 'the primary', cms1],
  ])('%s is allowed on %s', async (command, _where, primary) => {
    expect(await allowed(command, primary)).toBe('allowed');
  });

  test('that changes what is administered is refused on the secondary, with the name of the primary', async () => {
    expect(await allowed('acd_create', cms2)).toBe(
      'not-authority: acd_create changes what is administered; this server is the secondary, cms2.example.org is the primary. Run it on cms2.example.org.',
    );
  });
});
