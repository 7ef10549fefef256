import { CmsadmError } from '../errors.ts';
import { hasPrograms } from '../host/has-programs.ts';
import { lastLines, searchPath } from '../host/processes.ts';
import { runOn } from '../host/programs.ts';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import type { Profile } from '../profile/schema.ts';
import type { Adapter, Grants } from './adapter.ts';
import { informix } from './informix.ts';
import { postgresql } from './postgresql.ts';

export type AccessProfile = NonNullable<Profile['databaseAccess']>;

const adapters = { informix, postgresql } as const;

export const adapterOf = ({ adapter }: AccessProfile): Adapter => adapters[adapter];

/**
 * Has the database's own program carry statements out; they go by standard input. A folder that stands for a server has
 * the program in it, and no other user to run it as. Its environment is the profile's alone: what the operator's shell
 * holds (PGHOST, INFORMIXSERVER, ...) would lead it to another database than the agent's.
 * @throws CmsadmError database-refused, with the last lines of what the program said
 */
async function carryOut(host: Host, access: AccessProfile, statements: string): Promise<string> {
  const adapter = adapterOf(access);
  const { name, user, program, environment, seconds } = access;
  const settings = Object.entries({ ...environment, ...adapter.environment }).map(([key, value]) => `${key}=${value}`);
  const outcome = await runOn(
    host,
    [
      ...(hasPrograms(host) && user !== undefined ? ['runuser', '-u', user, '--'] : []),
      // Where the operator stands is not for everybody to read.
      ...['env', '--ignore-environment', '--chdir=/', `PATH=${searchPath.join(':')}`, 'LC_ALL=C', ...settings],
      at(host.root, program),
      ...adapter.args(name),
    ],
    { timeout: seconds * 1000, input: statements },
  );
  if (outcome.exitCode === 0) return outcome.stdout;
  const said = lastLines(outcome.stderr.trim() || outcome.stdout.trim() || `no answer within ${seconds} s`);
  throw new CmsadmError('database-refused', `The database ${name} did not do it: ${said.at(-1) ?? ''}`, {
    details: said,
    remedy: `See that the database is up (run_ids) and that ${program} works for ${user ?? 'root'}.`,
  });
}

/** Who may connect to this server's database now. @throws CmsadmError database-refused */
export async function readGrants(host: Host, access: AccessProfile): Promise<Grants> {
  const { query, readGrants: read } = adapterOf(access);
  return read(await carryOut(host, access, query));
}

/** Carries a whole transaction out: all of it, or nothing. @throws CmsadmError database-refused */
export async function execute(host: Host, access: AccessProfile, statements: readonly string[]): Promise<void> {
  await carryOut(host, access, `${statements.join('\n')}\n`);
}
