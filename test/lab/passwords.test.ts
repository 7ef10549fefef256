import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drain, fill } from '../../lab/disk.ts';
import { available, exec } from '../../lab/lab.ts';
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
  start,
  stopAtFirstFailure,
  told,
  useFreshLab,
} from './kit.ts';
import { openTerminal, type Terminal, tooWide } from './terminal.ts';

const { ok, why } = available();

const file = '/cms/admin/password-aging.yaml';
const record = '/var/lib/cmsadm/own/password-ages.json';

/** Users of the product (anna, ben, carol), and accounts that must never age. */
const accounts = `cat >/usr/bin/cms <<'END'
#!/bin/sh
exec /bin/sh "$@"
END
chmod 755 /usr/bin/cms
add() { name=$1; shift; useradd --create-home "$@" "$name"; echo "$name:lab-$name-1" | chpasswd; }
add anna --shell /usr/bin/cms
add ben --shell /usr/bin/cms
add carol --shell /usr/bin/cms
add service --system --shell /usr/bin/cms
add clerk --shell /bin/bash
useradd --shell /usr/bin/cms locked
chage --mindays 2 --maxdays 200 ben
chage --lastday $(date -d '100 days ago' +%Y-%m-%d) carol`;

const users = ['anna', 'ben', 'carol'] as const;
type Days = Readonly<Record<string, string>>;

/** The shadow entries of a server by name, without the passwords. */
async function shadowOf(server: Server): Promise<Days> {
  const lines = (await sh(server, 'cut -d: -f1,3- /etc/shadow')).trim().split('\n');
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}
const maximum = async (server: Server, name: string): Promise<number> =>
  Number((await sh(server, `getent shadow ${name}`)).split(':')[4]);
const becomes = (server: Server, name: string, days: number, timeout = 15_000): Promise<void> =>
  expect.poll(() => maximum(server, name), { timeout, interval: 200 }).toBe(days);

/** Runs passwd_age with --json and --yes, holds what it prints against the schema, and returns it. */
async function aging(server: Server, args: readonly string[], exitCode = 0): Promise<unknown> {
  const result = await cmsadm(server, 'passwd_age', ...args, '--json', '--yes');
  expect(result.exitCode, told(result)).toBe(exitCode);
  const printed = objectOf(result);
  if (exitCode === 0) expect(misfits(publishedSchema('passwd_age'), printed)).toEqual([]);
  return printed;
}
const on = ['--action', 'on', '--exclude', 'none', '--weeks', '9'] as const;

const question = {
  menu: 'Enter choice (1-12) or q to quit:',
  action: '1 turn it on, 2 turn it off, 3 change the interval, q leaves (1-3) (default: 1):',
  exclude: 'Users whose passwords shall not age, with commas between them (none: there are none):',
  listed: 'Users whose passwords shall not age, with commas between them (none: there are none) (default: carol):',
  weeks: 'Weeks until a password expires (1-52) (default: 9):',
  proceed: 'Proceed? (y/n, d shows the diffs):',
} as const;

