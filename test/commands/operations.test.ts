import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { activate } from '../../src/commands/activate.ts';
import type { CommandContext } from '../../src/commands/context.ts';
import { disable } from '../../src/commands/disable.ts';
import { restore } from '../../src/commands/restore.ts';
import { reverse } from '../../src/commands/reverse.ts';
import { setUp } from '../../src/commands/setup.ts';
import { show } from '../../src/commands/show.ts';
import { exitCodes } from '../../src/errors.ts';
import { readPair } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, refusalOf, standing } from '../rehearsal/pair.ts';

const folder = tempFolder();
let single: NewPair;
let pattern: RehearsalPair;
let tag: string;
beforeAll(async () => {
  single = await pairMaker(folder);
  pattern = single('set-up');
  const done = await setUp(pattern.context(pattern.cms1), pattern.answers);
  expect(done.result['outcome']).toBe('done');
  tag = String(done.result['tag']);
});

/** A pair that is set up: cms1 is the primary. */
function paired(name: string): RehearsalPair & { one: CommandContext; two: CommandContext; tag: string } {
  const pair = single(name, pattern);
  return { ...pair, one: pair.context(pair.cms1), two: pair.context(pair.cms2), tag };
}
/** As if the other server were switched off. */
const alone = (context: CommandContext): CommandContext => {
  const unreachable = async (): Promise<never> => {
    const { CmsadmError } = await import('../../src/errors.ts');
    throw new CmsadmError('unreachable', 'No connection.', { remedy: 'Check the cable.' });
  };
  return { ...context, host: { ...context.host, system: { ...context.host.system, connect: unreachable } } };
};
const primaryOf = (root: string): string | undefined =>
  readPair({ prefix: root, ownersCount: false })?.primary.hostname;

const operations = [
  {
    name: 'set up',
    run: (context: CommandContext, pair: RehearsalPair) => setUp(context, pair.answers),
    paired: false,
  },
  { name: 'reverse', run: (context: CommandContext) => reverse(context), paired: true },
  {
    name: 'restore',
    run: (context: CommandContext, { tag }: { tag: string }) => restore(context, { tag }),
    paired: true,
  },
  {
    name: 'disable',
    run: (context: CommandContext) => disable(context, { peer: 'cms2.example.com' }),
    paired: true,
  },
] as const;

test.each(['q', ''])(
  'disable and restore are left with %j where a name is asked for, and give no name away',
  async (typed) => {
    const pair = paired(`left-${typed}`);
    const before = standing(pair);
    const ask = answering({ 'Type the FQDN': typed, 'Backup tag': typed });
    for (const leave of [disable, restore])
      expect((await leave(pair.context(pair.cms1, { ask, yes: false }), {})).result).toEqual({ outcome: 'declined' });
    const wrong = await refusalOf(disable(pair.context(pair.cms1), { peer: 'q' }));
    expect(JSON.stringify(wrong, ['code', 'details', 'remedy'])).toMatch(/answers-refused/);
    expect(JSON.stringify(wrong, ['code', 'details', 'remedy'])).not.toContain('cms2');
    expect(standing(pair)).toEqual(before);
  },
);

