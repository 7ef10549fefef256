import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { passwdAge } from '../../src/commands/passwd-age.ts';
import { restore } from '../../src/commands/restore.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { ageRecordFile } from '../../src/passwords/age-record.ts';
import { passwordAging } from '../../src/passwords/apply.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, refusalOf } from '../rehearsal/pair.ts';

const folder = tempFolder();
let make: NewPair;
beforeAll(async () => {
  make = await pairMaker(folder);
}, 60_000);

const file = '/cms/admin/password-aging.yaml';
const today = Math.floor(Date.now() / 86_400_000);
const dateOf = (day: number): string => new Date(day * 86_400_000).toISOString().slice(0, 10);

const passwd = [
  'root:x:0:0:root:/root:/bin/sh',
  'informix:x:3001:3001::/:/usr/bin/cms',
  ...['anna', 'ben', 'carol', 'dora'].map((name, n) => `${name}:x:${1001 + n}:100::/home/${name}:/usr/bin/cms`),
  '+@directory::::::',
].join('\n');
const shadow = [
  `root:$y$a:${today}:0:99999:7:::`,
  `informix:$y$a:${today}:0:99999:7:::`,
  `anna:$y$a:${today - 10}:0:99999:7:::`,
  `ben:$y$a:${today - 100}:1:200:7:::`,
  `carol:$y$a:${today - 100}:0:99999:7:5::`,
  'dora:$y$a::0:99999:7:::',
  '',
].join('\n');

function serverOf(name: string): RehearsalPair {
  const pair = make(name);
  for (const [path, text] of [
    ['passwd', `${passwd}\n`],
    ['shadow', shadow],
  ] as const)
    writeFileSync(join(pair.cms1, 'etc', path), text);
  return pair;
}
const textAt = (pair: RehearsalPair, path: string): string | undefined =>
  existsSync(join(pair.cms1, path)) ? readFileSync(join(pair.cms1, path), 'latin1') : undefined;
const maximum = (pair: RehearsalPair, name: string): string | undefined =>
  new RegExp(`^${name}:[^:]*:[^:]*:[^:]*:([^:]*):`, 'm').exec(textAt(pair, 'etc/shadow') ?? '')?.[1];
const aging = (pair: RehearsalPair, given: Record<string, string>, more = {}) =>
  passwdAge(pair.context(pair.cms1, more), given);
const on = { action: 'on', exclude: 'none', weeks: '9' };

