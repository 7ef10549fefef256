import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drain, fill } from '../../lab/disk.ts';
import { available, exec } from '../../lab/lab.ts';
import { installOn } from '../../lab/packages.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { killedAt, prepareKills, stride } from './kill-at-call.ts';
import {
  attempt,
  cms1,
  cmsadm,
  objectOf,
  pair,
  type Server,
  setUp,
  sh,
  stopAtFirstFailure,
  told,
  useFreshLab,
} from './kit.ts';
import { openTerminal, type Terminal, tooWide } from './terminal.ts';

const { ok, why } = available();

const file = '/cms/admin/database-access.yaml';
const database = 'administration';

// As docs/administration.md shows it.
const postgresql = `
databaseAccess:
  adapter: postgresql
  name: ${database}
  group: dbaccess
  program: /usr/bin/psql
  user: postgres
`;

const psql = ['runuser', '-u', 'postgres', '--', 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1'] as const;
const sql = async (server: Server, statement: string): Promise<string> =>
  (await exec(server, ['env', '--chdir=/', ...psql, '-d', database, '-c', statement])).stdout.trim();

/** The access list of the database, an entry a line. */
const grantsOf = async (server: Server): Promise<string[]> =>
  (await sql(server, `SELECT unnest(datacl) FROM pg_database WHERE datname = '${database}'`)).split('\n').sort();
/** Who of them gets in, tried by each as a user of the system. */
async function entering(server: Server, ...names: string[]): Promise<string[]> {
  const tried = await Promise.all(
    names.map((name) =>
      attempt(server, 'env', '--chdir=/', 'runuser', '-u', name, '--', 'psql', '-X', '-d', database, '-c', 'SELECT 1'),
    ),
  );
  return names.filter((_, index) => tried[index]?.exitCode === 0);
}
const letsIn = (server: Server, ...names: string[]): Promise<void> =>
  expect.poll(() => entering(server, 'anna', 'ben', 'carol'), { timeout: 20_000, interval: 300 }).toEqual(names);

const group = (server: Server, ...members: string[]): Promise<string> =>
  sh(server, `gpasswd --members '${members.join(',')}' dbaccess`);

/** Runs dbaccess with --json and --yes, holds what it prints against the schema, and returns it. */
async function access(server: Server, which: 'restricted' | 'public', exitCode = 0): Promise<unknown> {
  const result = await cmsadm(server, 'dbaccess', '--access', which, '--json', '--yes');
  expect(result.exitCode, told(result)).toBe(exitCode);
  const printed = objectOf(result);
  if (exitCode === 0) expect(misfits(publishedSchema('dbaccess'), printed)).toEqual([]);
  return printed;
}

const question = {
  menu: 'Enter choice (1-12) or q to quit:',
  only: 'Shall only the members of the group dbaccess connect? [y,n,?]:',
  anew: 'Grant anew as the group dbaccess is now? [y,n,?]:',
  back: 'Back to public access, for everybody? [y,n,?]:',
  proceed: 'Proceed? (y/n, d shows the diffs):',
} as const;

describe.skipIf(!ok)(`database access on real servers${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab({ diskMb: 1200 });
  stopAtFirstFailure();
  let terminal: Terminal;
  beforeAll(async () => {
    await prepareKills('cms1');
    for (const server of pair)
      await sh(
        server,
        'groupadd dbaccess; for n in anna ben carol; do useradd "$n"; done; gpasswd -M anna,ben dbaccess',
      );
    terminal = await openTerminal('cms1', 'dbaccess');
  });
  afterAll(() => terminal.close());

  describe('with the stand-in of DB-Access', () => {
    const place = '/opt/informix/stand-in/cms';
    const users = async (server: Server): Promise<string[]> =>
      (await sh(server, `sort ${place}/sysusers`)).trim().split('\n');

    it('grants to the members by name and revokes from PUBLIC, in one transaction that it records', async () => {
      const statements = [
        ...['BEGIN WORK;', 'REVOKE CONNECT FROM PUBLIC;', 'GRANT CONNECT TO "anna";', 'GRANT CONNECT TO "ben";'],
        'COMMIT WORK;',
      ];
      expect(await access('cms1', 'restricted')).toMatchObject({ outcome: 'done', adapter: 'informix', statements });
      expect((await sh('cms1', `cat ${place}/statements`)).trim().split('\n')).toEqual(statements);
      expect(await users('cms1')).toEqual(['anna C', 'ben C', 'informix D']);
      // It works as the database's own user.
      expect(await sh('cms1', `stat --format=%U ${place}/sysusers`)).toBe('informix');
    });

    it('leaves all as it was where one statement fails', async () => {
      await sh('cms1', `echo PUBLIC >${place}/refuse`);
      expect(await access('cms1', 'public', 5)).toMatchObject({ error: { code: 'database-refused' } });
      expect(await users('cms1')).toEqual(['anna C', 'ben C', 'informix D']);
      await sh('cms1', `rm ${place}/refuse`);
      const recovered = await cmsadm('cms1', 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
      expect(await users('cms1')).toEqual(['informix D', 'public C']);
    });
  });

  it('is given PostgreSQL, with the same names on both servers but for one', async () => {
    await sh('cms1', `rm -f ${file} /var/lib/cmsadm/own/database-access.json`);
    await installOn(pair, 'postgresql');
    for (const server of pair) await sh(server, `cd /; runuser -u postgres -- createdb ${database}`);
    await sql(
      'cms1',
      'CREATE ROLE anna LOGIN; CREATE ROLE ben LOGIN; CREATE ROLE carol LOGIN; CREATE ROLE "x""; DROP" LOGIN',
    );
    await sql('cms2', 'CREATE ROLE anna LOGIN; CREATE ROLE carol LOGIN');
    await exec('cms1', ['sh', '-c', 'cat >> /etc/cmsadm/profiles/lab.yaml'], { input: postgresql });
    await letsIn('cms1', 'anna', 'ben', 'carol');
  }, 400_000);

  it('takes only y, n and ? at the menu, and leaves everything on n at each question', async () => {
    await terminal.type('cmsadm');
    await terminal.answer(question.menu, '10');
    await terminal.see('PUBLIC has CONNECT: everybody may connect.');
    for (const typed of ['yes', 'Y', '1', '*']) {
      await terminal.answer(question.only, typed);
      await terminal.see(`"${typed}" is none of y, n, ?.`);
    }
    await terminal.answer(question.only, '');
    await terminal.see('type one of y, n, ?.');
    await terminal.answer(question.only, '?');
    await terminal.see('y: those that the group dbaccess of this server holds now');
    await terminal.answer(question.only, 'n');
    await terminal.see('Nothing was touched.');
    await terminal.answer(question.menu, '10');
    await terminal.answer(question.only, 'y');
    for (const statement of ['BEGIN;', `REVOKE CONNECT ON DATABASE "${database}" FROM PUBLIC;`, 'COMMIT;'])
      await terminal.see(statement);
    await terminal.answer(question.proceed, 'yes');
    await terminal.see('"yes" is none of y, n, d.');
    await terminal.answer(question.proceed, 'n');
    await terminal.see('Nothing was touched.');
    await letsIn('cms1', 'anna', 'ben', 'carol');
    expect((await attempt('cms1', 'test', '-e', file)).exitCode).toBe(1);
  });

  it('shows every statement, carries them out after y, and lets only the members in', async () => {
    await terminal.answer(question.menu, '10');
    await terminal.answer(question.only, 'y');
    await terminal.see(`GRANT CONNECT ON DATABASE "${database}" TO "ben";`);
    await terminal.answer(question.proceed, 'y');
    await terminal.see('Done: database access for 2 members.');
    await letsIn('cms1', 'anna', 'ben');
    expect(await grantsOf('cms1')).toEqual([
      '=T/postgres',
      'anna=c/postgres',
      'ben=c/postgres',
      'postgres=CTc/postgres',
    ]);
  });

  it('shows who comes and goes after the group changed, before it grants anew', async () => {
    await group('cms1', 'ben', 'carol');
    await terminal.answer(question.menu, '10');
    await terminal.see('+ carol');
    await terminal.see('- anna');
    await terminal.answer(question.anew, 'n');
    await terminal.answer(question.back, 'n');
    await terminal.see('Nothing was touched.');
    await letsIn('cms1', 'anna', 'ben');
    await terminal.answer(question.menu, '10');
    await terminal.answer(question.anew, 'y');
    await terminal.answer(question.proceed, 'y');
    await terminal.see(`REVOKE CONNECT ON DATABASE "${database}" FROM "anna"`);
    await terminal.see(question.menu);
    await letsIn('cms1', 'ben', 'carol');
  });

  it('goes back to public access', async () => {
    await terminal.answer(question.menu, '10');
    await terminal.answer(question.anew, 'n');
    await terminal.answer(question.back, 'x');
    await terminal.see('"x" is none of y, n, ?.');
    await terminal.answer(question.back, 'y');
    await terminal.answer(question.proceed, 'y');
    await terminal.see('Done: database access for everybody.');
    await terminal.answer(question.menu, 'q');
    expect(await terminal.exitCode()).toBe(0);
    await letsIn('cms1', 'anna', 'ben', 'carol');
    expect(await grantsOf('cms1')).toEqual(['=Tc/postgres', 'postgres=CTc/postgres']);
  });

  it("asks this server's database whatever the operator's shell says of another one", async () => {
    const elsewhere = ['PGHOST=192.0.2.1', 'PGPORT=1', 'PGSERVICE=elsewhere', 'PGSSLMODE=verify-full', 'HOME=/none'];
    const result = await attempt(
      'cms1',
      'env',
      ...elsewhere,
      'cmsadm',
      'dbaccess',
      '--access',
      'public',
      '--json',
      '--yes',
    );
    expect(result.exitCode, told(result)).toBe(0);
    expect(objectOf(result)).toMatchObject({ outcome: 'nothing', was: { public: true } });
  });

  it.each([
    ['who shall connect', [question.menu, question.only]],
    ['the last word', [question.menu, question.only, question.proceed]],
  ])('leaves with 130 and nothing done on Ctrl-C at %s', async (_where, questions) => {
    const text = await sh('cms1', `cat ${file}`);
    await terminal.type('cmsadm');
    const answers = ['10', 'y'];
    for (const [index, one] of questions.slice(0, -1).entries()) await terminal.answer(one, answers[index] ?? '');
    await terminal.see(questions.at(-1) ?? '');
    await terminal.press('C-c');
    expect(await terminal.exitCode()).toBe(130);
    expect(await sh('cms1', `cat ${file}`)).toBe(text);
    await letsIn('cms1', 'anna', 'ben', 'carol');
  });

  it('never writes a line wider than the terminal', async () => {
    expect(tooWide(await terminal.lines())).toEqual([]);
  });

  it.each(['public', 'x"; DROP ROLE anna; --', "o'neil"])('grants nothing to a member called %s', async (name) => {
    await exec('cms1', ['sh', '-c', 'cp /etc/group /root/group && cat >>/etc/group'], { input: '' });
    await exec('cms1', ['sh', '-c', "sed -i '/^dbaccess:/d' /etc/group && cat >>/etc/group"], {
      input: `dbaccess:x:4999:anna,${name}\n`,
    });
    expect(await access('cms1', 'restricted', 3)).toMatchObject({ error: { code: 'member-refused' } });
    await sh('cms1', 'cp /root/group /etc/group');
    await letsIn('cms1', 'anna', 'ben', 'carol');
  });

  it('killed at any call leaves file and grants as before or as wanted, at the latest after recover', async () => {
    await group('cms1', 'anna', 'ben');
    const whole = await killedAt('cms1', Number.MAX_SAFE_INTEGER, 'dbaccess', '--access', 'restricted', '--yes');
    expect(whole.exitCode, told(whole)).toBe(0);
    expect(whole.calls.length).toBeGreaterThan(20);
    let isRestricted = true;
    const ends: boolean[] = [];
    for (let at = 1; at <= whole.calls.length; at += stride(whole.calls.length, 10)) {
      const which = isRestricted ? 'public' : 'restricted';
      const killed = await killedAt('cms1', at, 'dbaccess', '--access', which, '--yes');
      expect(killed.exitCode, `${at}: ${told(killed)}`).toBe(137);
      const recovered = await cmsadm('cms1', 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
      isRestricted = /^access: restricted$/m.test(await sh('cms1', `cat ${file}`));
      ends.push(isRestricted);
      await letsIn('cms1', ...['anna', 'ben', ...(isRestricted ? [] : ['carol'])]);
    }
    expect(new Set(ends).size).toBe(2);
    await access('cms1', 'public');
  }, 200_000);

  it('does nothing on a full disk, tells it, and is made good once there is room', async () => {
    for (const free of [0, 60]) {
      await fill('cms1', free);
      const full = await cmsadm('cms1', 'dbaccess', '--access', 'restricted', '--yes');
      await drain('cms1');
      const recovered = await cmsadm('cms1', 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
      const isRestricted = (await attempt('cms1', 'grep', '-q', 'access: restricted', file)).exitCode === 0;
      if (full.exitCode === 0 || full.exitCode === 4) expect(isRestricted, told(full)).toBe(full.exitCode === 0);
      if (free === 0) expect(full.exitCode, told(full)).not.toBe(0);
      await letsIn('cms1', ...['anna', 'ben', ...(isRestricted ? [] : ['carol'])]);
      await access('cms1', 'public');
    }
  }, 120_000);

  it('in a pair reaches the database of the secondary too, and tells a member whom that one does not know', async () => {
    await setUp();
    await access('cms1', 'restricted');
    await letsIn('cms1', 'anna', 'ben');
    await letsIn('cms2', 'anna');
    await expect
      .poll(() => sh('cms2', 'cmsadm sync status --json'), { timeout: 20_000, interval: 500 })
      .toContain('ben: the database has no such user yet');
    await sql('cms2', 'CREATE ROLE ben LOGIN');
    const pass = await cmsadm('cms1', 'sync', 'now');
    expect(pass.exitCode, told(pass)).toBe(0);
    await letsIn('cms2', 'anna', 'ben');
    expect(await access('cms1', 'restricted')).toMatchObject({ outcome: 'nothing', statements: [] });
  }, 120_000);

  it('follows the group of the primary at once, not that of the secondary', async () => {
    await group('cms1', 'ben', 'carol');
    const began = Date.now();
    await access('cms1', 'restricted');
    await letsIn('cms2', 'ben', 'carol');
    expect(Date.now() - began).toBeLessThan(10_000);
    await letsIn('cms1', 'ben', 'carol');
  });

  it('is refused on the secondary, naming the primary', async () => {
    const refused = await access('cms2', 'public', 3);
    expect(refused).toMatchObject({ error: { code: 'not-authority' } });
    expect(JSON.stringify(refused)).toContain(cms1.fqdn);
    await letsIn('cms2', 'ben', 'carol');
  });

  it('is an alarm where the database of the secondary is down, and made good when it is up', async () => {
    await sh('cms2', 'systemctl stop postgresql@15-main');
    await access('cms1', 'public');
    await letsIn('cms1', 'anna', 'ben', 'carol');
    await expect
      .poll(() => sh('cms2', 'cat /var/lib/cmsadm/alarms.jsonl'), { timeout: 20_000, interval: 500 })
      .toContain('database access');
    await sh('cms2', 'systemctl start postgresql@15-main');
    const pass = await cmsadm('cms1', 'sync', 'now');
    expect(pass.exitCode, told(pass)).toBe(0);
    await letsIn('cms2', 'anna', 'ben', 'carol');
    // A server whose database is down shows no grants to decide by.
    await sh('cms1', 'systemctl stop postgresql@15-main');
    expect(await access('cms1', 'restricted', 3)).toMatchObject({ error: { code: 'database-refused' } });
  }, 120_000);
});