describe.each(operations)('$name', ({ name, run, paired: isPaired }) => {
  const make = (what: string) => {
    const id = `${name}-${what}`.replaceAll(' ', '-');
    return isPaired ? paired(id) : { ...single(id), tag: '' };
  };

  test('as a dry run it shows the plan, says that changes are pending, and touches nothing', async () => {
    const pair = make('dry');
    const before = standing(pair);
    const outcome = await run(pair.context(pair.cms1, { dryRun: true, yes: false }), pair);
    expect(outcome).toMatchObject({
      exitCode: exitCodes.pending,
      result: { outcome: 'pending', review: { servers: [{}, {}] } },
    });
    expect(standing(pair)).toEqual(before);
    expect(pair.lines).toContain('[review]');
  });

  test('after the diffs and an n nothing is touched', async () => {
    const pair = make('declined');
    const before = standing(pair);
    const ask = answering({ 'Proceed?': ['d', 'n'] });
    const outcome = await run(pair.context(pair.cms1, { yes: false, ask }), pair);
    expect(outcome).toMatchObject({ exitCode: exitCodes.done, result: { outcome: 'declined' } });
    expect(standing(pair)).toEqual(before);
    expect(pair.lines.slice(pair.lines.lastIndexOf('[review]'))).toContain('[diff]');
    expect(pair.logged).toContain('proceed=n');
  });

  test('with nobody to say yes it is a usage error, and nothing is touched', async () => {
    const pair = make('nobody');
    const before = standing(pair);
    await expect(run(pair.context(pair.cms1, { yes: false }), pair)).rejects.toMatchObject({
      exitCode: exitCodes.usage,
      remedy: expect.stringContaining('--yes'),
    });
    expect(standing(pair)).toEqual(before);
  });

  test('interrupted before the decision it leaves both as they were, and the lock free', async () => {
    const pair = make('interrupted');
    const stop = { requested: false };
    const context = pair.context(pair.cms1, { stop });
    const report = {
      ...context.report,
      step: (text: string) => {
        if (text.startsWith('Changing cms2')) stop.requested = true;
        return context.report.step(text);
      },
    };
    const before = standing(pair);
    await expect(run({ ...context, report }, pair)).rejects.toMatchObject({ exitCode: exitCodes.interrupted });
    const after = standing(pair);
    // The journal tells of it, the epoch that was tried stays used, the last sync of a reversal stays; all else is as before.
    const kept = /:\/(var(\/lib(\/cmsadm(\/(journal(\/.*)?|epoch|alarms\.jsonl))?)?)?|cms\/admin(\/.*)?)$/;
    const changed = Object.keys({ ...before, ...after }).filter((path) => before[path] !== after[path]);
    expect(changed.filter((path) => !kept.test(path))).toEqual([]);
    for (const server of [pair.cms1, pair.cms2]) expect(existsSync(join(server, 'run/cmsadm/lock'))).toBe(false);
  });
});

describe('a server that belongs to no pair', () => {
  test.each([
    ['reverse', (context: CommandContext) => reverse(context)],
    ['restore', (context: CommandContext) => restore(context, {})],
    ['activate', (context: CommandContext) => activate(context, {})],
    ['disable', (context: CommandContext) => disable(context, {})],
  ] as const)('%s names set up', async (name, run) => {
    const pair = single(`single-${name}`);
    await expect(run(pair.context(pair.cms1))).rejects.toMatchObject({
      code: 'not-paired',
      remedy: expect.stringContaining('config_HA setup'),
    });
  });

  test('show says so', async () => {
    const pair = single('single-show');
    expect(await show(pair.context(pair.cms1))).toMatchObject({
      summary: 'show: no pair',
      result: { views: [{ linked: false }] },
    });
  });
});

describe('on the secondary', () => {
  test.each([
    ['set up', (pair: RehearsalPair, two: CommandContext) => setUp(two, pair.answers)],
    ['reverse', (_pair: RehearsalPair, two: CommandContext) => reverse(two)],
    ['restore', (pair: RehearsalPair & { tag: string }, two: CommandContext) => restore(two, { tag: pair.tag })],
  ] as const)('%s names the primary and touches nothing', async (name, run) => {
    const pair = paired(`secondary-${name.replaceAll(' ', '-')}`);
    const before = standing(pair);
    await expect(run(pair, pair.two)).rejects.toMatchObject({
      code: 'not-primary',
      remedy: expect.stringContaining('cms1.example.com'),
    });
    expect(standing(pair)).toEqual(before);
  });
});

