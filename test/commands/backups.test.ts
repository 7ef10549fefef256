// Tags and backups of a pair: what is listed, pruned, and restored afterwards.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { backups } from '../../src/commands/backups.ts';
import type { CommandContext } from '../../src/commands/context.ts';
import { disable } from '../../src/commands/disable.ts';
import { restore } from '../../src/commands/restore.ts';
import { setUp } from '../../src/commands/setup.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, standing } from '../rehearsal/pair.ts';

const folder = tempFolder();
let make: NewPair;
let pattern: RehearsalPair;
/** Of the set up and two changes of the NTP server, oldest first. */
const tags: string[] = [];
beforeAll(async () => {
  make = await pairMaker(folder);
  pattern = make('pattern-of-backups');
  for (const answers of [pattern.answers, { 'ntp-server': '192.0.2.101' }, { 'ntp-server': '192.0.2.102' }])
    tags.push(String((await setUp(pattern.context(pattern.cms1), answers)).result['tag']));
});

const copy = (name: string): RehearsalPair & { one: CommandContext } => {
  const pair = make(name, pattern);
  return { ...pair, one: pair.context(pair.cms1) };
};
const away = (context: CommandContext): CommandContext => ({
  ...context,
  host: {
    ...context.host,
    system: {
      ...context.host.system,
      connect: () => Promise.reject(new CmsadmError('unreachable', 'No connection.')),
    },
  },
});
const rule = { prune: '', keep: '1', days: '0' };
/** The names of what a tag left on a server. */
const left = (server: string, tag: string): string[] =>
  ['etc', 'root', 'root/.ssh', 'etc/chrony', 'opt/informix/etc', 'cms/install/security', 'var/lib/cmsadm'].flatMap(
    (within) =>
      (existsSync(join(server, within)) ? readdirSync(join(server, within)) : []).filter((n) => n.includes(tag)),
  );
const managed = (pair: RehearsalPair): Record<string, string> =>
  Object.fromEntries(Object.entries(standing(pair)).filter(([path]) => !/zdt_|\/var\/lib\/cmsadm/.test(path)));

describe('the list of backups', () => {
  test('tells every tag of both servers, newest first, and what it takes', async () => {
    const pair = copy('list');
    const before = standing(pair);
    const { exitCode, result } = await backups(pair.one, {});
    expect(exitCode).toBe(exitCodes.done);
    expect(result).toMatchObject({
      outcome: 'listed',
      tags: [...tags]
        .reverse()
        .map((tag) => ({ tag, servers: [{ name: 'cms1.example.com' }, { name: 'cms2.example.com' }] })),
    });
    expect(pair.lines).toContain('[backups]');
    expect(standing(pair)).toEqual(before);
  });

  test('tells this server’s while the other one is away', async () => {
    const pair = copy('list-away');
    expect((await backups(away(pair.one), {})).result).toMatchObject({
      tags: [{ servers: [{ name: 'cms1.example.com' }] }, {}, {}],
    });
  });

  test('is there after disable as well', async () => {
    const pair = copy('list-disabled');
    await disable(pair.one, { peer: 'cms2.example.com' });
    const { result } = await backups(pair.context(pair.cms1), {});
    expect(result['tags']).toHaveLength(4);
  });
});

