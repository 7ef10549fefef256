import { inTurn } from '../change/turn.ts';
import { CmsadmError } from '../errors.ts';
import type { Host } from '../host/system.ts';
import type { Profile } from '../profile/schema.ts';
import { type AccessPlan, planAccess, unknownLines } from './access-plan.ts';
import { readAccessRecord, writeAccessRecord } from './access-record.ts';
import { type AccessProfile, adapterOf, execute, readGrants } from './client.ts';
import { readAccess, type WantedAccess } from './wanted-access.ts';

const turn = { operation: 'database access', operator: 'cmsadm', server: 'this server', path: '/run/cmsadm/database' };

/** What it takes until this server's database is as `wanted`. @throws CmsadmError database-refused */
export async function accessPlan(
  host: Host,
  access: AccessProfile,
  wanted: WantedAccess | undefined,
): Promise<AccessPlan> {
  const grants = await readGrants(host, access);
  return planAccess(adapterOf(access), access.name, grants, readAccessRecord(host.root), wanted);
}

/** Neither decided nor to be taken back: the database is not even asked. */
const isNobodysBusiness = (host: Host, wanted: WantedAccess | undefined): boolean =>
  wanted === undefined && readAccessRecord(host.root) === undefined;

/**
 * Makes the grants of this server's database as the file of database access wants them, in one transaction, and looks
 * whether they are. @returns the statements that were carried out
 * @throws CmsadmError database-refused, grants-differ
 */
async function apply(host: Host, profile: Profile): Promise<readonly string[]> {
  const access = profile.databaseAccess;
  if (!access) return [];
  const wanted = readAccess(host.root, profile);
  if (isNobodysBusiness(host, wanted)) return [];
  return inTurn(host, turn, async () => {
    const plan = await accessPlan(host, access, wanted);
    const isRecorded = JSON.stringify(plan.after) === JSON.stringify(readAccessRecord(host.root));
    if (plan.statements.length > 0) {
      writeAccessRecord(host.root, plan.during);
      await execute(host, access, plan.statements);
      const { statements: left } = await accessPlan(host, access, wanted);
      if (left.length > 0)
        throw new CmsadmError(
          'grants-differ',
          `The database ${access.name} took the statements, but does not stand so.`,
          {
            details: left,
            remedy: 'Somebody else granted or revoked meanwhile, or the right is not ours to revoke: look there.',
          },
        );
    }
    if (plan.statements.length > 0 || !isRecorded) writeAccessRecord(host.root, plan.after);
    return [...plan.statements.map((statement) => statement.replace(/;$/, '')), ...unknownLines(plan)];
  });
}

/** @returns what of this server's database differs from the file */
async function report(host: Host, profile: Profile): Promise<readonly string[]> {
  const access = profile.databaseAccess;
  if (!access) return [];
  const wanted = readAccess(host.root, profile);
  if (isNobodysBusiness(host, wanted)) return [];
  const plan = await accessPlan(host, access, wanted);
  return [...plan.statements.map((statement) => `not carried out: ${statement}`), ...unknownLines(plan)];
}

/** Each server's own part of database access. */
export const databaseAccess = { name: 'database access', apply, report };