describe.skipIf(!ok)(`password aging on real servers${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab({ diskMb: 900 });
  stopAtFirstFailure();
  let terminal: Terminal;
  let before: Days;
  /** Of the other server. */
  let there: Days;
  beforeAll(async () => {
    for (const server of pair) await sh(server, accounts);
    await sh('cms2', 'chage --maxdays 300 ben');
    await prepareKills('cms1');
    before = await shadowOf('cms1');
    there = await shadowOf('cms2');
    terminal = await openTerminal('cms1', 'passwords');
  });
  afterAll(() => terminal.close());

  const expectUntouched = async (): Promise<void> => {
    expect(await shadowOf('cms1')).toEqual(before);
    expect((await attempt('cms1', 'test', '-e', file)).exitCode).toBe(1);
  };
  const changedOnly = async (names: readonly string[]): Promise<void> => {
    const now = await shadowOf('cms1');
    expect(Object.keys(now).filter((name) => now[name] !== before[name])).toEqual(names);
  };

  it('says at the menu why it refuses an answer at each question, and leaves everything as it is on n', async () => {
    await terminal.type('cmsadm');
    await terminal.answer(question.menu, '9');
    await terminal.see('Password aging is off.');
    for (const typed of ['0', '4', '2abc', '-1', 'ON']) {
      await terminal.answer(question.action, typed);
      await terminal.see(`"${typed}" is no choice.`);
    }
    await terminal.answer(question.action, '3');
    await terminal.see('there is no interval to change.');
    await terminal.answer(question.action, '');
    await terminal.answer(question.exclude, '');
    await terminal.see('Nobody was named.');
    for (const typed of ['carol;id', '$(reboot)', 'none, anna']) {
      await terminal.answer(question.exclude, typed);
      await terminal.see('No name of a user:');
    }
    await terminal.answer(question.exclude, 'carol');
    for (const typed of ['0', '53', '9 weeks', '-9', '1e1']) {
      await terminal.answer(question.weeks, typed);
      await terminal.see(`"${typed}" is no number of weeks.`);
    }
    await terminal.answer(question.weeks, '');
    await terminal.answer(question.proceed, 'yes');
    await terminal.see('"yes" is none of y, n, d.');
    await terminal.answer(question.proceed, 'd');
    await terminal.see('+weeks: 9');
    await terminal.answer(question.proceed, 'n');
    await terminal.see('Nothing was touched.');
    await terminal.answer(question.menu, '9');
    await terminal.answer(question.action, 'q');
    await terminal.see('Nothing was touched.');
    await expectUntouched();
  });

  it('shows who is affected and who expires when before y, and turns it on for just them', async () => {
    await terminal.answer(question.menu, '9');
    await terminal.answer(question.action, '1');
    await terminal.answer(question.exclude, 'carol');
    await terminal.answer(question.weeks, '');
    const date = (await sh('cms1', "date -u -d '63 days' +%Y-%m-%d")).trim();
    await terminal.see(`anna: 99999 days become 63 days, expires ${date}`);
    await terminal.see(`ben: 200 days become 63 days, expires ${date}`);
    await terminal.answer(question.proceed, 'y');
    await terminal.see('Done: password aging on, every 9 weeks.');
    await terminal.see(question.menu);
    await changedOnly(['anna', 'ben']);
    expect(await sh('cms1', 'chage --list ben')).toMatch(/^Maximum .*: 63$/m);
    expect(await sh('cms1', 'chage --iso8601 --list anna')).toMatch(new RegExp(`^Password expires\\s*: ${date}$`, 'm'));
  });

  it('warns of who would have to change the password at once', async () => {
    await terminal.answer(question.menu, '9');
    await terminal.see('Password aging is on: every 9 weeks.');
    await terminal.answer(question.action, '1');
    await terminal.answer(question.listed, 'none');
    await terminal.answer(question.weeks, '');
    await terminal.see('At their next log-in these users must change their password: carol.');
    await terminal.answer(question.proceed, 'y');
    await terminal.see(question.menu);
    await changedOnly(['anna', 'ben', 'carol']);
    // A real log-in, by PAM.
    const login = await exec('cms1', ['su', '--login', 'operator', '-c', 'su --login carol -c true'], {
      input: 'lab-carol-1\n',
      reject: false,
    });
    expect(told(login)).toMatch(/(expired|change your password)/i);
  });

  it('is turned off after y, and everybody has what he had before', async () => {
    await terminal.answer(question.menu, '9');
    await terminal.answer(question.action, '2');
    await terminal.answer(question.proceed, 'n');
    await terminal.see('Nothing was touched.');
    await changedOnly(['anna', 'ben', 'carol']);
    await terminal.answer(question.menu, '9');
    await terminal.answer(question.action, '2');
    await terminal.answer(question.proceed, 'y');
    await terminal.see('Done: password aging off.');
    await terminal.answer(question.menu, 'q');
    expect(await terminal.exitCode()).toBe(0);
    expect(await shadowOf('cms1')).toEqual(before);
    expect((await attempt('cms1', 'test', '-e', record)).exitCode).toBe(1);
  });

  it.each([
    ['what to do', [question.menu, question.action]],
    ['the exclude list', [question.menu, question.action, question.listed]],
    ['the weeks', [question.menu, question.action, question.listed, question.weeks]],
    ['the last word', [question.menu, question.action, question.listed, question.weeks, question.proceed]],
  ])('leaves with 130 and nothing done on Ctrl-C at %s', async (_where, questions) => {
    await sh('cms1', `printf 'aging: off\\nweeks: 9\\nexclude: [carol]\\n' >${file}`);
    await terminal.type('cmsadm');
    const answers = ['9', '1', '', '4'];
    for (const [index, text] of questions.slice(0, -1).entries()) await terminal.answer(text, answers[index] ?? '');
    await terminal.see(questions.at(-1) ?? '');
    await terminal.press('C-c');
    expect(await terminal.exitCode()).toBe(130);
    expect(await shadowOf('cms1')).toEqual(before);
    expect(await sh('cms1', `cat ${file}`)).toBe('aging: off\nweeks: 9\nexclude: [carol]');
    expect((await sh('cms1', 'tail -n 1 /var/log/cmsadm/admin.log')).trim()).toMatch(/ outcome: .*[Ii]nterrupted/);
  });

  it('never writes a line wider than the terminal', async () => {
    expect(tooWide(await terminal.lines())).toEqual([]);
  });

  it('tells everything that is missing without a terminal, and only shows without --yes', async () => {
    const missing = await cmsadm('cms1', 'passwd_age');
    expect(missing.exitCode, told(missing)).toBe(64);
    const shown = await cmsadm('cms1', 'passwd_age', ...on, '--json');
    expect(shown.exitCode, told(shown)).toBe(2);
    expect(misfits(publishedSchema('passwd_age'), objectOf(shown))).toEqual([]);
    expect(await shadowOf('cms1')).toEqual(before);
  });

  it('killed at any call leaves both as before or both as wanted, at the latest after recover', async () => {
    await aging('cms1', on);
    const aged = await shadowOf('cms1');
    expect(aged).not.toEqual(before);
    await aging('cms1', ['--action', 'off']);
    const whole = await killedAt('cms1', Number.MAX_SAFE_INTEGER, 'passwd_age', ...on, '--yes');
    expect(whole.exitCode, told(whole)).toBe(0);
    const { length } = whole.calls;
    expect(length).toBeGreaterThan(20);
    let isOn = true;
    const ends: string[] = [];
    for (let at = 1; at <= length; at += stride(length, 8)) {
      const wanted = isOn ? ['--action', 'off'] : on;
      const killed = await killedAt('cms1', at, 'passwd_age', ...wanted, '--yes');
      // Turned off there are fewer calls: the last numbers are not reached.
      expect([137, 0], `${at}: ${told(killed)}`).toContain(killed.exitCode);
      await cmsadm('cms1', 'recover');
      isOn = /^aging: on$/m.test(await sh('cms1', `cat ${file}`));
      ends.push(isOn ? 'on' : 'off');
      expect(await shadowOf('cms1'), `killed before ${killed.calls.at(-1)}`).toEqual(isOn ? aged : before);
    }
    // Killed early it is as it was, killed late as wanted: both were seen.
    expect(new Set(ends).size).toBe(2);
    await aging('cms1', ['--action', 'off']);
    expect(await shadowOf('cms1')).toEqual(before);
  }, 240_000);

  it('killed or interrupted while hundreds of accounts are set is made good', async () => {
    await sh('cms1', 'for n in $(seq 300); do echo "u$n:x:$((5000 + n)):100::/:/usr/bin/cms"; done >>/etc/passwd');
    await sh('cms1', 'for n in $(seq 300); do echo "u$n:*:20000:$((n % 3)):$((1000 + n)):7:::"; done >>/etc/shadow');
    await sh('cms1', "sed -i 's/^\\(u[0-9]*\\):\\*:/\\1:$6$lab$lab:/' /etc/shadow");
    const many = await shadowOf('cms1');
    for (const [signal, milliseconds] of [
      ['KILL', 100],
      ['INT', 200],
      ['KILL', 300],
      ['TERM', 400],
      ['KILL', 600],
    ] as const) {
      const running = start('cms1', ['cmsadm', 'passwd_age', ...on, '--yes']);
      await expect.poll(() => maximum('cms1', 'u1'), { timeout: 20_000, interval: 5 }).toBe(63);
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      await sh('cms1', `kill -${signal} $(pgrep -f ' [p]asswd_age ')`);
      await running.ended();
      await cmsadm('cms1', 'recover');
      const now = await shadowOf('cms1');
      expect(Object.keys(now).filter((name) => /^u\d+$/.test(name) && now[name]?.split(':')[2] !== '63')).toEqual([]);
      await aging('cms1', ['--action', 'off']);
      expect(await shadowOf('cms1')).toEqual(many);
    }
    await sh('cms1', "sed -i '/^u[0-9]*:/d' /etc/passwd /etc/shadow");
  }, 120_000);

  it('does nothing on a full disk, tells it, and is made good once there is room', async () => {
    await sh('cms1', `rm -f ${file}`);
    const outcomes: number[] = [];
    for (const free of [0, 8, 40, 120]) {
      await fill('cms1', free);
      const full = await cmsadm('cms1', 'passwd_age', ...on, '--yes');
      await drain('cms1');
      const recovered = await cmsadm('cms1', 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
      // What could not be put back on the full disk is put back now; what was decided is made so.
      const isOn = (await attempt('cms1', 'grep', '-q', 'aging: on', file)).exitCode === 0;
      if (full.exitCode === 0 || full.exitCode === 4) expect(isOn, told(full)).toBe(full.exitCode === 0);
      expect(await maximum('cms1', 'anna')).toBe(isOn ? 63 : 99999);
      outcomes.push(full.exitCode);
      await aging('cms1', ['--action', 'off']);
      expect(await shadowOf('cms1')).toEqual(before);
    }
    expect(outcomes[0]).not.toBe(0);
  }, 120_000);

  it('in a pair ages the users of both servers within seconds', async () => {
    await setUp();
    await aging('cms1', on);
    for (const server of pair) for (const name of users) await becomes(server, name, 63);
    const now = await shadowOf('cms2');
    expect(Object.keys(now).filter((name) => now[name] !== there[name])).toEqual([...users]);
    expect(objectOf(await cmsadm('cms1', 'passwd_age', ...on, '--json'))).toMatchObject({ outcome: 'nothing' });
  });

  it('has the exclude list of the primary on the secondary at once: each user there gets back what he had there', async () => {
    const began = Date.now();
    await aging('cms1', ['--action', 'change', '--exclude', 'ben']);
    await becomes('cms2', 'ben', 300);
    expect(Date.now() - began).toBeLessThan(10_000);
    expect(await maximum('cms1', 'ben')).toBe(200);
    expect(await sh('cms2', `cat ${file}`)).toBe(await sh('cms1', `cat ${file}`));
    expect(await maximum('cms2', 'anna')).toBe(63);
  });

  it('is refused on the secondary, naming the primary', async () => {
    const refused = await cmsadm('cms2', 'passwd_age', '--action', 'off', '--yes', '--json');
    expect(refused.exitCode, told(refused)).toBe(3);
    expect(objectOf(refused)).toMatchObject({ error: { code: 'not-authority' } });
    expect(told(refused)).toContain(cms1.fqdn);
    expect(await maximum('cms2', 'anna')).toBe(63);
  });

  it('ages a user who is made later, and leaves what was set by hand, which is told', async () => {
    await sh('cms2', "useradd --shell /usr/bin/cms emil && echo 'emil:lab-emil-1' | chpasswd");
    await sh('cms2', 'chage --maxdays 90 anna');
    const pass = await cmsadm('cms1', 'sync', 'now');
    expect(pass.exitCode, told(pass)).toBe(0);
    await becomes('cms2', 'emil', 63);
    await expect
      .poll(() => sh('cms2', 'cmsadm sync status --json'), { timeout: 15_000, interval: 500 })
      .toContain('anna: the maximum of 90 days was set by hand and stays');
    expect(await maximum('cms2', 'anna')).toBe(90);
    await aging('cms1', ['--action', 'off']);
    await becomes('cms2', 'emil', 99999);
    await becomes('cms2', 'carol', 99999);
    expect(await maximum('cms2', 'anna')).toBe(90);
    expect(await shadowOf('cms1')).toEqual(before);
  });
});
