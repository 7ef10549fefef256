import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkLaws } from '../../scripts/corpus-laws.ts';
import { type Kind, kinds } from '../../src/config-files/kinds.ts';

const corpus = new URL('../../fixtures/corpus', import.meta.url).pathname;
/** Files that an editor has to refuse, with its code. */
const refused = new Map([
  ['hosts/contradiction', 'hosts-contradiction'],
  ['known_hosts/changed', 'host-key-changed'],
]);
const files = [...kinds.keys()].flatMap((kind) => readdirSync(join(corpus, kind)).map((name) => ({ kind, name })));

describe('the laws of lossless editing hold for the files of the corpus', () => {
  test.each(files)('$kind/$name', ({ kind: kindName, name }) => {
    const kind = kinds.get(kindName);
    const text = readFileSync(join(corpus, kindName, name), 'latin1');
    const verdict = kind && checkLaws(kind, text);
    expect(verdict).toMatchObject({ failures: [] });
    expect(verdict?.code).toBe(refused.get(`${kindName}/${name}`));
  });
});

describe('the check finds an editor that', () => {
  const good: Kind = {
    reprint: (text) => text,
    edit: (text) => (text.endsWith('ours\n') ? text : `${text}ours\n`),
    editOtherwise: (text) => `${text.replace(/ours\n$/, '')}other\n`,
    undo: (text) => text.replace(/ours\n$/, ''),
  };
  const failuresOf = (fault: Partial<Kind>): string[] =>
    checkLaws({ ...good, ...fault }, 'one\ntwo\n').failures.map((failure) => failure.split(':', 1)[0] ?? '');

  test('loses a byte in printing', () => {
    expect(failuresOf({ reprint: (text) => text.trimEnd() })).toContain('print(parse(x)) is x');
  });
  test('loses a line', () => {
    expect(failuresOf({ edit: () => 'two\nours\n' })).toContain('every other byte stays');
  });
  test('changes the order of lines', () => {
    expect(failuresOf({ edit: () => 'two\none\nours\n' })).toContain('every other byte stays');
  });
  test('adds its line again', () => {
    expect(failuresOf({ edit: (text) => `${text}ours\n` })).toContain('editing twice is editing once');
  });
  test('leaves its line behind', () => {
    expect(failuresOf({ undo: (text) => text })).toContain('undo gives back x');
  });
  test('keeps old values beside new ones', () => {
    expect(failuresOf({ editOtherwise: (text) => `${text}other\n` })).toContain('other values replace ours');
  });
  test('does all of it right: none', () => {
    expect(failuresOf({})).toEqual([]);
  });
});
