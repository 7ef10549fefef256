// A program folder for rehearsals that needs no build: the repository's own files, a placeholder for the bundle.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Makes it in `folder`. */
export function programFolder(folder: string): string {
  for (const part of [
    'bin',
    'docs',
    'profiles',
    'templates',
    'package.json',
    'LICENSE',
    'fixtures/rehearsal',
    'fixtures/keys',
  ])
    cpSync(join(repository, part), join(folder, part), { recursive: true });
  mkdirSync(join(folder, 'dist'));
  writeFileSync(join(folder, 'dist/cli.js'), 'not built\n');
  return folder;
}
