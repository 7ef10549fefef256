// A program folder for rehearsals: the repository's own files, and a placeholder for the bundle, or one that was built.
import { execFileSync } from 'node:child_process';
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

/** Makes it in `folder`, with its bundle. @returns the command line's file: it starts in a tenth of what its sources take */
export function builtProgram(folder: string): string {
  const program = programFolder(folder);
  execFileSync(process.execPath, [join(repository, 'scripts/build.js'), join(program, 'dist')], { cwd: repository });
  return join(program, 'dist/cli.js');
}