describe('while the other server is away', () => {
  test('reverse is refused, and says what can be done', async () => {
    const pair = paired('away-reverse');
    const before = standing(pair);
    await expect(reverse(alone(pair.one))).rejects.toMatchObject({
      code: 'peer-away',
      server: 'cms2.example.com',
      remedy: expect.stringMatching(/Bring cms2\.example\.com back.*activate/),
    });
    expect(standing(pair)).toEqual(before);
  });

  test('show tells both views, one of them unreachable', async () => {
    const pair = paired('away-show');
    const { result } = await show(alone(pair.one));
    expect(result['views']).toMatchObject([{ reachable: true, role: 'primary' }, { reachable: false }]);
  });

  test('the secondary may be activated once the name of the primary is typed, and says why in an alarm', async () => {
    const pair = paired('away-activate');
    const away = alone(pair.two);
    await expect(activate(away, { peer: 'cms2.example.com', reason: 'fire' })).rejects.toMatchObject({
      code: 'answers-refused',
    });
    await expect(activate(away, { peer: 'cms1.example.com', reason: ' ' })).rejects.toMatchObject({
      code: 'answers-refused',
    });
    const done = await activate(away, { peer: 'cms1.example.com', reason: 'cms1 burnt down' });
    expect(done).toMatchObject({ exitCode: exitCodes.done, result: { epoch: 2 } });
    expect([primaryOf(pair.cms1), primaryOf(pair.cms2)]).toEqual(['cms1', 'cms2']);
    expect(readFileSync(join(pair.cms2, 'var/lib/cmsadm/alarms.jsonl'), 'utf8')).toContain('cms1 burnt down');
    await expect(activate(away, { peer: 'cms1.example.com', reason: 'again' })).rejects.toMatchObject({
      code: 'not-secondary',
    });
    await expect(reverse(pair.two), 'the two do not tell the same pair').rejects.toMatchObject({ code: 'not-in-step' });
  });

  test('the secondary is not activated while the primary answers', async () => {
    const pair = paired('not-away');
    await expect(activate(pair.two, { peer: 'cms1.example.com', reason: 'x' })).rejects.toMatchObject({
      code: 'primary-answers',
      remedy: expect.stringContaining('reverse'),
    });
    expect(primaryOf(pair.cms2)).toBe('cms1');
  });

  test('who activates a server that waits for a decision is told whose versions are administered then', async () => {
    const pair = paired('away-undecided');
    const sync = join(pair.cms2, 'var/lib/cmsadm/sync');
    mkdirSync(sync, { recursive: true });
    writeFileSync(join(sync, 'administration.undecided'), '{}');
    const seen = await activate({ ...alone(pair.two), dryRun: true }, { peer: 'cms1.example.com', reason: 'x' });
    expect(seen.result['review']).toMatchObject({
      notes: expect.arrayContaining([expect.stringContaining('The data set administration waits for a decision;')]),
    });
  });

  test('the secondary may restore a tag alone', async () => {
    const pair = paired('away-restore');
    expect(await restore(alone(pair.two), { tag: pair.tag })).toMatchObject({ result: { outcome: 'done' } });
    expect([primaryOf(pair.cms1), primaryOf(pair.cms2)]).toEqual(['cms1', undefined]);
  });

  test('disable works on one server alone when it is told so', async () => {
    const pair = paired('away-disable');
    await expect(disable(alone(pair.one), { peer: 'cms2.example.com' })).rejects.toMatchObject({
      code: 'peer-away',
      remedy: expect.stringContaining('--alone'),
    });
    const done = await disable(alone(pair.one), { peer: 'cms2.example.com', alone: '' });
    expect(done).toMatchObject({ exitCode: exitCodes.done });
    expect(existsSync(join(pair.cms1, 'var/lib/cmsadm/link.json'))).toBe(false);
    expect(readFileSync(join(pair.cms1, 'etc/hosts'), 'utf8')).not.toContain('cmsadm');
  });
});

test('disable ends the link as well: no key opens the other server any more', async () => {
  const pair = paired('disabled');
  await expect(disable(pair.one, { peer: 'cms1.example.com' })).rejects.toMatchObject({ code: 'answers-refused' });
  await disable(pair.one, { peer: 'cms2.example.com' });
  for (const server of [pair.cms1, pair.cms2]) {
    for (const path of ['root/.ssh/id_cmsadm', 'var/lib/cmsadm/link.json', 'var/lib/cmsadm/pair.json'])
      expect(existsSync(join(server, path)), path).toBe(false);
    expect(readFileSync(join(server, 'root/.ssh/authorized_keys'), 'utf8')).not.toContain('cmsadm');
    expect(Object.keys(standing(pair)).filter((path) => /id_cmsadm\.zdt_[^.]*$/.test(path))).toEqual([]);
  }
});

test('set up again with the saved answers finds nothing to do; another NTP server is all that changes', async () => {
  const pair = paired('again');
  const before = standing(pair);
  expect(await setUp(pair.one, {})).toMatchObject({ exitCode: exitCodes.done, result: { outcome: 'nothing to do' } });
  expect(standing(pair)).toEqual(before);
  const { result } = await setUp(pair.one, { 'ntp-server': '192.0.2.123' });
  expect(result['servers']).toMatchObject([
    { files: ['/etc/chrony/chrony.conf', '/var/lib/cmsadm/pair.json'] },
    { files: ['/etc/chrony/chrony.conf', '/var/lib/cmsadm/pair.json'] },
  ]);
});

test('a tag whose backup is gone is not restored, and the file is named', async () => {
  const pair = paired('gone');
  rmSync(join(pair.cms2, `etc/hosts.${pair.tag}`));
  const before = standing(pair);
  await expect(restore(pair.one, { tag: pair.tag })).rejects.toMatchObject({
    code: 'backup-missing',
    details: [`cms2.example.com: missing /etc/hosts.${pair.tag}`],
  });
  expect(standing(pair)).toEqual(before);
});

