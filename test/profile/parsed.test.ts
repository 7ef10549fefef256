import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadProfile } from '../../src/profile/load.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const shipped = fileURLToPath(new URL('../../profiles', import.meta.url));
const text = readFileSync(join(shipped, 'cms.yaml'), 'utf8');
const folder = tempFolder();
const parsed = join(folder, 'parsed');
mkdirSync(parsed);
// Told apart from the text by its title.
const hash = createHash('sha256').update(text).digest('hex');
writeFileSync(join(parsed, `${hash}.json`), JSON.stringify({ ...parse(text), title: 'parsed by the build' }));

test('the parsed form of exactly this text is taken', () => {
  expect(loadProfile('cms', [shipped], parsed).title).toBe('parsed by the build');
});

test('an edited profile is parsed anew', () => {
  const edited = join(folder, 'edited');
  mkdirSync(edited);
  writeFileSync(join(edited, 'cms.yaml'), text.replace(/^title: .*$/m, 'title: edited'));
  expect(loadProfile('cms', [edited], parsed).title).toBe('edited');
});

test('without a parsed form the text is read, to the same profile', () => {
  expect(loadProfile('cms', [shipped], join(folder, 'absent'))).toEqual(loadProfile('cms', [shipped]));
});
