import * as v from 'valibot';
import { parse, stringify } from 'yaml';
import { CmsadmError } from '../errors.ts';
import { isFolder, list, type Root, readText } from '../host/root.ts';
import { administrationFolder } from '../pair/administered.ts';
import type { Profile } from '../profile/schema.ts';
import { releases } from './questions.ts';

/** The numbers that an ACD may have; the profile and the licence may allow fewer. */
export const acdNumber = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(8));

/** Names one definition for ever: `<number>-<seconds since 1970>-<pid>`. */
export const acdId = v.pipe(v.string(), v.regex(/^[1-8]-\d{1,12}-\d{1,10}$/));

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const definitionSchema = v.strictObject({
  id: acdId,
  name: v.pipe(v.string(), v.regex(/^[\x21-\x7e](?:[\x20-\x7e]{0,18}[\x21-\x7e])?$/)),
  release: v.picklist(releases),
  /** To it users go whose own ACD is removed. The first one that was defined. */
  master: v.boolean(),
  vectoring: v.boolean(),
  expertAgentSelection: v.boolean(),
  disconnectSupervision: v.boolean(),
  phantomAbandonSeconds: v.optional(count),
  splits: count,
  splitMembers: count,
  shifts: v.array(v.strictObject({ start: v.string(), stop: v.string(), agents: count })),
  trunkGroups: count,
  trunks: count,
  unmeasuredFacilities: count,
  callWorkCodes: count,
  vectors: count,
  vdns: count,
  /** The removed definition whose data came back with this one. */
  restoredFrom: v.optional(acdId),
});
/** One ACD as both servers know it; each server's link to it is in a file of its own. */
export type AcdDefinition = v.InferOutput<typeof definitionSchema>;

/** An ACD with its number. */
export type Acd = AcdDefinition & { readonly number: number };

/** The folder of what is administered of ACDs. */
export const acdFolder = (profile: Profile): string => `${administrationFolder(profile)}/acd`;
export const definitionFile = (profile: Profile, number: number): string => `${acdFolder(profile)}/${number}.yaml`;

const heading = (number: number): string =>
  `# ACD ${number}, as \`cmsadm acd_create\` was told. Each server's link to it is its own: /var/lib/cmsadm/own/acd.\n`;

/** The file's text, latin1. */
export const printDefinition = (number: number, definition: AcdDefinition): string =>
  heading(number) + stringify(v.parse(definitionSchema, definition), { lineWidth: 0 });

/** What a YAML file of ours says. @throws CmsadmError acd-unreadable */
export function readYamlAs<Schema extends v.GenericSchema>(
  schema: Schema,
  text: string,
  file: string,
): v.InferOutput<Schema> {
  try {
    return v.parse(schema, parse(text));
  } catch (cause) {
    const why = cause instanceof v.ValiError ? `${v.getDotPath(cause.issues[0]) ?? ''} ${cause.message}`.trim() : '';
    throw new CmsadmError('acd-unreadable', `${file} can't be understood${why === '' ? '' : `: ${why}`}.`, {
      file,
      cause,
      remedy: 'Correct it by docs/administration.md, or restore a backup beside it.',
    });
  }
}

/**
 * Every ACD, by its number.
 * @throws CmsadmError administration-missing, acd-unreadable
 */
export function readAcds(root: Root, profile: Profile): readonly Acd[] {
  const folder = administrationFolder(profile);
  if (!isFolder(root, folder))
    throw new CmsadmError('administration-missing', `The folder ${folder} is not there: all ACDs stay as they are.`, {
      file: folder,
      remedy: `Mount or make ${folder}.`,
    });
  return list(root, acdFolder(profile)).flatMap((name) => {
    const number = Number(/^([1-8])\.yaml$/.exec(name)?.[1] ?? Number.NaN);
    const file = definitionFile(profile, number);
    const text = Number.isNaN(number) ? undefined : readText(root, file);
    return text === undefined ? [] : [{ number, ...readYamlAs(definitionSchema, text, file) }];
  });
}

/** As messages name it: `ACD 3 (north)`. */
export const acdName = ({ number, name }: Pick<Acd, 'number' | 'name'>): string => `ACD ${number} (${name})`;