test('a tag whose backup has another content by now is not restored, and the file is named', async () => {
  const pair = paired('altered');
  const other = join(pair.cms1, 'etc/other-name-of-hosts');
  linkSync(join(pair.cms1, `etc/hosts.${pair.tag}`), other);
  writeFileSync(other, 'by hand\n');
  await expect(restore(pair.one, { tag: pair.tag })).rejects.toMatchObject({
    code: 'backup-missing',
    details: [expect.stringMatching(new RegExp(`^cms1.example.com: .*hosts.${pair.tag}, .*old content`))],
  });
});

test('a file that was taken away since is there again, though set up would not make one', async () => {
  const pair = paired('taken-away');
  const chrony = join(pair.cms2, 'etc/chrony/chrony.conf');
  const before = readFileSync(chrony, 'latin1');
  const { result } = await setUp(pair.one, { 'ntp-server': '192.0.2.123' });
  rmSync(chrony);
  await restore(pair.one, { tag: String(result['tag']) });
  expect(readFileSync(chrony, 'latin1')).toBe(before);
});

test('a tag can be restored where a link leads elsewhere since; the review tells where', async () => {
  const pair = paired('led-elsewhere');
  const folder = join(pair.cms1, 'opt/informix/etc');
  const before = readFileSync(join(folder, `sqlhosts.${pair.tag}`), 'latin1');
  cpSync(folder, join(pair.cms1, 'opt/informix/etc-15'), { recursive: true });
  renameSync(folder, join(pair.cms1, 'opt/informix/etc-14'));
  symlinkSync('etc-15', folder);
  const { result } = await restore(pair.one, { tag: pair.tag });
  expect(readFileSync(join(folder, 'sqlhosts'), 'latin1')).toBe(before);
  const { servers } = JSON.parse(JSON.stringify(result['review']));
  expect(servers[0].files).toContainEqual({
    path: '/opt/informix/etc/sqlhosts',
    real: '/opt/informix/etc-15/sqlhosts',
    what: 'changed',
  });
});

test('the review tells of a file that has other names, which will keep the old content', async () => {
  const pair = single('other-names');
  linkSync(join(pair.cms2, 'etc/hosts'), join(pair.cms2, 'etc/hosts-too'));
  const { result } = await setUp(pair.context(pair.cms1, { dryRun: true }), pair.answers);
  const { servers } = JSON.parse(JSON.stringify(result['review']));
  expect(servers[1].files).toContainEqual({ path: '/etc/hosts', otherNames: 1, what: 'changed' });
  expect(servers[0].files).toContainEqual({ path: '/etc/hosts', what: 'changed' });
});

test('a full file system below a managed file stops set up before anything, with file and server', async () => {
  const pair = single('full');
  const context = pair.context(pair.cms1);
  const disk = async (path: string) => ({ freeMb: path === '/opt/informix/etc' ? 0 : 9000, totalMb: 9000 });
  const host = { ...context.host, system: { ...context.host.system, disk } };
  const before = standing(pair);
  expect(await refusalOf(setUp({ ...context, host }, pair.answers))).toMatchObject({
    code: 'preflight-failed',
    details: expect.arrayContaining([
      'cms1.example.com: /opt/informix/etc/sqlhosts: the file system of /opt/informix/etc is full.',
    ]),
  });
  expect(standing(pair)).toEqual(before);
});

test.each(['zdt_1_1700000000', '../../etc/passwd', '', 'zdt_1_1700000000\n'])('there is no tag %j', async (tag) => {
  const pair = paired(`tag-${Buffer.from(tag).toString('hex')}`);
  await expect(restore(pair.one, { tag })).rejects.toMatchObject({ code: 'answers-refused' });
});

test('a file edited since is restored all the same; the edit is kept under the new tag', async () => {
  const pair = paired('edited');
  const hosts = join(pair.cms1, 'etc/hosts');
  const original = readFileSync(`${hosts}.${pair.tag}`, 'utf8');
  writeFileSync(hosts, 'edited by hand\n');
  const { result } = await restore(pair.one, { tag: pair.tag });
  expect(readFileSync(hosts, 'utf8')).toBe(original);
  expect(readFileSync(`${hosts}.${result['tag']}`, 'utf8')).toBe('edited by hand\n');
});
