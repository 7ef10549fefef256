import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { available, cut, exec, heal } from '../../lab/lab.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { killedAt, prepareKills } from './kill-at-call.ts';
import {
  attempt,
  cms1,
  cms2,
  cmsadm,
  objectOf,
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

/** The real units, as systemd says: `ids/cms`. */
const stateOf = async (server: Server): Promise<string> =>
  (await attempt(server, 'systemctl', 'is-active', 'ids.service', 'cms.service')).stdout.trim().replace('\n', '/');
const becomes = (server: Server, wanted: string | RegExp): Promise<void> =>
  expect.poll(() => stateOf(server), { timeout: 30_000, interval: 200 }).toMatch(wanted);

/** Runs one of the two commands with --json and --yes and holds what it prints against its schema. */
async function turn(server: Server, command: 'run_ids' | 'run_cms', args: readonly string[], exitCode = 0) {
  const result = await cmsadm(server, command, ...args, '--json', '--yes');
  expect(result.exitCode, told(result)).toBe(exitCode);
  const printed = objectOf(result);
  if (exitCode === 0) expect(misfits(publishedSchema(command), printed)).toEqual([]);
  return printed;
}
const action = (name: string): string[] => ['--action', name];

const question = {
  menu: 'Enter choice (1-12) or q to quit:',
  ids: '1 turn it on, 2 turn it off, q leaves (1-2):',
  cms: '1 turn it on, 2 off but leave the database running, 3 off with the database, q leaves (1-3):',
  proceed: 'Proceed? (y/n):',
} as const;

describe.skipIf(!ok)(`services on and off on real servers${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab();
  stopAtFirstFailure();
  let terminal: Terminal;
  beforeAll(async () => {
    await prepareKills('cms1');
    terminal = await openTerminal('cms1', 'services');
  });
  afterAll(() => terminal.close());

  it('says at the menu why it refuses an answer, and leaves everything as it is on n and q', async () => {
    await becomes('cms1', 'active/active');
    await terminal.type('cmsadm');
    await terminal.answer(question.menu, '7');
    await terminal.see('This server: IDS (ids.service) is on, CMS (cms.service) is on.');
    for (const typed of ['0', '3', '2abc', '-1', 'ON']) {
      await terminal.answer(question.ids, typed);
      await terminal.see(`"${typed}" is no choice.`);
    }
    await terminal.answer(question.ids, '');
    await terminal.see('Nothing says what is to be done.');
    await terminal.answer(question.ids, '2');
    await terminal.see('CMS is on, and stands on IDS.');
    await terminal.answer(question.ids, '1');
    await terminal.see('Nothing is to be done: IDS is on already.');
    await terminal.answer(question.menu, '8');
    for (const typed of ['0', '4', 'off with', '*']) {
      await terminal.answer(question.cms, typed);
      await terminal.see(`"${typed}" is no choice.`);
    }
    await terminal.answer(question.cms, 'q');
    await terminal.see('Nothing was touched.');
    await terminal.answer(question.menu, '8');
    await terminal.answer(question.cms, '3');
    await terminal.answer(question.proceed, 'yes');
    await terminal.see('"yes" is none of y, n.');
    await terminal.answer(question.proceed, 'n');
    await terminal.see('Nothing was touched.');
    expect(await stateOf('cms1')).toBe('active/active');
  });

  it('turns CMS off and leaves the database running, then the database off, then both on', async () => {
    await terminal.answer(question.menu, '8');
    await terminal.answer(question.cms, '2');
    await terminal.answer(question.proceed, 'y');
    await terminal.see('Done: CMS is off.');
    expect(await stateOf('cms1')).toBe('active/inactive');
    await terminal.answer(question.menu, '7');
    await terminal.answer(question.ids, '2');
    await terminal.answer(question.proceed, 'y');
    await terminal.see('Done: IDS is off.');
    expect(await stateOf('cms1')).toBe('inactive/inactive');
    await terminal.answer(question.menu, '8');
    await terminal.answer(question.cms, '1');
    await terminal.answer(question.proceed, 'y');
    await terminal.see('Done: IDS is on, CMS is on.');
    await terminal.see(question.menu);
    expect(await stateOf('cms1')).toBe('active/active');
    await terminal.answer(question.menu, 'q');
    expect(await terminal.exitCode()).toBe(0);
  });

  it.each([
    ['the choice', [question.menu, question.cms]],
    ['the last word', [question.menu, question.cms, question.proceed]],
  ])('leaves with 130 and nothing done on Ctrl-C at %s', async (_where, questions) => {
    await terminal.type('cmsadm');
    const answers = ['8', '3'];
    for (const [index, one] of questions.slice(0, -1).entries()) await terminal.answer(one, answers[index] ?? '');
    await terminal.see(questions.at(-1) ?? '');
    await terminal.press('C-c');
    expect(await terminal.exitCode()).toBe(130);
    expect(await stateOf('cms1')).toBe('active/active');
  });

  it('never writes a line wider than the terminal', async () => {
    expect(tooWide(await terminal.lines())).toEqual([]);
  });

  it('does the same by script, shows the plan only without --yes, and does nothing twice', async () => {
    const shown = await cmsadm('cms1', 'run_cms', ...action('all-off'), '--json');
    expect(shown.exitCode, told(shown)).toBe(2);
    expect(misfits(publishedSchema('run_cms'), objectOf(shown))).toEqual([]);
    expect((await cmsadm('cms1', 'run_cms')).exitCode).toBe(64);
    expect(await turn('cms1', 'run_ids', action('off'), 3)).toMatchObject({ error: { code: 'answers-refused' } });
    expect(await stateOf('cms1')).toBe('active/active');
    expect(await turn('cms1', 'run_cms', action('all-off'))).toMatchObject({ outcome: 'done', other: null });
    expect(await stateOf('cms1')).toBe('inactive/inactive');
    expect(await turn('cms1', 'run_cms', action('all-off'))).toMatchObject({ outcome: 'nothing' });
    expect(await turn('cms1', 'run_ids', action('on'))).toMatchObject({ units: ['ids.service'] });
    await sh('cms1', 'echo "action: on" >/root/on.yaml');
    expect(await turn('cms1', 'run_cms', ['--answers', '/root/on.yaml'])).toMatchObject({ units: ['cms.service'] });
    expect(await stateOf('cms1')).toBe('active/active');
  });

  it('tells the last lines of a database that does not start, needs a person, and starts it once it can', async () => {
    await turn('cms1', 'run_cms', action('all-off'));
    await sh('cms1', 'cp -p /opt/informix/etc/sqlhosts /root/sqlhosts && echo "one two" >>/opt/informix/etc/sqlhosts');
    const failed = await turn('cms1', 'run_cms', action('on'), 5);
    expect(failed).toMatchObject({ error: { code: 'service-failed' } });
    expect(JSON.stringify(failed)).toContain('2 columns, 4 are needed');
    expect(await stateOf('cms1')).toMatch(/^(failed|inactive)\/inactive$/);
    await sh('cms1', 'cp -p /root/sqlhosts /opt/informix/etc/sqlhosts');
    await turn('cms1', 'run_cms', action('on'));
    expect(await stateOf('cms1')).toBe('active/active');
  });

  /** CMS takes as long as this to come up, and the profile gives it these seconds. */
  const slowCms = async (takes: number, seconds: number): Promise<void> => {
    const { services } = v.parse(
      v.object({ services: v.record(v.string(), v.looseObject({ seconds: v.number() })) }),
      parse(readFileSync(new URL('../../profiles/cms.yaml', import.meta.url), 'utf8')),
    );
    for (const name of ['database', 'application'] as const) services[name] = { ...services[name], seconds };
    await exec(
      'cms1',
      ['sh', '-c', 'cp -n /etc/cmsadm/profiles/lab.yaml /root/; cat /root/lab.yaml - >/etc/cmsadm/profiles/lab.yaml'],
      {
        input: stringify({ services }),
      },
    );
    await sh('cms1', 'mkdir -p /etc/systemd/system/cms.service.d');
    await sh(
      'cms1',
      `printf '[Service]\\nExecStartPre=/bin/sleep ${takes}\\n' >/etc/systemd/system/cms.service.d/slow.conf`,
    );
    await sh('cms1', 'systemctl daemon-reload');
  };

  it('gives up waiting at the deadline of the profile, says so, and keeps the database on while CMS comes up', async () => {
    await turn('cms1', 'run_cms', action('off'));
    await slowCms(12, 3);
    const late = await turn('cms1', 'run_cms', action('on'), 5);
    expect(JSON.stringify(late)).toContain('did not end within 3 s');
    expect(await stateOf('cms1')).toBe('active/activating');
    const kept = await turn('cms1', 'run_ids', action('off'), 3);
    expect(JSON.stringify(kept)).toContain('CMS is just starting, and stands on IDS.');
    await becomes('cms1', 'active/active');
  });

  it('takes it back on Ctrl-C while it waits', async () => {
    await turn('cms1', 'run_cms', action('all-off'));
    await slowCms(12, 60);
    await terminal.type('cmsadm run_cms --action on');
    await terminal.answer(question.proceed, 'y');
    await becomes('cms1', /^active\/activating$/);
    await terminal.press('C-c');
    expect(await terminal.exitCode()).toBe(4);
    expect(await stateOf('cms1')).toBe('inactive/inactive');
  });

  it('killed while it waits, or at any call before, leaves both services as before or as chosen', async () => {
    await slowCms(2, 60);
    const waiting = start('cms1', ['cmsadm', 'run_cms', ...action('on'), '--yes']);
    await becomes('cms1', /^active\/activating$/);
    await sh('cms1', "kill -9 $(pgrep -f ' [r]un_cms ')");
    await waiting.ended();
    await becomes('cms1', 'active/active');
    await sh('cms1', 'rm -r /etc/systemd/system/cms.service.d; systemctl daemon-reload');
    const whole = await killedAt('cms1', Number.MAX_SAFE_INTEGER, 'run_cms', ...action('all-off'), '--yes');
    expect(whole.exitCode, told(whole)).toBe(0);
    const ends = new Set<string>();
    // A lock that a killed run left makes more calls than the whole run had: on until one is not killed any more.
    for (let at = 1, isKilled = true; isKilled; at += 1) {
      const isOn = (await stateOf('cms1')) === 'active/active';
      const run = await killedAt('cms1', at, 'run_cms', ...action(isOn ? 'all-off' : 'on'), '--yes');
      isKilled = run.exitCode === 137;
      if (!isKilled) expect(run.exitCode, `${at}: ${told(run)}`).toBe(0);
      await becomes('cms1', /^(active\/active|inactive\/inactive)$/);
      if (isKilled) ends.add(`${isOn} ${await stateOf('cms1')}`);
      await cmsadm('cms1', 'recover');
    }
    expect(ends.size, [...ends].join('; ')).toBeGreaterThan(1);
    await turn('cms1', 'run_cms', action('on'));
  }, 200_000);

  it('in a pair runs on both servers, and warns before a service would be off on both', async () => {
    await setUp();
    expect(await turn('cms2', 'run_cms', action('off'))).toMatchObject({
      outcome: 'done',
      other: { name: cms1.fqdn, services: { application: { state: 'on' } } },
    });
    expect(await turn('cms1', 'run_cms', action('off'), 3)).toMatchObject({ error: { code: 'both-off' } });
    await terminal.type('cmsadm run_cms');
    await terminal.see(`${cms2.fqdn}: IDS (ids.service) is on, CMS (cms.service) is off.`);
    await terminal.answer(question.cms, '2');
    await terminal.see(`CMS is off on ${cms2.fqdn} too: it would be off on both servers.`);
    await terminal.answer(question.proceed, 'n');
    expect(await terminal.exitCode()).toBe(0);
    expect(await stateOf('cms1')).toBe('active/active');
    expect(await turn('cms1', 'run_cms', [...action('off'), '--both-off'])).toMatchObject({ outcome: 'done' });
    await turn('cms1', 'run_cms', action('on'));
  }, 120_000);

  it('says that the other server cannot be asked, and is then only turned off where that is meant', async () => {
    await cut('cms2');
    const alone = await turn('cms1', 'run_cms', action('off'), 3);
    expect(JSON.stringify(alone)).toContain(`${cms2.fqdn} can't be asked`);
    expect(await stateOf('cms1')).toBe('active/active');
    await turn('cms1', 'run_cms', [...action('off'), '--both-off']);
    expect(await stateOf('cms1')).toBe('active/inactive');
    await turn('cms1', 'run_cms', action('on'));
    await heal('cms2');
  }, 120_000);
});
