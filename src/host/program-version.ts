import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';

const packageSchema = v.object({ version: v.string() });

/** Version of the program that runs. */
export const versionOf = (programRoot: string): string =>
  v.parse(packageSchema, JSON.parse(readFileSync(join(programRoot, 'package.json'), 'utf8'))).version;
