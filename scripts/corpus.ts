// npm run corpus -- DIR: holds the laws of the editors against the real files in DIR/<kind>/.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type Kind, kinds } from '../src/config-files/kinds.ts';
import { checkLaws, type Verdict } from './corpus-laws.ts';

const filesBelow = (folder: string): string[] =>
  readdirSync(folder)
    .sort()
    .flatMap((name) => {
      const path = join(folder, name);
      const found = statSync(path, { throwIfNoEntry: false });
      return found?.isDirectory() ? filesBelow(path) : found?.isFile() ? [path] : [];
    });

/** A crash of an editor is a failure of this file, not the end of the run. */
const check = (kind: Kind, path: string): Verdict => {
  try {
    return checkLaws(kind, readFileSync(path, 'latin1'));
  } catch (error) {
    return { outcome: 'unchanged', failures: [`no crash: ${error instanceof Error ? error.message : String(error)}`] };
  }
};

const [folder] = process.argv.slice(2);
if (folder === undefined || !statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
  console.error('usage: npm run corpus -- DIR   (files in DIR/<kind>/)');
  process.exit(64);
}

const verdicts: Verdict[] = [];
const refusals = new Map<string, number>();
for (const kindName of readdirSync(folder).sort()) {
  const kind = kinds.get(kindName);
  if (!kind) {
    console.log(`${kindName}: no editor for this kind, left out`);
    continue;
  }
  const root = join(folder, kindName);
  for (const path of statSync(root).isDirectory() ? filesBelow(root) : [root]) {
    const verdict = check(kind, path);
    verdicts.push(verdict);
    if (verdict.code !== undefined) refusals.set(verdict.code, (refusals.get(verdict.code) ?? 0) + 1);
    const name = `${kindName}/${relative(root, path)}`;
    for (const failure of verdict.failures) console.log(`${name}: ${failure}`);
  }
}

for (const [code, count] of refusals) console.log(`refused with ${code}: ${count}`);
const count = (outcome: Verdict['outcome']): number => verdicts.filter((verdict) => verdict.outcome === outcome).length;
const failures = verdicts.reduce((sum, verdict) => sum + verdict.failures.length, 0);
console.log(`${verdicts.length} files, ${count('edited')} edited, ${count('refused')} refused, ${failures} failures`);
process.exitCode = failures === 0 ? 0 : 1;
