import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { CommandOutcome } from '../../src/commands/context.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { paths } from '../../src/pair/state.ts';
import { syncOperations } from '../../src/sync-operations.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type Stub, status, stubServer } from './stub-agents.ts';

const folder = tempFolder();
let made = 0;
// Short: the path of a Unix socket has room for 107 bytes (unix(7)).
const fresh = (): string => {
  made += 1;
  return join(folder, `${made}`);
};

const run = ({ context }: Stub, name: string, given: Record<string, string> = {}): Promise<CommandOutcome> => {
  const operation = syncOperations.find((one) => one.name === name);
  if (!operation) throw new Error(`there is no ${name}`);
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

const notAuthority = async (): Promise<never> => {
  throw new CmsadmError('not-authority', 'This server is the secondary; cms2.example.org is the primary.', {
    remedy: 'Run the command on cms2.example.org.',
  });
};
const [held] = status.sets.map((set) => ({
  ...set,
  state: 'held' as const,
  why: 'it is empty here and holds 40 names on the other server.',
  queue: 40,
  oldest: '2026-11-21T07:58:00.000Z',
}));
const troubled = {
  ...status,
  sets: held ? [held] : [],
  paused: { by: 'bob', since: '2026-11-21T07:00:00.000Z' },
  conflicts: 2,
  passPercent: 45,
};
const secondary = { ...status, role: 'secondary' as const, state: 'the primary is reachable', seq: 0, acked: 0 };

describe('sync status', () => {
  test('shows both servers, each as its agent tells it', async () => {
    const stub = await stubServer(fresh(), { syncStatus: async () => troubled }, { syncStatus: async () => secondary });
    const outcome = await run(stub, 'status');
    expect(`\n${stub.told.join('\n')}\n`).toBe(`
cms1.example.org (primary, epoch 3)
  channel    in step
  full pass  running, 45 %; last ended 2026-11-21T03:00:00.000Z
  changes    12 sent, 12 acknowledged, 0 waiting
  paused     by bob since 2026-11-21T07:00:00.000Z: cmsadm sync resume
  conflicts  2: cmsadm sync conflicts
  data set          state      lag    queue    names a minute
  administration     held    2 min       40       40        2
    it is empty here and holds 40 names on the other server.
    Next: Let it go on: cmsadm sync release administration

cms2.example.org (secondary, epoch 3)
  channel    the primary is reachable
  full pass  last ended 2026-11-21T03:00:00.000Z
  changes    0 sent, 0 acknowledged, 0 waiting
  paused     no
  conflicts  none
  data set          state      lag    queue    names a minute
  administration  in step     none        0       40        2
`);
    expect(outcome).toMatchObject({
      exitCode: exitCodes.done,
      summary: 'sync status: in step',
      result: {
        outcome: 'done',
        servers: [
          { name: 'cms1.example.org', reachable: true, status: { sets: [{ state: 'held', lagSeconds: 120 }] } },
          { name: 'cms2.example.org', reachable: true, status: { role: 'secondary', sets: [{ lagSeconds: null }] } },
        ],
      },
    });
  });

  test('tells a restore that holds it, a set that waits for a decision, and both servers side by side to what is wanted', async () => {
    const at = '2026-11-21T07:58:00.000Z';
    const [set] = status.sets.map((one) => ({ ...one, name: 'ages' }));
    if (!set) throw new Error('the sample has no set');
    const own = {
      ...status,
      restoring: { tag: 'r1', by: 'bob', since: '2026-11-21T07:00:00.000Z' },
      sets: [{ ...set, state: 'undecided', why: 'cms2 came back.', wanted: { state: 'as wanted', lines: [], at } }],
    };
    const lines = ['carol: 30 days', 'no dave'];
    const other = { ...secondary, sets: [{ ...set, wanted: { state: 'differs', lines, at } }] };
    const stub = await stubServer(fresh(), { syncStatus: async () => own }, { syncStatus: async () => other });
    await run(stub, 'status');
    const told = `${stub.told.join('\n')}\n`;
    expect(told).toContain(
      '  held       for the restore r1 by bob since 2026-11-21T07:00:00.000Z: cmsadm\n             sync resume --tag r1\n',
    );
    expect(told).toContain('  ages     undecided     none        0       40        2\n    cms2 came back.\n');
    expect(told.slice(told.indexOf('\nWanted'))).toBe(`
Wanted state of ages
  cms1.example.org  stands as wanted
  cms2.example.org  differs: carol: 30 days; no dave
`);
  });

  test('tells the remedy where this server has no agent, and shows the other one all the same', async () => {
    const stub = await stubServer(fresh(), undefined, { syncStatus: async () => secondary });
    const outcome = await run(stub, 'status');
    expect(stub.told.slice(0, 5)).toEqual([
      "cms1.example.org: admin-sync can't be asked",
      '  because    The admin-sync service of this server does not answer.',
      '  next       Start it: systemctl start cmsadm-agent. If it stops again:',
      '             journalctl -u cmsadm-agent.',
      '',
    ]);
    expect(stub.told).toContain('cms2.example.org (secondary, epoch 3)');
    expect(outcome.exitCode).toBe(exitCodes.refused);
    expect(outcome.error?.code).toBe('agent-not-running');
    expect(outcome.result).toMatchObject({ outcome: 'refused', servers: [{ reachable: false }, { reachable: true }] });
  });

  test('is done where only the other agent does not run, and says where to start it', async () => {
    const stub = await stubServer(fresh(), { syncStatus: async () => status }, undefined);
    const outcome = await run(stub, 'status');
    expect(outcome.exitCode).toBe(exitCodes.done);
    expect(outcome.result).toMatchObject({
      servers: [{ reachable: true }, { reachable: false, error: { code: 'agent-not-running' } }],
    });
    expect(stub.told.join('\n')).toContain('Start it there: systemctl start cmsadm-agent.');
  });

  test('with --watch it looks again and again over the same session, until nobody reads', async () => {
    let looks = 0;
    const answers = async () => {
      looks += 1;
      return { ...status, seq: looks };
    };
    const stub = await stubServer(fresh(), { syncStatus: answers }, { syncStatus: async () => secondary });
    await run(stub, 'status', { watch: '' });
    expect(stub.told.filter((line) => line.startsWith('  changes')).slice(0, 3)).toEqual([
      '  changes    1 sent, 12 acknowledged, 0 waiting',
      '  changes    0 sent, 0 acknowledged, 0 waiting',
      '  changes    2 sent, 12 acknowledged, 0 waiting',
    ]);
  });
});

const passed = { set: 'administration', ok: true, why: '', sent: 3, removed: 1, bytes: 4_200, milliseconds: 1_234 };

describe('sync now', () => {
  test('waits for the end of the pass, tells how far it is, and one line for each data set', async () => {
    const verbs = {
      syncNow: async () => {
        await new Promise((resolve) => setTimeout(resolve, 500));
        return [passed];
      },
      syncStatus: async () => ({ ...status, passPercent: 30 }),
    };
    const stub = await stubServer(fresh(), verbs, {});
    expect(await run(stub, 'now')).toMatchObject({ exitCode: 0, result: { outcome: 'done', passes: [passed] } });
    expect(stub.told).toEqual([
      '~ Comparing both servers and sending what differs: 30 %',
      'Comparing both servers and sending what differs: done',
      'administration: ok, 3 sent, 1 removed, 4.2 kB, 1.23 s',
    ]);
  });

  test('is refused, with what is in the way, where a data set is not across', async () => {
    const verbs = {
      syncNow: async () => [passed, { ...passed, set: 'held', ok: false, why: 'it is empty here' }],
      syncStatus: async () => status,
    };
    const stub = await stubServer(fresh(), verbs, {});
    const outcome = await run(stub, 'now');
    expect(outcome.exitCode).toBe(exitCodes.refused);
    expect(outcome.error).toMatchObject({ code: 'not-in-step', details: ['held: it is empty here'] });
    expect(stub.told).toContain('held: FAILED, 3 sent, 1 removed, 4.2 kB, 1.23 s');
  });
});

describe.each(['now', 'pause', 'resume', 'hold', 'diff', 'release'])('sync %s', (name) => {
  const given: Record<string, string> = { release: { set: 'administration' }, hold: { tag: 'r1' } }[name] ?? {};
  const verb = `sync${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;

  test('on the secondary is refused with the name of the primary', async () => {
    const stub = await stubServer(fresh(), { [verb]: notAuthority, syncStatus: async () => secondary }, {});
    const error = await refused(run(stub, name, given));
    expect(error).toMatchObject({
      code: 'not-authority',
      exitCode: exitCodes.refused,
      server: 'cms1.example.org',
      message: 'This server is the secondary; cms2.example.org is the primary.',
      remedy: 'Run the command on cms2.example.org.',
    });
  });

  test('without an agent is refused with the remedy', async () => {
    const stub = await stubServer(fresh(), undefined, {});
    const error = await refused(run(stub, name, given));
    expect(error.code).toBe('agent-not-running');
    expect(error.remedy).toContain('systemctl start cmsadm-agent');
  });
});

test('an agent that dies in the middle of a question is told as one that does not run', async () => {
  const stub = await stubServer(fresh(), { syncPause: () => new Promise(() => undefined) }, {});
  const asking = refused(run(stub, 'pause'));
  await expect.poll(() => stub.asked.length).toBe(1);
  stub.kill();
  expect(await asking).toMatchObject({ code: 'agent-not-running', server: 'cms1.example.org' });
});

describe('sync pause, resume and release', () => {
  test('tell the agent who paused it', async () => {
    let waiting = 7;
    const verbs = {
      syncPause: async () => null,
      syncResume: async () => null,
      syncStatus: async () => ({ ...status, queue: waiting }),
    };
    const stub = await stubServer(fresh(), verbs, {});
    expect(await run(stub, 'pause')).toMatchObject({ exitCode: 0, summary: 'admin-sync paused' });
    expect(stub.told.splice(0)).toEqual([expect.stringContaining('What is on its way already may still go across.')]);
    waiting = 0;
    await run(stub, 'pause');
    expect(stub.told.splice(0)).toEqual([expect.not.stringContaining('on its way')]);
    const file = join(stub.folder, paths.sync, 'paused.json');
    fs.mkdirSync(dirname(file), { recursive: true });
    fs.writeFileSync(file, JSON.stringify(troubled.paused));
    expect(await run(stub, 'pause')).toMatchObject({ exitCode: 0, result: { outcome: 'nothing to do' } });
    expect(stub.told).toEqual(['Admin-sync is paused already, by bob since 2026-11-21T07:00:00.000Z.']);
    expect(await run(stub, 'resume')).toMatchObject({ exitCode: 0, summary: 'admin-sync resumed' });
    fs.rmSync(file);
    expect(await run(stub, 'resume')).toMatchObject({ exitCode: 0, summary: 'full pass begun' });
    expect(stub.asked.filter(([verb]) => verb !== 'syncStatus')).toEqual([
      ...Array.from({ length: 3 }, () => ['syncPause', { by: 'alice' }]),
      ...Array.from({ length: 2 }, () => ['syncResume', {}]),
    ]);
  });

  test.each(['hold', 'release'])('%s is left with q', async (name) => {
    const verbs = { syncStatus: async () => troubled };
    const stub = await stubServer(fresh(), verbs, {}, { answer: ' q ' });
    expect(await run(stub, name)).toMatchObject({ exitCode: 0, result: { outcome: 'declined' } });
    expect(stub.asked.filter(([verb]) => verb !== 'syncStatus')).toEqual([]);
  });

  test('an interruption meanwhile is told as one of what goes on, and only then', async () => {
    const stub = await stubServer(fresh(), { syncHold: () => new Promise(() => undefined) }, {});
    const { asked } = stub.context;
    const holding = refused(run(stub, 'hold', { tag: 'r1' }));
    await expect.poll(() => asked.goesOn?.remedy).toContain('cmsadm sync resume --tag r1');
    stub.kill();
    await holding;
    expect(asked.goesOn).toBeUndefined();
  });

  test('hold and resume tell the agent the tag of the restore', async () => {
    const verbs = { syncHold: async () => null, syncResume: async () => [passed] };
    const stub = await stubServer(fresh(), verbs, {});
    expect(await run(stub, 'hold', { tag: ' r1 ' })).toMatchObject({ exitCode: 0, result: { tag: 'r1' } });
    expect(await run(stub, 'resume', { tag: 'r1' })).toMatchObject({ result: { outcome: 'done', passes: [passed] } });
    expect(stub.asked).toEqual([
      ['syncHold', { tag: 'r1', by: 'alice' }],
      ['syncResume', { tag: 'r1' }],
    ]);
    expect(stub.told).toContain('administration: ok, 3 sent, 1 removed, 4.2 kB, 1.23 s');
    for (const [name, tag] of [
      ['hold', 'a b'],
      ['resume', '--x'],
    ] as const)
      expect((await refused(run(stub, name, { tag }))).message).toMatch(/is no tag|not accepted/);
    expect(stub.asked).toHaveLength(2);
  });

  test('release asks for the data set at a terminal', async () => {
    const verbs = { syncStatus: async () => troubled, syncRelease: async () => [passed] };
    const stub = await stubServer(fresh(), verbs, {}, { answer: ' administration ' });
    expect(await run(stub, 'release')).toMatchObject({ result: { outcome: 'done', passes: [passed] } });
    expect(stub.asked.filter(([verb]) => verb !== 'syncStatus')).toEqual([['syncRelease', { set: 'administration' }]]);
    expect(stub.log).toEqual(['choice: set=administration']);
  });

  test('release says at a terminal that nothing is held', async () => {
    const stub = await stubServer(fresh(), { syncStatus: async () => status }, {}, { answer: 'administration' });
    expect(await refused(run(stub, 'release'))).toMatchObject({ code: 'not-held', server: 'cms1.example.org' });
  });

  test('release wants the data set where nobody can be asked', async () => {
    const error = await refused(run(await stubServer(fresh(), { syncRelease: async () => null }, {}), 'release'));
    expect(error).toMatchObject({ code: 'usage', exitCode: exitCodes.usage });
    expect(error.details[0]).toMatch(/^SET: /);
  });
});

describe('sync diff', () => {
  const none = { set: 'empty', onlyHere: [], different: [], onlyThere: [], more: false };
  const some = {
    set: 'administration',
    onlyHere: ['a\n\x1b[2Jb'],
    different: [''],
    onlyThere: ['--', 'c'],
    more: true,
  };

  test('shows the names by what is so of them, and nothing that a terminal obeys', async () => {
    const stub = await stubServer(fresh(), { syncDiff: async () => [some, none] }, {});
    expect(await run(stub, 'diff')).toMatchObject({ exitCode: 0, result: { outcome: 'differs', sets: [some, none] } });
    expect(stub.told.slice(1)).toEqual([
      'administration',
      '  only on this server (1 name)',
      '    a\\x0a\\x1b[2Jb',
      '  different (1 name)',
      '    .',
      '  only on the other server (2 names)',
      '    --',
      '    c',
      '  There are more: 1000 names of each kind are shown.',
      'empty: nothing differs',
    ]);
  });

  test('asks for one data set where one is named', async () => {
    const stub = await stubServer(fresh(), { syncDiff: async () => [none] }, {});
    expect(await run(stub, 'diff', { set: 'empty' })).toMatchObject({ result: { outcome: 'nothing differs' } });
    expect(stub.asked).toEqual([['syncDiff', { set: 'empty' }]]);
  });
});

const conflict = {
  id: 'c0ffee01',
  set: 'admin',
  path: 'x/splits',
  at: '2026-11-21T07:00:00.000Z',
  owner: 'carol',
  kept: `${paths.kept}/admin/20261121T070000Z/x/splits`,
};
const sets = [{ name: 'admin', path: '/admin', exclude: [], deletions: { percent: 30, files: 1000 } }];

/** A server whose agent recorded one conflict, with these texts in the kept copy and in the file. */
async function conflicted(kept: string | Buffer, now: string | Buffer | undefined, told = conflict): Promise<Stub> {
  const stub = await stubServer(
    fresh(),
    { syncConflicts: async () => [told] },
    { syncConflicts: async () => [] },
    { sets },
  );
  for (const [path, text] of [
    [`${paths.kept}/admin/20261121T070000Z/x/${name(told)}`, kept],
    [`/admin/x/${name(told)}`, now],
  ] as const) {
    if (text === undefined) continue;
    fs.mkdirSync(dirname(join(stub.folder, path)), { recursive: true });
    fs.writeFileSync(join(stub.folder, path), text);
  }
  return stub;
}
const name = ({ path }: typeof conflict): string => (path.endsWith('\\x0aline') ? 'new\nline' : 'splits');

describe('sync conflicts', () => {
  test('lists those of both servers, the oldest first', async () => {
    const later = { ...conflict, id: 'c0ffee02', at: '2026-11-21T07:30:00.000Z', path: 'a\u001b[2J' };
    const stub = await stubServer(
      fresh(),
      { syncConflicts: async () => [later] },
      { syncConflicts: async () => [conflict] },
    );
    const outcome = await run(stub, 'conflicts');
    expect(outcome.result).toMatchObject({
      outcome: 'listed',
      notAsked: null,
      conflicts: [
        { ...conflict, server: 'cms2.example.org' },
        { ...later, server: 'cms1.example.org' },
      ],
    });
    expect(stub.told).toEqual([
      'c0ffee01  2026-11-21T07:00:00.000Z  cms2.example.org',
      '  admin: x/splits (of carol)',
      '  kept: /var/lib/cmsadm/kept/admin/20261121T070000Z/x/splits',
      'c0ffee02  2026-11-21T07:30:00.000Z  cms1.example.org',
      '  admin: a\\x1b[2J (of carol)',
      '  kept: /var/lib/cmsadm/kept/admin/20261121T070000Z/x/splits',
      '2 conflicts. How a kept copy differs: cmsadm sync conflicts ID, on its server.',
    ]);
  });

  test('says so where the other server can’t be asked', async () => {
    const stub = await stubServer(fresh(), { syncConflicts: async () => [] }, undefined);
    const outcome = await run(stub, 'conflicts');
    expect(outcome.result).toMatchObject({ outcome: 'listed', conflicts: [], notAsked: 'cms2.example.org' });
    expect(stub.told[0]).toBe('None here; cms2.example.org was not asked.');
    expect(stub.told[1]).toContain('The conflicts of cms2.example.org are not in this list:');
    expect(await refused(run(stub, 'conflicts', { id: 'nothing' }))).toMatchObject({
      code: 'conflict-unknown',
      message: 'There is no conflict "nothing" on cms1.example.org, and cms2.example.org could not be asked.',
    });
  });

  test('shows how the kept copy and the file differ', async () => {
    const stub = await conflicted('mine\nboth\n', 'theirs\nboth\n');
    expect(await run(stub, 'conflicts', { id: conflict.id })).toMatchObject({ result: { compared: 'differs' } });
    expect(stub.told.slice(3)).toEqual([
      `--- ${conflict.kept} (lost)`,
      '+++ x/splits (now)',
      '@@ -1,2 +1,2 @@',
      '-mine',
      '+theirs',
      ' both',
    ]);
  });

  test('finds a file whose name was told in its shown form', async () => {
    const told = { ...conflict, path: 'x/new\\x0aline', kept: conflict.kept.replace('splits', 'new\\x0aline') };
    const stub = await conflicted('a\n', 'b\n', told);
    expect(await run(stub, 'conflicts', { id: conflict.id })).toMatchObject({ result: { compared: 'differs' } });
  });

  test.each([
    ['bytes that are no text', 'a\n', Buffer.from('a\0b'), 'The file is no text now.'],
    ['a file that is gone', 'a\n', undefined, 'The file is gone now.'],
    ['more than a screen is made for', 'a'.repeat(1_000_001), 'a\n', 'The kept copy is larger than 1 MB.'],
    ['equal texts', 'a\n', 'a\n', 'same'],
  ])('says why it shows no difference: %s', async (_what, kept, now, compared) => {
    const stub = await conflicted(kept, now);
    expect(await run(stub, 'conflicts', { id: conflict.id })).toMatchObject({ exitCode: 0, result: { compared } });
  });

  test('follows no link in the place of the file, and no path out of the kept copies', async () => {
    const stub = await conflicted('a\n', undefined);
    fs.mkdirSync(join(stub.folder, 'admin/x'), { recursive: true });
    fs.symlinkSync('/etc/hostname', join(stub.folder, 'admin/x/splits'));
    expect(await run(stub, 'conflicts', { id: conflict.id })).toMatchObject({
      result: { compared: 'The file is no regular file now.' },
    });
    for (const kept of ['/etc/hostname', `${paths.kept}/../pair.json`, `${paths.kept}/..`]) {
      const other = await conflicted('a\n', 'b\n', { ...conflict, kept });
      fs.writeFileSync(join(other.folder, paths.pair), 'secret');
      expect(await run(other, 'conflicts', { id: conflict.id })).toMatchObject({
        result: { compared: 'The kept copy is gone.' },
      });
    }
  });

  test('names the server where the copy lies, and knows no other ids', async () => {
    const stub = await stubServer(
      fresh(),
      { syncConflicts: async () => [] },
      { syncConflicts: async () => [conflict] },
    );
    expect(await refused(run(stub, 'conflicts', { id: conflict.id }))).toMatchObject({
      code: 'conflict-elsewhere',
      remedy: 'Run it there: cmsadm sync conflicts c0ffee01',
    });
    expect((await refused(run(stub, 'conflicts', { id: 'nothing' }))).code).toBe('conflict-unknown');
  });
});

describe('sync log', () => {
  async function logged(lines: number, more: Parameters<typeof stubServer>[3] = {}): Promise<Stub> {
    const stub = await stubServer(fresh(), undefined, undefined, more);
    fs.mkdirSync(join(stub.folder, dirname(paths.syncLog)), { recursive: true });
    const text = Array.from({ length: lines }, (_, index) => `line ${index}\n`).join('');
    fs.writeFileSync(join(stub.folder, paths.syncLog), text);
    return stub;
  }
  const isThere = ({ folder: root }: Stub): boolean => fs.existsSync(join(root, paths.syncLog));

  test('shows the last twenty lines, with and without an agent', async () => {
    const stub = await logged(30);
    const outcome = await run(stub, 'log');
    expect(stub.told).toEqual(Array.from({ length: 20 }, (_, index) => `line ${index + 10}`));
    expect(outcome.result).toEqual({ outcome: 'done', lines: stub.told });
  });

  test.each([
    ['y', false, 'done'],
    ['n', true, 'declined'],
  ] as const)('clean asks first: %s', async (answer, stays, outcome) => {
    const stub = await logged(2, { answer });
    expect(await run(stub, 'log', { clean: 'clean' })).toMatchObject({ exitCode: 0, result: { outcome } });
    expect(isThere(stub)).toBe(stays);
  });

  test('clean wants --yes where nobody can be asked', async () => {
    const stub = await logged(2);
    expect((await refused(run(stub, 'log', { clean: 'clean' }))).code).toBe('usage');
    expect(isThere(stub)).toBe(true);
    const json = await logged(2, { dryRun: true });
    expect(await run(json, 'log', { clean: 'clean' })).toMatchObject({ exitCode: exitCodes.pending });
    expect(isThere(json)).toBe(true);
    const yes = await logged(2, { yes: true });
    // As the flag gives it.
    expect(await run(yes, 'log', { clean: '' })).toMatchObject({ result: { outcome: 'done', removed: 2 } });
    expect(isThere(yes)).toBe(false);
    expect(await run(yes, 'log', { clean: 'clean' })).toMatchObject({ result: { outcome: 'nothing to do' } });
  });

  test('knows no other word', async () => {
    expect((await refused(run(await logged(1), 'log', { clean: 'all' }))).code).toBe('usage');
  });
});
