// Managed files that are rendered as a whole from the profile, for each server and its role.
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { disable } from '../../src/commands/disable.ts';
import { reverse } from '../../src/commands/reverse.ts';
import { setUp } from '../../src/commands/setup.ts';
import { profileSchema } from '../../src/profile/schema.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type NewPair, pairMaker, type RehearsalPair, refusalOf, standing } from '../rehearsal/pair.ts';

const folder = tempFolder();
let make: NewPair;
beforeAll(async () => {
  make = await pairMaker(folder);
});

const path = '/etc/keepalived/keepalived.conf';
const header = '# Made by cmsadm from the profile: edits here are replaced.\n';
const row = {
  ...{ kind: 'rendered', path, step: 'change', mode: '0640', judge: 'keepalived' },
  text: '# größe @{role}\nunicast_src_ip @{address}\nunicast_peer {\n  @{peer-address}\n}\n',
};
const cmsFiles: unknown[] = parse(readFileSync('profiles/cms.yaml', 'utf8')).files;

/** A pair whose profile has this row too. */
function withRow(name: string, more: object = row): RehearsalPair {
  const pair = make(name);
  for (const server of [pair.cms1, pair.cms2])
    appendFileSync(
      join(server, 'etc/cmsadm/profiles/rehearsal.yaml'),
      `files: ${JSON.stringify([...cmsFiles, more])}\n`,
    );
  return pair;
}
const text = (role: string, own: number, other: number): string =>
  `${header}# größe ${role}\nunicast_src_ip 192.0.2.1${own}\nunicast_peer {\n  192.0.2.1${other}\n}\n`;
const there = (server: string): string => readFileSync(join(server, path), 'utf8');

test('stand on both servers after set up, follow a reversal, and go with the pair', async () => {
  const pair = withRow('follows');
  const before = standing(pair);
  await setUp(pair.context(pair.cms1), pair.answers);
  expect([there(pair.cms1), there(pair.cms2)]).toEqual([text('primary', 1, 2), text('secondary', 2, 1)]);
  const { result } = await reverse(pair.context(pair.cms1));
  expect([there(pair.cms1), there(pair.cms2)]).toEqual([text('secondary', 1, 2), text('primary', 2, 1)]);
  expect(readFileSync(join(pair.cms1, `${path}.${result['tag']}`), 'utf8')).toBe(text('primary', 1, 2));
  await disable(pair.context(pair.cms2), { peer: 'cms1.example.com' });
  for (const server of [pair.cms1, pair.cms2]) expect(existsSync(join(server, path))).toBe(false);
  expect(before[`cms1:${path}`]).toBe(undefined);
});

test('do not take the place of a file that somebody else wrote', async () => {
  const pair = withRow('foreign');
  mkdirSync(dirname(join(pair.cms2, path)), { recursive: true });
  writeFileSync(join(pair.cms2, path), 'vrrp_instance theirs {\n}\n');
  const before = standing(pair);
  expect(await refusalOf(setUp(pair.context(pair.cms1), pair.answers))).toMatchObject({ code: 'preflight-failed' });
  expect(standing(pair)).toEqual(before);
});

test('are refused before anything is touched where they ask for an unknown word', async () => {
  const pair = withRow('unknown', { ...row, text: 'x @{priority}\n' });
  const before = standing(pair);
  expect(await refusalOf(setUp(pair.context(pair.cms1), pair.answers))).toMatchObject({ code: 'preflight-failed' });
  expect(standing(pair)).toEqual(before);
});

test.each([
  ['a rendered file without a text', { ...row, text: undefined }],
  ['a text for another kind', { ...row, kind: 'hosts', judge: undefined }],
  ['a judge for another kind', { ...row, kind: 'hosts', text: undefined }],
  ['a judge that does not exist', { ...row, judge: 'nobody' }],
])('a profile with %s is refused', (_what, bad) => {
  const fits = (one: object): boolean =>
    v.safeParse(profileSchema.entries.files, [JSON.parse(JSON.stringify(one))]).success;
  expect([fits(bad), fits(row)]).toEqual([false, true]);
});
