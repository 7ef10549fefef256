import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { administer } from '../../src/commands/administer.ts';
import { restore } from '../../src/commands/restore.ts';
import { setUp } from '../../src/commands/setup.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { administrationFolder, isAdministered, ownFolder } from '../../src/pair/administered.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, refusalOf } from '../rehearsal/pair.ts';

const folder = tempFolder();
let make: NewPair;
let paired: RehearsalPair;
beforeAll(async () => {
  make = await pairMaker(folder);
  paired = make('paired');
  await setUp(paired.context(paired.cms1), paired.answers);
}, 60_000);

const acd = '/cms/admin/acd/1.yaml';
const own = `${ownFolder}/acd/1-link.yaml`;
const plan = (content: string | null) => ({
  operation: 'define ACD 1',
  files: [{ path: acd, content }],
  notes: ['a note'],
});
const put = (root: string, path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const tagged = (root: string): string[] =>
  existsSync(join(root, dirname(acd)))
    ? readdirSync(join(root, dirname(acd))).filter((name) => name.includes('.zdt_'))
    : [];

test('writes a new file, keeps what it replaces under the tag, and does nothing the second time', async () => {
  const pair = make('writes');
  const first = await administer(pair.context(pair.cms1), plan('name: one\n'));
  expect(first.result).toMatchObject({ outcome: 'done', files: [{ path: acd, what: 'created' }] });
  expect(readFileSync(join(pair.cms1, acd), 'utf8')).toBe('name: one\n');
  expect(statSync(join(pair.cms1, acd)).mode & 0o777).toBe(0o644);
  const again = await administer(pair.context(pair.cms1), plan('name: one\n'));
  expect(again).toMatchObject({ exitCode: exitCodes.done, result: { outcome: 'nothing' } });
  const second = await administer(pair.context(pair.cms1), plan('name: two\n'));
  const backup = `${acd}.${second.result['tag']}`;
  expect(readFileSync(join(pair.cms1, backup), 'utf8')).toBe('name: one\n');
  const third = await administer(pair.context(pair.cms1), plan(null));
  expect(existsSync(join(pair.cms1, acd))).toBe(false);
  expect(readFileSync(join(pair.cms1, `${acd}.${third.result['tag']}`), 'utf8')).toBe('name: two\n');
});

test('touches nothing on n, in a dry run, and where nobody could say yes', async () => {
  const pair = make('asks');
  const declined = await administer(
    pair.context(pair.cms1, { yes: false, ask: answering({ 'Proceed?': ['d', 'n'] }) }),
    plan('x\n'),
  );
  expect(declined.result).toEqual({ outcome: 'declined' });
  expect(pair.lines).toContain('[diff]');
  const warned = { ...plan('x\n'), warning: 'This goes at once.' };
  const dry = await administer(pair.context(pair.cms1, { dryRun: true }), warned);
  expect(dry).toMatchObject({
    exitCode: exitCodes.pending,
    result: { outcome: 'pending', warnings: ['This goes at once.'] },
  });
  expect(await refusalOf(administer(pair.context(pair.cms1, { yes: false }), plan('x\n')))).toMatchObject({
    code: 'usage',
  });
  expect(existsSync(join(pair.cms1, acd))).toBe(false);
});

test('makes the server stand so after the change, and again where only that was missing', async () => {
  const pair = make('afterwards');
  let called = 0;
  const withEffect = {
    ...plan('x\n'),
    afterwards: async () => {
      called += 1;
      return ['stands so'];
    },
  };
  expect((await administer(pair.context(pair.cms1), withEffect)).result).toMatchObject({ verified: ['stands so'] });
  await administer(pair.context(pair.cms1), withEffect);
  expect(called).toBe(2);
});

test('refuses a file that is a link, naming it', async () => {
  const pair = make('link');
  put(pair.cms1, '/cms/admin/acd/other', 'x');
  symlinkSync('other', join(pair.cms1, acd));
  expect(await refusalOf(administer(pair.context(pair.cms1), plan('x\n')))).toMatchObject({
    code: 'file-refused',
    file: acd,
  });
});

test('changes what each server has to itself on both at once', async () => {
  const pair = make('both', paired);
  const both = {
    ...plan('name: one\n'),
    files: [
      { path: acd, content: 'name: one\n' },
      { path: own, content: 'address: 192.0.2.1\n' },
    ],
    peerFiles: [{ path: own, content: 'address: 192.0.2.2\n' }],
  };
  const outcome = await administer(pair.context(pair.cms1), both);
  expect(outcome.result).toMatchObject({ outcome: 'done' });
  expect(readFileSync(join(pair.cms1, own), 'utf8')).toBe('address: 192.0.2.1\n');
  expect(readFileSync(join(pair.cms2, own), 'utf8')).toBe('address: 192.0.2.2\n');
  expect(statSync(join(pair.cms2, own)).mode & 0o777).toBe(0o600);
  expect(existsSync(join(pair.cms2, acd))).toBe(false); // that is admin-sync's
  expect(tagged(pair.cms1)).toEqual([]);
});

test('is taken back by its tag, on a single server and in a pair, where it is listed with the others', async () => {
  const single = make('taken-back');
  const { result } = await administer(single.context(single.cms1), plan('name: one\n'));
  await administer(single.context(single.cms1), plan('name: two\n'));
  expect((await restore(single.context(single.cms1), {})).result).toMatchObject({ outcome: 'listed' });
  expect(await refusalOf(restore(single.context(single.cms1), { tag: 'zdt_1_1700000000' }))).toMatchObject({
    code: 'answers-refused',
  });
  const back = await restore(single.context(single.cms1), { tag: String(result['tag']) });
  expect(back.result).toMatchObject({ outcome: 'done', restored: result['tag'] });
  expect(existsSync(join(single.cms1, acd))).toBe(false);
  await restore(single.context(single.cms1), { tag: String(back.result['tag']) });
  expect(readFileSync(join(single.cms1, acd), 'utf8')).toBe('name: two\n');

  const pair = make('taken-back-in-a-pair', paired);
  const both = { ...plan('name: one\n'), peerFiles: [{ path: own, content: 'address: 192.0.2.2\n' }] };
  const done = await administer(pair.context(pair.cms1), both);
  const tag = String(done.result['tag']);
  expect(await refusalOf(restore(pair.context(pair.cms2), { tag }))).toMatchObject({ code: 'not-authority' });
  const one = pair.context(pair.cms1);
  const connect = (): never => {
    throw new CmsadmError('unreachable', 'No answer.');
  };
  const alone = { ...one, host: { ...one.host, system: { ...one.host.system, connect } } };
  expect(await refusalOf(restore(alone, { tag }))).toMatchObject({ code: 'peer-away' });
  expect(existsSync(join(pair.cms1, acd))).toBe(true);
  await restore(pair.context(pair.cms1), { tag });
  expect([existsSync(join(pair.cms1, acd)), existsSync(join(pair.cms2, own))]).toEqual([false, false]);
});

test('takes no path outside the two folders, and no backup for a file', async () => {
  const { profile } = make('paths').context(paired.cms1);
  const inside = [acd, own, `${administrationFolder(profile)}/x`];
  const outside = [
    ...['/etc/passwd', '/cms/admin', '/cms/admin/../x', '/cms/admin//x', '/cms/admin/./x', '/cms/administration/x'],
    ...[`${acd}.zdt_1_1700000000`, `${ownFolder}/\0`, 'cms/admin/x'],
  ];
  expect(inside.filter((path) => !isAdministered(profile, path))).toEqual([]);
  expect(outside.filter((path) => isAdministered(profile, path))).toEqual([]);
  const pair = make('outside', paired);
  const bad = { ...plan(null), files: [{ path: '/etc/passwd', content: 'x' }] };
  expect(await refusalOf(administer(pair.context(pair.cms1), bad))).toMatchObject({ code: 'path-refused' });
  const badThere = { ...plan('x\n'), peerFiles: [{ path: '/etc/passwd', content: 'x' }] };
  expect(await refusalOf(administer(pair.context(pair.cms1), badThere))).toMatchObject({ code: 'path-refused' });
  expect(existsSync(join(pair.cms1, acd))).toBe(false);
});
