import { appendFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import {
  beginJournal,
  decide,
  forget,
  manifestOf,
  note,
  readDecision,
  readJournal,
  transactions,
  unfinished,
} from '../../src/change/journal.ts';
import { paths } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeOf, changeId as id, type TestHost, testHost } from './test-host.ts';

const folder = tempFolder();
let host: TestHost;
let number = 0;
const now = Date.parse('2026-01-02T03:04:05Z');
const journal = (): string => join(host.root.prefix, paths.journal, `${id}.jsonl`);
const begin = (tag?: string): string =>
  beginJournal(
    host.root,
    manifestOf(
      changeOf(host, { '/etc/hosts': 'x\n', '/root/.ssh/id_cmsadm': 'private' }, tag === undefined ? {} : { tag }),
      'peer',
      now,
      ['/root/.ssh'],
      () => '',
      { pid: 4711, processStart: '100', bootId: 'boot-1' },
    ),
  );
beforeEach(() => {
  number += 1;
  host = testHost(join(folder, String(number)));
});

test('a manifest holds hashes and no contents, in a file that only root reads', () => {
  begin();
  const text = readFileSync(journal(), 'utf8');
  expect(text).not.toContain('private');
  expect(readJournal(host.root, id).manifest).toMatchObject({
    part: 'peer',
    at: '2026-01-02T03:04:05.000Z',
    madeFolders: ['/root/.ssh'],
    files: [
      { path: '/etc/hosts', before: expect.stringMatching(/^[0-9a-f]{64}$/) },
      { before: null, secret: true },
    ],
  });
  expect(statSync(journal()).mode & 0o7777).toBe(0o600);
  expect(statSync(join(host.root.prefix, paths.journal)).mode & 0o7777).toBe(0o700);
});

test('states are appended in their order', () => {
  begin();
  for (const state of ['staged', 'committing', 'committed'] as const) note(host.root, id, state, now);
  expect(readJournal(host.root, id).states).toEqual(['staged', 'committing', 'committed']);
});

test.each(['{"state":"comm', '{"state":"committed","at":"2026', '{"state":"boiled"}', '\0\0\0\0'])(
  'a torn last line %j is a state that was never reached',
  (torn) => {
    begin();
    note(host.root, id, 'committing', now);
    appendFileSync(journal(), torn);
    expect(readJournal(host.root, id).states).toEqual(['committing']);
  },
);

test('a state that is noted behind a torn line still counts', () => {
  begin();
  appendFileSync(journal(), '{"state":"comm');
  note(host.root, id, 'put-back', now);
  expect(readJournal(host.root, id).states).toEqual(['put-back']);
});

test.each(['', '{"operation":', '[]', 'null'])('a manifest %j is damaged, and says which file', (text) => {
  begin();
  writeFileSync(journal(), text);
  expect(() => readJournal(host.root, id)).toThrowError(
    expect.objectContaining({ code: 'journal-damaged', file: expect.stringContaining(id) }),
  );
});

test('a transaction that nobody began is unknown', () => {
  expect(() => readJournal(host.root, id)).toThrowError(expect.objectContaining({ code: 'transaction-unknown' }));
});

test('a tag is used once', () => {
  begin();
  expect(() => begin()).toThrowError(expect.objectContaining({ code: 'tag-taken' }));
});

test.each([
  ['confirmed', 'put-back'],
  ['put-back', 'confirmed'],
] as const)('%s comes first: %s only learns of it', (first, second) => {
  begin();
  expect(readDecision(host.root, id)).toBeUndefined();
  expect(decide(host.root, id, first)).toBe(first);
  expect(decide(host.root, id, second)).toBe(first);
  expect(decide(host.root, id, first)).toBe(first);
  expect(readDecision(host.root, id)).toBe(first);
  expect(readdirSync(join(host.root.prefix, paths.journal)).toSorted()).toEqual([`${id}.decision`, `${id}.jsonl`]);
});

test('transactions stand in the order of their start; finished are those whose decision was carried out', () => {
  const older = begin('zdt_99_1700000000');
  const newer = begin('zdt_1_1700000500');
  const oldest = begin('zdt_5_1600000000');
  writeFileSync(join(host.root.prefix, paths.journal, 'notes.jsonl'), 'not ours');
  expect(transactions(host.root)).toEqual([oldest, older, newer]);
  decide(host.root, older, 'confirmed');
  note(host.root, older, 'confirmed', now);
  decide(host.root, newer, 'put-back');
  expect(unfinished(host.root), 'decided alone is not finished').toEqual([oldest, newer]);
  forget(host.root, oldest);
  expect(transactions(host.root)).toEqual([older, newer]);
});

test('a run that died while it wrote its manifest leaves no transaction behind', () => {
  const torn = join(host.root.prefix, paths.journal, `${id}.jsonl.new`);
  mkdirSync(join(host.root.prefix, paths.journal), { recursive: true });
  writeFileSync(torn, '{"operation":"set');
  expect(transactions(host.root)).toEqual([]);
  expect(begin()).toBe(id);
  expect(unfinished(host.root)).toEqual([id]);
});
