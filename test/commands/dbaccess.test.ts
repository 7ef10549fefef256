import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { dbaccess } from '../../src/commands/dbaccess.ts';
import { restore } from '../../src/commands/restore.ts';
import { accessRecordFile } from '../../src/database/access-record.ts';
import { databaseAccess } from '../../src/database/apply.ts';
import { exitCodes } from '../../src/errors.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, refusalOf } from '../rehearsal/pair.ts';

const folder = tempFolder();
let make: NewPair;
beforeAll(async () => {
  make = await pairMaker(folder);
}, 60_000);

const file = '/cms/admin/database-access.yaml';
const standIn = fileURLToPath(new URL('../../lab/files/dbaccess-stand-in', import.meta.url));

/** A server with the stand-in of the database's program, and a group of these members. */
function serverOf(name: string, ...members: string[]): RehearsalPair {
  const pair = make(name);
  const database = join(pair.cms1, 'opt/informix/stand-in/cms');
  mkdirSync(database, { recursive: true });
  writeFileSync(join(database, 'sysusers'), 'informix D\npublic C\n');
  mkdirSync(join(pair.cms1, 'opt/informix/bin'), { recursive: true });
  copyFileSync(standIn, join(pair.cms1, 'opt/informix/bin/dbaccess'));
  chmodSync(join(pair.cms1, 'opt/informix/bin/dbaccess'), 0o755);
  setGroup(pair, ...members);
  return pair;
}
const textAt = (pair: RehearsalPair, path: string): string | undefined =>
  existsSync(join(pair.cms1, path)) ? readFileSync(join(pair.cms1, path), 'latin1') : undefined;
const standInFile = (name: string): string => `/opt/informix/stand-in/cms/${name}`;
const usersOf = (pair: RehearsalPair): string[] =>
  (textAt(pair, standInFile('sysusers')) ?? '').trim().split('\n').sort();
const committed = (pair: RehearsalPair): string[] => (textAt(pair, standInFile('statements')) ?? '').trim().split('\n');
function setGroup(pair: RehearsalPair, ...members: string[]): void {
  const others = (textAt(pair, 'etc/group') ?? '').split('\n').filter((line) => !line.startsWith('dbaccess:'));
  writeFileSync(join(pair.cms1, 'etc/group'), [`dbaccess:x:4000:${members.join(',')}`, ...others].join('\n'));
}
const access = (pair: RehearsalPair, given: Record<string, string>, more = {}) =>
  dbaccess(pair.context(pair.cms1, more), given);
const fits = (outcome: Awaited<ReturnType<typeof access>>): string[] =>
  misfits(publishedSchema('dbaccess'), { exitCode: outcome.exitCode, ...outcome.result });

