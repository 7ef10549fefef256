import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readAnswers } from '../../src/answers-file.ts';
import { CmsadmError } from '../../src/errors.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();

/** What is told of a file that is refused. */
function told(file: string): string {
  try {
    readAnswers(file, [{ name: 'acd', question: '', help: '' }]);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return [error.message, ...error.details, error.remedy].join(' ');
  }
  throw new Error('it is accepted');
}

test.each([
  ['a key that stands twice', 'acd: 1\nacd: 2\n', /is no YAML\. Map keys must be unique at line 2, column 1\./],
  ['what is no YAML', 'acd: [1\n', /is no YAML\. .* at line \d+, column \d+\./],
  ['what has no keys', 'acd\n', /is not a list of KEY: VALUE/],
])('%s is refused with its place and its reason', (name, text, says) => {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, text);
  expect(told(file)).toMatch(says);
  expect(told(file)).toContain('docs/guide.md, "Journey 2: scripts"');
});

test('a folder is no matter of YAML', () => {
  mkdirSync(join(folder, 'answers'));
  expect(told(join(folder, 'answers'))).toMatch(/can't be read\. .*EISDIR/);
});