describe('password aging', () => {
  test('shows who is affected and who expires when, turns it on for the users of the product, and off again', async () => {
    const pair = serverOf('on-off');
    const outcome = await aging(pair, on);
    expect(misfits(publishedSchema('passwd_age'), { exitCode: outcome.exitCode, ...outcome.result })).toEqual([]);
    expect(outcome.result).toMatchObject({
      outcome: 'done',
      users: [
        { name: 'anna', was: 99999, becomes: 63, expires: dateOf(today + 53) },
        { name: 'ben', was: 200, becomes: 63, expires: 'at once' },
        { name: 'carol', was: 99999, becomes: 63, expires: 'locked out' },
        { name: 'dora', was: 99999, becomes: 63, expires: 'after its next change' },
      ],
    });
    expect(pair.lines).toContain('Password aging is off.');
    expect(pair.lines.find((line) => line.startsWith('! '))).toBe(
      '! At their next log-in these users must change their password: ben. ' +
        'These users could not log in any more, their inactive days are over as well: carol.',
    );
    expect(textAt(pair, file)).toBe(
      '# Password aging, as `cmsadm passwd_age` was told. Each server applies it to its own accounts.\naging: on\nweeks: 9\nexclude: []\n',
    );
    expect(textAt(pair, 'etc/shadow')).toBe(shadow.replace(/^(anna|ben|carol|dora)(:.*?:.*?:.*?):\d+:/gm, '$1$2:63:'));
    expect(await refusalOf(aging(pair, { action: 'off', weeks: '3' }))).toMatchObject({
      message: 'off takes no --weeks.',
    });
    const off = await aging(pair, { action: 'off' });
    expect(off.result).toMatchObject({ outcome: 'done', aging: 'off' });
    expect(misfits(publishedSchema('passwd_age'), { exitCode: off.exitCode, ...off.result })).toEqual([]);
    expect(textAt(pair, 'etc/shadow')).toBe(shadow);
    expect(textAt(pair, ageRecordFile)).toBeUndefined();
    const again = await aging(pair, { action: 'off' });
    expect(again).toMatchObject({ exitCode: exitCodes.done, result: { outcome: 'nothing' } });
    expect(misfits(publishedSchema('passwd_age'), { exitCode: again.exitCode, ...again.result })).toEqual([]);
  });

  test('is not turned on before the exclude list was typed, or none; presets nine weeks and the first choice', async () => {
    const pair = serverOf('asks');
    const tried: string[] = [];
    const check = async (question: { text: string; check: (typed: string) => unknown }, typed: string) => {
      try {
        await question.check(typed);
      } catch (error) {
        if (!(error instanceof CmsadmError)) throw error;
        tried.push(`${typed}: ${error.code}`);
      }
    };
    const ask = answering({ 'Users whose passwords': 'carol, ben', 'Proceed?': 'y' });
    const wrong: Readonly<Record<string, readonly string[]>> = {
      '1 turn': ['0', '4', 'On', '3'],
      Users: ['', ' , ', 'carol;ben', 'none, ben', '-x'],
      Weeks: ['0', '53', '9a', '-1', '1.5', '09'],
    };
    const outcome = await aging(
      pair,
      {},
      {
        yes: false,
        ask: {
          ...ask,
          text: async (question: Parameters<typeof ask.text>[0]) => {
            for (const [beginning, answers] of Object.entries(wrong))
              if (question.text.startsWith(beginning)) for (const one of answers) await check(question, one);
            return ask.text(question);
          },
        },
      },
    );
    expect(tried).toEqual([
      ...['0: usage', '4: usage', 'On: usage', '3: aging-off'],
      ...[': exclude-empty', ' , : exclude-empty', 'carol;ben: exclude-refused', 'none, ben: exclude-refused'],
      ...['-x: exclude-refused', '0: usage', '53: usage', '9a: usage', '-1: usage', '1.5: usage', '09: usage'],
    ]);
    expect(outcome.result).toMatchObject({ outcome: 'done', weeks: 9, exclude: ['ben', 'carol'] });
    expect(['anna', 'ben', 'carol'].map((name) => maximum(pair, name))).toEqual(['63', '200', '99999']);
    const nobody = await refusalOf(aging(serverOf('nobody'), { action: 'on' }));
    expect(nobody).toMatchObject({ code: 'usage', details: [expect.stringContaining('--exclude')] });
    expect(await refusalOf(aging(pair, {}))).toMatchObject({ details: [expect.stringContaining('--action')] });
  });

  test('leaves everything as it is on q, on n and in a dry run', async () => {
    const pair = serverOf('leaves');
    const asked = (answers: Record<string, string>) => ({ yes: false, ask: answering(answers) });
    const q = await aging(pair, {}, asked({ '1 turn': 'q' }));
    expect(q.result).toEqual({ outcome: 'declined' });
    const n = await aging(pair, on, asked({ 'Proceed?': 'n' }));
    expect(n.result).toEqual({ outcome: 'declined' });
    const dry = await aging(pair, on, { dryRun: true });
    expect(dry).toMatchObject({ exitCode: exitCodes.pending, result: { outcome: 'pending' } });
    expect(misfits(publishedSchema('passwd_age'), { exitCode: dry.exitCode, ...dry.result })).toEqual([]);
    expect(textAt(pair, 'etc/shadow')).toBe(shadow);
    expect(textAt(pair, file)).toBeUndefined();
  });

  test('changes the interval alone, keeps the exclude list, and gives back to who is excluded later what he had', async () => {
    const pair = serverOf('change');
    await aging(pair, { ...on, exclude: 'carol' });
    await aging(pair, { action: 'change', weeks: '4' });
    expect(['anna', 'ben', 'carol'].map((name) => maximum(pair, name))).toEqual(['28', '28', '99999']);
    const excluded = await aging(pair, { action: 'change', exclude: 'ben,nobody.here' });
    expect(excluded.result).toMatchObject({ weeks: 4, exclude: ['ben', 'nobody.here'] });
    expect(['anna', 'ben', 'carol'].map((name) => maximum(pair, name))).toEqual(['28', '200', '28']);
  });

  test('is taken back by its tag: everybody has what he had before, or the interval of before', async () => {
    const pair = serverOf('tag');
    const first = await aging(pair, on);
    const second = await aging(pair, { action: 'change', weeks: '4' });
    await restore(pair.context(pair.cms1), { tag: String(second.result['tag']) });
    expect(maximum(pair, 'ben')).toBe('63');
    await restore(pair.context(pair.cms1), { tag: String(first.result['tag']) });
    expect(textAt(pair, 'etc/shadow')).toBe(shadow);
    expect(textAt(pair, file)).toBeUndefined();
  });

  test('is refused where its file was spoilt or its folder is gone, and nothing is set then', async () => {
    const pair = serverOf('spoilt');
    const { host, profile } = pair.context(pair.cms1);
    await aging(pair, on);
    const before = textAt(pair, 'etc/shadow');
    writeFileSync(join(pair.cms1, file), 'aging: off\nweeks: 99\nexclude: []\n');
    expect(await refusalOf(aging(pair, on))).toMatchObject({ code: 'aging-unreadable', file });
    await expect(passwordAging.apply(host, profile)).rejects.toMatchObject({ code: 'aging-unreadable' });
    const away = { ...profile, dataSets: profile.dataSets.map((set) => ({ ...set, path: '/cms/away' })) };
    await expect(passwordAging.apply(host, away)).rejects.toMatchObject({ code: 'administration-missing' });
    expect(textAt(pair, 'etc/shadow')).toBe(before);
  });

  test('applies to a user made later, tells what was set by hand, and does nothing the second time', async () => {
    const pair = serverOf('later');
    const { host, profile } = pair.context(pair.cms1);
    await aging(pair, on);
    expect(await passwordAging.apply(host, profile)).toEqual([]);
    expect(await passwordAging.report(host, profile)).toEqual([]);
    const add = (path: string, line: string): void =>
      writeFileSync(join(pair.cms1, path), `${textAt(pair, path)}${line}\n`);
    add('etc/passwd', 'emil:x:1010:100::/home/emil:/usr/bin/cms');
    add('etc/shadow', `emil:$y$a:${today}:0:99999:7:::`);
    expect(await passwordAging.report(host, profile)).toEqual(['emil: maximum 99999 days instead of 63 days']);
    expect(await passwordAging.apply(host, profile)).toEqual(['emil: maximum 63 days, was 99999 days']);
    writeFileSync(join(pair.cms1, 'etc/shadow'), (textAt(pair, 'etc/shadow') ?? '').replace(/(emil.*):63:/, '$1:90:'));
    expect(await passwordAging.report(host, profile)).toEqual([
      'emil: the maximum of 90 days was set by hand and stays',
    ]);
    const off = await aging(pair, { action: 'off' });
    expect(off.result).toMatchObject({ verified: expect.arrayContaining([expect.stringContaining('emil')]) });
    expect(maximum(pair, 'emil')).toBe('90');
    expect(maximum(pair, 'ben')).toBe('200');
  });

  test('goes on where accounts could not be set, tells them, and makes them good', async () => {
    const pair = serverOf('fails');
    const { host, profile } = pair.context(pair.cms1);
    const path = join(pair.cms1, 'etc/shadow');
    mkdirSync(join(pair.cms1, 'etc/shadow.new')); // where the new text would be written
    const failed = await refusalOf(aging(pair, on));
    expect(failed).toMatchObject({ exitCode: exitCodes.needsPerson, details: { length: 4 } });
    expect(readFileSync(path, 'latin1')).toBe(shadow);
    expect(textAt(pair, file)).toContain('aging: on');
    rmdirSync(join(pair.cms1, 'etc/shadow.new'));
    expect(await passwordAging.apply(host, profile)).toHaveLength(4);
    await aging(pair, { action: 'off' });
    expect(readFileSync(path, 'latin1')).toBe(shadow);
  });

  test('two runs at once leave one record: everybody gets back what he had', async () => {
    const pair = serverOf('twice');
    const { host, profile } = pair.context(pair.cms1);
    mkdirSync(join(pair.cms1, 'cms/admin'), { recursive: true });
    writeFileSync(join(pair.cms1, file), 'aging: on\nweeks: 9\nexclude: []\n');
    await Promise.all([passwordAging.apply(host, profile), passwordAging.apply(host, profile)]);
    expect(maximum(pair, 'ben')).toBe('63');
    writeFileSync(join(pair.cms1, file), 'aging: off\nweeks: 9\nexclude: []\n');
    await passwordAging.apply(host, profile);
    expect(textAt(pair, 'etc/shadow')).toBe(shadow);
  });
});
