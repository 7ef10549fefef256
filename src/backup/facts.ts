import * as v from 'valibot';
import { compressions, formatNames } from './formats.ts';

/** `filesystem`: the system, programs and customer data. `full`, `incremental`: maintenance backups of historical data. */
export const backupKinds = ['filesystem', 'full', 'incremental'] as const;
export type BackupKind = (typeof backupKinds)[number];

const factsSchema = v.object({
  /** Of this form. */
  version: v.literal(1),
  name: v.string(),
  kind: v.picklist(backupKinds),
  format: v.picklist(formatNames),
  compression: v.picklist(compressions),
  /** Host name of the server. */
  server: v.string(),
  profile: v.string(),
  release: v.string(),
  load: v.string(),
  made: v.string(),
  /** Of cmsadm. */
  program: v.string(),
  include: v.array(v.string()),
  exclude: v.array(v.string()),
  /** The full backup that an incremental one stands on. */
  of: v.optional(v.string()),
});

/** What the first member of every archive tells of it. */
export type BackupFacts = v.InferOutput<typeof factsSchema>;

export const printFacts = (facts: BackupFacts): string => `${JSON.stringify(facts, null, 2)}\n`;

/** The facts, or undefined where the text is not ours. */
export function parseFacts(text: string): BackupFacts | undefined {
  try {
    const parsed = v.safeParse(factsSchema, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

/** Two digits each: yymmddHHMMSS, in the server's own time as the original has it. */
function stampOf(milliseconds: number): string {
  const date = new Date(milliseconds);
  return [
    date.getFullYear() % 100,
    date.getMonth() + 1,
    date.getDate(),
    date.getHours(),
    date.getMinutes(),
    date.getSeconds(),
  ]
    .map((part) => String(part).padStart(2, '0'))
    .join('');
}

const prefixes = { filesystem: 'CMSADM', full: 'CMSMNT-F', incremental: 'CMSMNT-I' } as const;

/** `CMSADM-<load>-<yymmddHHMMSS>-<host>`; a maintenance backup begins with CMSMNT-F or CMSMNT-I. */
export const nameOfBackup = (kind: BackupKind, load: string, clock: number, hostname: string): string =>
  `${prefixes[kind]}-${plain(load)}-${stampOf(clock)}-${plain(hostname)}`;

const plain = (part: string): string => part.replaceAll(/[^A-Za-z0-9._-]/g, '_') || 'unknown';

const namePattern = /^(CMSADM|CMSMNT-[FI])-[A-Za-z0-9._-]+-\d{12}-[A-Za-z0-9._-]+$/;
export const isBackupName = (name: string): boolean => namePattern.test(name);

/** The name that a file has on its way: nobody takes it for a backup, and only this server takes it away. */
export const partOf = (name: string): string => `.${name}.part`;
export const isPartOf = (file: string, hostname: string): boolean =>
  file.startsWith('.') && file.endsWith(`-${plain(hostname)}.part`) && isBackupName(file.slice(1, -'.part'.length));