describe('a prune', () => {
  test('keeps what the rule says, on both servers, and leaves every managed file alone', async () => {
    const pair = copy('prune');
    const before = managed(pair);
    expect(await backups(pair.one, rule)).toMatchObject({
      exitCode: exitCodes.done,
      result: { outcome: 'done', rule: { keep: 1, days: 0 }, goes: [{ tag: tags[1] }, { tag: tags[0] }] },
    });
    for (const server of [pair.cms1, pair.cms2])
      expect(tags.map((tag) => left(server, tag).length > 0)).toEqual([false, false, true]);
    expect(managed(pair)).toEqual(before);
    for (const server of [pair.cms1, pair.cms2]) expect(existsSync(join(server, 'run/cmsadm/lock'))).toBe(false);
    expect(await backups(pair.context(pair.cms1), rule)).toMatchObject({ result: { outcome: 'nothing to do' } });
  });

  test('takes nothing that is younger than the days, nor anything by the usual rule', async () => {
    const pair = copy('prune-young');
    const before = standing(pair);
    expect(await backups(pair.one, { ...rule, days: '1' })).toMatchObject({ result: { outcome: 'nothing to do' } });
    expect(await backups(pair.one, { prune: '' })).toMatchObject({
      result: { rule: { keep: 10, days: 30 }, goes: [] },
    });
    expect(standing(pair)).toEqual(before);
  });

  test('as a dry run shows what would go, and touches nothing', async () => {
    const pair = copy('prune-dry');
    const before = standing(pair);
    const dry = pair.context(pair.cms1, { dryRun: true, yes: false });
    expect(await backups(dry, rule)).toMatchObject({ exitCode: exitCodes.pending, result: { goes: [{}, {}] } });
    expect(standing(pair)).toEqual(before);
  });

  test('at a terminal comes after the list, shows the files on d, and touches nothing on n', async () => {
    const pair = copy('prune-asked');
    const before = standing(pair);
    const ask = answering({
      'Remove old ones?': 'y',
      'Keep the backups': '1',
      'Keep also': '0',
      'Proceed?': ['d', 'n'],
    });
    const outcome = await backups(pair.context(pair.cms1, { yes: false, ask }), {});
    expect(outcome).toMatchObject({ exitCode: exitCodes.done, result: { outcome: 'declined' } });
    expect(pair.lines).toContain(`cms2.example.com: /etc/hosts.${tags[0]}`);
    expect(standing(pair)).toEqual(before);
  });

  test('is refused while the other server is away, and done here alone where that is wanted', async () => {
    const pair = copy('prune-away');
    const before = standing(pair);
    await expect(backups(away(pair.one), rule)).rejects.toMatchObject({
      ...{ code: 'peer-away', server: 'cms2.example.com', remedy: expect.stringContaining('--alone') },
    });
    expect(standing(pair)).toEqual(before);
    await backups(away(pair.one), { ...rule, alone: '' });
    expect([left(pair.cms1, tags[0] ?? ''), left(pair.cms2, tags[0] ?? '').length > 0]).toEqual([[], true]);
    // Whoever prunes both later finishes it.
    await backups(pair.context(pair.cms1), rule);
    expect(left(pair.cms2, tags[0] ?? '')).toEqual([]);
  });

  test.each([
    { name: 'a rule without --prune', given: { keep: '3' } },
    { name: 'no number of tags', given: { prune: '', keep: 'some' } },
    { name: 'none to be kept', given: { prune: '', keep: '0' } },
    { name: 'days below zero', given: { prune: '', days: '-1' } },
  ])('refuses $name, and touches nothing', async ({ name, given }) => {
    const pair = copy(`prune-wrong-${name.replaceAll(' ', '-')}`);
    const before = standing(pair);
    await expect(backups(pair.one, given)).rejects.toBeInstanceOf(CmsadmError);
    expect(standing(pair)).toEqual(before);
  });

  test('with nobody to say yes is a usage error', async () => {
    const pair = copy('prune-nobody');
    await expect(backups(pair.context(pair.cms1, { yes: false }), rule)).rejects.toMatchObject({
      exitCode: exitCodes.usage,
    });
  });

  test('that is interrupted between the servers tells both, and the next one goes on where it ended', async () => {
    const pair = copy('prune-fails');
    const journal = join(pair.cms1, `var/lib/cmsadm/journal/${tags[0]}.change.jsonl`);
    const whole = readFileSync(journal);
    const stop = { requested: false };
    const context = pair.context(pair.cms1, { stop });
    const report = {
      ...context.report,
      step: (text: string) => {
        if (text.startsWith('Removing old backups on cms2')) stop.requested = true;
        return context.report.step(text);
      },
    };
    await expect(backups({ ...context, report }, rule)).rejects.toMatchObject({
      exitCode: exitCodes.interrupted,
      server: 'cms1.example.com',
      details: [expect.stringMatching(/^cms2\.example\.com: \d+ files removed\.$/)],
    });
    expect(readFileSync(journal).equals(whole), 'this server was not reached').toBe(true);
    expect(await backups(pair.context(pair.cms1), rule)).toMatchObject({ result: { outcome: 'done' } });
    for (const server of [pair.cms1, pair.cms2]) expect(left(server, tags[0] ?? '')).toEqual([]);
  });
});