describe('database access', () => {
  test('is shown, restricted to the members in one transaction, brought in line with the group, and public again', async () => {
    const pair = serverOf('round', 'anna', 'ben');
    const first = await access(pair, { access: 'restricted' });
    expect(fits(first)).toEqual([]);
    const statements = [
      ...['BEGIN WORK;', 'REVOKE CONNECT FROM PUBLIC;', 'GRANT CONNECT TO "anna";', 'GRANT CONNECT TO "ben";'],
      'COMMIT WORK;',
    ];
    expect(first.result).toMatchObject({ outcome: 'done', statements, verified: { length: 5 }, was: { public: true } });
    expect(pair.lines).toContain('Database cms (informix): PUBLIC has CONNECT: everybody may connect.');
    expect(committed(pair)).toEqual(statements);
    expect(usersOf(pair)).toEqual(['anna C', 'ben C', 'informix D']);
    expect(textAt(pair, file)).toContain('access: restricted\nmembers:\n  - anna\n  - ben\n');

    const same = await access(pair, { access: 'restricted' });
    expect(same.result).toMatchObject({ outcome: 'nothing', statements: [] });
    expect(fits(same)).toEqual([]);

    setGroup(pair, 'ben', 'carol');
    const again = await access(pair, { access: 'restricted' });
    expect(again.result).toMatchObject({
      statements: ['BEGIN WORK;', 'GRANT CONNECT TO "carol";', 'REVOKE CONNECT FROM "anna";', 'COMMIT WORK;'],
    });
    expect(usersOf(pair)).toEqual(['ben C', 'carol C', 'informix D']);

    const open = await access(pair, { access: 'public' });
    expect(fits(open)).toEqual([]);
    expect(usersOf(pair)).toEqual(['informix D', 'public C']);
    expect(textAt(pair, file)).toContain('access: public');
  });

  test('asks [y,n,?]: ? explains, n leaves everything, a restricted one shows who comes and goes first', async () => {
    const pair = serverOf('asks', 'anna');
    const asked = (answers: Record<string, string | string[]>) => ({ yes: false, ask: answering(answers) });
    const n = await access(pair, {}, asked({ 'Shall only': ['?', 'n'] }));
    expect(n.result).toEqual({ outcome: 'declined' });
    expect(pair.lines.some((line) => line.startsWith('y: those that the group dbaccess'))).toBe(true);
    const no = await access(pair, {}, asked({ 'Shall only': 'y', 'Proceed?': 'n' }));
    expect(no.result).toEqual({ outcome: 'declined' });
    expect(usersOf(pair)).toEqual(['informix D', 'public C']);
    expect(textAt(pair, file)).toBeUndefined();
    expect((await access(pair, {}, asked({ 'Shall only': 'y', 'Proceed?': 'y' }))).result).toMatchObject({
      outcome: 'done',
      access: 'restricted',
    });
    setGroup(pair, 'ben');
    const left = await access(pair, {}, asked({ 'Grant anew': 'n', 'Back to public': 'n' }));
    expect(left.result).toEqual({ outcome: 'declined' });
    expect(pair.lines).toEqual(expect.arrayContaining(['  + ben', '  - anna']));
    await access(pair, {}, asked({ 'Grant anew': 'y', 'Proceed?': 'y' }));
    expect(usersOf(pair)).toEqual(['ben C', 'informix D']);
    await access(pair, {}, asked({ 'Grant anew': 'n', 'Back to public': 'y', 'Proceed?': 'y' }));
    expect(usersOf(pair)).toEqual(['informix D', 'public C']);
  });

  test('only shows in a dry run, also where nothing but the database does not stand so', async () => {
    const pair = serverOf('dry', 'anna');
    const dry = await access(pair, { access: 'restricted' }, { dryRun: true });
    expect(dry).toMatchObject({ exitCode: exitCodes.pending, result: { outcome: 'pending' } });
    expect(fits(dry)).toEqual([]);
    expect(usersOf(pair)).toEqual(['informix D', 'public C']);
    await access(pair, { access: 'restricted' });
    writeFileSync(join(pair.cms1, standInFile('sysusers')), 'informix D\npublic C\n');
    const only = await access(pair, { access: 'restricted' }, { dryRun: true });
    expect(only).toMatchObject({ exitCode: exitCodes.pending, result: { outcome: 'pending' } });
    expect(usersOf(pair)).toEqual(['informix D', 'public C']);
    await access(pair, { access: 'restricted' });
    expect(usersOf(pair)).toEqual(['anna C', 'informix D']);
  });

  test('that one statement fails stays as it was as a whole, is told, and made good later', async () => {
    const pair = serverOf('fails', 'anna', 'ben');
    const { host, profile } = pair.context(pair.cms1);
    writeFileSync(join(pair.cms1, standInFile('refuse')), '"ben"');
    const failed = await refusalOf(access(pair, { access: 'restricted' }));
    expect(failed).toMatchObject({ code: 'database-refused', exitCode: exitCodes.needsPerson });
    expect(usersOf(pair)).toEqual(['informix D', 'public C']);
    expect(textAt(pair, standInFile('statements'))).toBeUndefined();
    expect(await databaseAccess.report(host, profile)).toContain('not carried out: GRANT CONNECT TO "ben";');
    await expect(databaseAccess.apply(host, profile)).rejects.toMatchObject({ code: 'database-refused' });
    rmSync(join(pair.cms1, standInFile('refuse')));
    expect(await databaseAccess.apply(host, profile)).toHaveLength(5);
    expect(await databaseAccess.apply(host, profile)).toEqual([]);
    expect(await databaseAccess.report(host, profile)).toEqual([]);
  });

  test('is taken back by its tag: the grants are as before the first decision', async () => {
    const pair = serverOf('tag', 'anna');
    const { result } = await access(pair, { access: 'restricted' });
    await restore(pair.context(pair.cms1), { tag: String(result['tag']) });
    expect(textAt(pair, file)).toBeUndefined();
    expect(usersOf(pair)).toEqual(['informix D', 'public C']);
    expect(textAt(pair, accessRecordFile)).toBeUndefined();
  });

  test('never revokes what somebody else granted, and tells it', async () => {
    const pair = serverOf('others', 'anna');
    writeFileSync(join(pair.cms1, standInFile('sysusers')), 'informix D\npublic C\ncarol C\n');
    const outcome = await access(pair, { access: 'restricted' });
    expect(outcome.result).toMatchObject({ others: ['carol'] });
    await access(pair, { access: 'public' });
    expect(usersOf(pair)).toEqual(['carol C', 'informix D', 'public C']);
  });

  test('is refused with a remedy: no database, no group, a member that is no name, a spoilt file, an unknown word', async () => {
    const pair = serverOf('refused', 'anna');
    const refused = (given: Record<string, string>, more = {}) => refusalOf(access(pair, given, more));
    expect(await refused({ access: 'everybody' })).toMatchObject({ code: 'usage' });
    expect(await refused({})).toMatchObject({ code: 'usage' });
    for (const bad of ['an"na', 'public', "x'; DROP TABLE agents; --"]) {
      setGroup(pair, 'anna', bad);
      expect(await refused({ access: 'restricted' })).toMatchObject({ code: 'member-refused' });
    }
    writeFileSync(join(pair.cms1, 'etc/group'), 'root:x:0:\n');
    expect(await refused({ access: 'restricted' })).toMatchObject({ code: 'group-missing' });
    setGroup(pair, 'anna');
    writeFileSync(join(pair.cms1, file), 'access: restricted\nmembers: ["x\\"; DROP"]\n');
    expect(await refused({ access: 'restricted' })).toMatchObject({ code: 'access-unreadable' });
    rmSync(join(pair.cms1, file));
    rmSync(join(pair.cms1, standInFile('sysusers')));
    expect(await refused({ access: 'public' })).toMatchObject({
      code: 'database-refused',
      message: expect.stringContaining('Database not found'),
    });
    rmSync(join(pair.cms1, 'opt/informix/bin/dbaccess'));
    expect(await refused({ access: 'public' })).toMatchObject({ code: 'database-refused' });
    expect(usersOf(pair)).toEqual(['']);
  });

  test('of a group without members is warned of, and members by their first group count', async () => {
    const pair = serverOf('group');
    const dry = { dryRun: true };
    await access(pair, { access: 'restricted' });
    expect(pair.lines.find((line) => line.startsWith('! '))).toContain('The group dbaccess has no members');
    writeFileSync(
      join(pair.cms1, 'etc/passwd'),
      `${textAt(pair, 'etc/passwd')}dora:x:1009:4000::/home/dora:/usr/bin/cms\n`,
    );
    expect((await access(pair, { access: 'restricted' }, dry)).result).toMatchObject({ members: ['dora'] });
  });
});
