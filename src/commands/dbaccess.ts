import { unknownLines } from '../database/access-plan.ts';
import type { Grants } from '../database/adapter.ts';
import { accessPlan, databaseAccess } from '../database/apply.ts';
import { type AccessProfile, readGrants } from '../database/client.ts';
import { groupMembers } from '../database/group.ts';
import { accessFile, printAccess, readAccess, type WantedAccess } from '../database/wanted-access.ts';
import { afterTheDecision, CmsadmError, exitCodes } from '../errors.ts';
import { readPair } from '../pair/state.ts';
import { during } from '../report.ts';
import { administer } from './administer.ts';
import { type CommandContext, type CommandOutcome, declined, type Given, usage } from './context.ts';
import { accessParameters } from './parameters.ts';

type Decision = WantedAccess | 'left';

/**
 * Option 10: who may connect to the product's database: everybody, or the members of a group of this server. Shows the
 * grants as they are, asks, shows every statement, and has each server carry them out in one transaction.
 * @throws CmsadmError no-database, group-missing, member-refused, database-refused, those of administer
 */
export async function dbaccess(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, profile, report } = context;
  const access = profile.databaseAccess;
  if (!access)
    throw new CmsadmError(
      'no-database',
      `The profile "${profile.name}" names no database whose access is administered.`,
      {
        remedy: 'Give it a block "databaseAccess"; docs/administration.md shows its form.',
      },
    );
  const current = readAccess(host.root, profile);
  const grants = await during(report, `Asking the database ${access.name} for its grants`, () =>
    readGrants(host, access),
  );
  for (const line of grantLines(access, grants)) report.line(line);
  const wanted = await decide(context, access, given, current, grants);
  if (wanted === 'left') return declined(context, 'database access');
  const plan = await accessPlan(host, access, wanted);
  const isNew = printAccess(wanted) !== shown(current);
  const differs = differenceLines(current, wanted);
  const notes = [
    ...differs,
    ...(plan.statements.length === 0
      ? ['This database stands so already: no statement.']
      : ['In one transaction, on this server:', ...plan.statements]),
    ...unknownLines(plan),
    ...plan.others.map((name) => `${name} may connect by somebody else's grant, which stays`),
    ...(readPair(host.root)
      ? ['The other server does the same in its own database, as soon as the file is there.']
      : []),
  ];
  const result = {
    ...{ database: access.name, adapter: access.adapter, ...wanted },
    was: { public: grants.public.length > 0, users: grants.users },
    ...{ statements: plan.statements, unknown: plan.unknown, others: plan.others },
  };
  // The file says it already, and only this database does not stand so: it was down, or somebody granted meanwhile.
  if (!isNew) {
    for (const line of notes) report.line(line);
    if (context.dryRun && plan.statements.length > 0)
      return {
        exitCode: exitCodes.pending,
        summary: `${operationOf(wanted)}: dry run, statements pending`,
        result: { ...result, outcome: 'pending' },
      };
  }
  const warning = warningOf(access, wanted);
  return administer(context, {
    operation: operationOf(wanted),
    files: isNew ? [{ path: accessFile(profile), content: printAccess(wanted) }] : [],
    basis: { seen: shown(current), read: () => shown(readAccess(host.root, profile)) },
    notes,
    ...(warning === undefined ? {} : { warning }),
    afterwards: () => afterTheDecision('What is wanted is saved', () => databaseAccess.apply(host, profile)),
    result,
  });
}

const operationOf = ({ access, members }: WantedAccess): string =>
  access === 'public'
    ? 'database access for everybody'
    : `database access for ${members.length === 1 ? 'one member' : `${members.length} members`}`;

const shown = (access: WantedAccess | undefined): string => (access ? printAccess(access) : '');

const listed = (names: readonly string[]): string => (names.length === 0 ? 'nobody' : names.join(', '));

const grantLines = ({ name, adapter }: AccessProfile, grants: Grants): string[] => [
  `Database ${name} (${adapter}): ${grants.public.length > 0 ? `PUBLIC has ${grants.public.join(', ')}: everybody may connect.` : 'PUBLIC has no grant.'}`,
  `Granted by name: ${listed(grants.users)}. By a higher right: ${listed(grants.higher)}.`,
];

/** What the file says otherwise than before; nothing the first time. */
function differenceLines(current: WantedAccess | undefined, { access, members }: WantedAccess): string[] {
  if (current?.access !== 'restricted' || access !== 'restricted') return [];
  const added = members.filter((name) => !current.members.includes(name));
  const gone = current.members.filter((name) => !members.includes(name));
  return [...added.map((name) => `+ ${name}`), ...gone.map((name) => `- ${name}`)];
}

/** What shall be: as given, or as the answers to [y,n,?] say. */
async function decide(
  context: CommandContext,
  { group, name }: AccessProfile,
  given: Given,
  current: WantedAccess | undefined,
  grants: Grants,
): Promise<Decision> {
  const { ask, report, host, log } = context;
  const typed = given[accessParameters.access.name];
  const restricted = (): WantedAccess => ({ access: 'restricted', members: groupMembers(host.root, group) });
  const everybody: WantedAccess = { access: 'public', members: [] };
  if (typed !== undefined) {
    log.choice(`access=${typed}`);
    if (typed === 'public') return everybody;
    if (typed === 'restricted') return restricted();
    throw usage(`${JSON.stringify(typed)} is no kind of access.`, 'Give --access restricted or --access public.');
  }
  if (!ask)
    throw usage(
      'Nothing says who shall have access, and there is no terminal to ask at.',
      'Give --access restricted or --access public.',
    );
  const says = async (question: string): Promise<boolean> => {
    for (;;) {
      const key = await ask.choose(`${question} [y,n,?]`, ['y', 'n', '?']);
      if (key !== '?') {
        log.choice(`${question} ${key}`);
        return key === 'y';
      }
      for (const line of helpLines(name, group)) report.line(line);
    }
  };
  const isRestricted = current ? current.access === 'restricted' : grants.public.length === 0;
  if (!isRestricted)
    return (await says(`Shall only the members of the group ${group} connect?`)) ? restricted() : 'left';
  const members = restricted();
  const differs = current ? differenceLines(current, members) : [];
  for (const line of differs) report.line(`  ${line}`);
  report.line(
    differs.length === 0
      ? `Members of ${group}: ${listed(members.members)}.`
      : `So the group ${group} differs from what was granted last.`,
  );
  if (await says(`Grant anew as the group ${group} is now?`)) return members;
  return (await says('Back to public access, for everybody?')) ? everybody : 'left';
}

const helpLines = (name: string, group: string): string[] => [
  `y: those that the group ${group} of this server holds now get a grant by name in the database ${name}, and the one for PUBLIC is revoked.`,
  'After the group changed, run this option again: it shows who comes and goes first. It also leads back to public access.',
  'Every statement is shown before anything is done. n: nothing is changed.',
];

function warningOf({ group }: AccessProfile, { access, members }: WantedAccess): string | undefined {
  if (access === 'public' || members.length > 0) return undefined;
  return `The group ${group} has no members: nobody could connect any more but by a higher right.`;
}