describe('restore', () => {
  test('can itself be restored: the second gives back what the first took', async () => {
    const pair = copy('restore-twice');
    const before = managed(pair);
    const first = await restore(pair.one, { tag: tags[2] });
    expect(managed(pair)).not.toEqual(before);
    const second = await restore(pair.context(pair.cms1), { tag: String(first.result['tag']) });
    expect(second).toMatchObject({ result: { outcome: 'done', epoch: Number(first.result['epoch']) + 1 } });
    expect(managed(pair)).toEqual(before);
    await restore(pair.context(pair.cms1), { tag: String(second.result['tag']) });
    expect(managed(pair)).not.toEqual(before);
  });

  test('even of the whole set up: the pair is there again', async () => {
    const pair = copy('restore-set-up');
    for (const tag of [tags[2], tags[1]]) await restore(pair.context(pair.cms1), { tag });
    const before = managed(pair);
    const first = await restore(pair.context(pair.cms1), { tag: tags[0] });
    expect(existsSync(join(pair.cms2, 'var/lib/cmsadm/pair.json'))).toBe(false);
    await restore(pair.context(pair.cms1), { tag: String(first.result['tag']) });
    expect(existsSync(join(pair.cms2, 'var/lib/cmsadm/pair.json'))).toBe(true);
    expect(managed(pair)).toEqual(before);
  });

  test('names a pruned tag, and refuses it', async () => {
    const pair = copy('restore-pruned');
    await backups(pair.one, rule);
    const { result } = await restore(pair.context(pair.cms1), {});
    expect(result['tags']).toMatchObject([
      { tag: tags[2], state: 'whole', lacks: [] },
      { tag: tags[1], state: 'pruned' },
      {
        tag: tags[0],
        state: 'pruned',
        lacks: ['cms1.example.com: its backups were pruned', 'cms2.example.com: its backups were pruned'],
      },
    ]);
    const before = standing(pair);
    await expect(restore(pair.context(pair.cms1), { tag: tags[0] })).rejects.toMatchObject({ code: 'backup-pruned' });
    expect(standing(pair)).toEqual(before);
  });

  test('lists what each server lacks, with the operation and who did it', async () => {
    const pair = copy('restore-list');
    rmSync(join(pair.cms2, `etc/hosts.${tags[0]}`));
    rmSync(join(pair.cms2, `var/lib/cmsadm/journal/${tags[1]}.change.jsonl`));
    const { result } = await restore(pair.one, {});
    expect(result['tags']).toMatchObject([
      {
        state: 'whole',
        operation: 'set up roles',
        operator: 'ops',
        files: expect.arrayContaining(['/etc/chrony/chrony.conf']),
      },
      { state: 'on one server', lacks: ['cms2.example.com: has no such change'] },
      { state: 'partial', lacks: [`cms2.example.com: missing /etc/hosts.${tags[0]}`] },
    ]);
    await expect(restore(pair.context(pair.cms1), { tag: tags[1] })).rejects.toMatchObject({ code: 'tag-unknown' });
  });

  test('lists what this server knows while the other one is away, and says so', async () => {
    const pair = copy('restore-away');
    const { result } = await restore(away(pair.one), {});
    expect(result['tags']).toHaveLength(3);
    expect(pair.lines.join('\n')).toMatch(/cms2\.example\.com cannot be asked/);
  });

  test('keeps an edit that somebody made since under the new tag, and gives it back', async () => {
    const pair = copy('restore-edited');
    const chrony = join(pair.cms1, 'etc/chrony/chrony.conf');
    writeFileSync(chrony, `${readFileSync(chrony, 'utf8')}# mine\n`);
    const first = await restore(pair.one, { tag: tags[2] });
    expect(readFileSync(chrony, 'utf8')).not.toContain('# mine');
    await restore(pair.context(pair.cms1), { tag: String(first.result['tag']) });
    expect(readFileSync(chrony, 'utf8')).toContain('# mine');
  });
});
