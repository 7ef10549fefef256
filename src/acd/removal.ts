import * as v from 'valibot';
import { stringify } from 'yaml';
import { list, type Root, readText } from '../host/root.ts';
import { writeState } from '../host/writing.ts';
import { ownFolder } from '../pair/administered.ts';
import type { Profile } from '../profile/schema.ts';
import { acdFolder, acdId, acdNumber, definitionSchema, readYamlAs } from './definition.ts';
import { linkSchema } from './link.ts';

const removalSchema = v.strictObject({
  number: acdNumber,
  at: v.string(),
  by: v.string(),
  definition: definitionSchema,
  /** The links that it had, by the server's name. */
  links: v.record(v.string(), linkSchema),
  /** Who was reassigned, and to which ACD. */
  users: v.record(v.string(), v.nullable(acdNumber)),
});
/** What says that an ACD was removed: each server archives and removes its own part. It stays, to bring it back by. */
export type AcdRemoval = v.InferOutput<typeof removalSchema>;

export const removalFile = (profile: Profile, id: string): string => `${acdFolder(profile)}/removed/${id}.yaml`;

/** The file's text, latin1. */
export const printRemoval = (removal: AcdRemoval): string =>
  `# An ACD that was removed. Each server keeps its own part in ${archiveFolder}.\n${stringify(removal, { lineWidth: 0 })}`;

/** Every removal, oldest first. @throws CmsadmError acd-unreadable */
export function readRemovals(root: Root, profile: Profile): AcdRemoval[] {
  return list(root, `${acdFolder(profile)}/removed`)
    .flatMap((name) => {
      const id = name.replace(/\.yaml$/, '');
      const file = removalFile(profile, id);
      const text = name.endsWith('.yaml') && v.is(acdId, id) ? readText(root, file) : undefined;
      return text === undefined ? [] : [readYamlAs(removalSchema, text, file)];
    })
    .sort((a, b) => (a.at < b.at ? -1 : 1));
}

const archiveFolder = `${ownFolder}/acd/archive`;

/** What this server keeps of a removed ACD: its record, its link here, its data here. */
export const archiveFile = (id: string): string => `${archiveFolder}/${id}.tar`;

const doneSchema = v.object({ removed: v.array(v.string()), restored: v.array(v.string()) });
/** What this server did already, by the ids of the definitions. */
export type DoneHere = v.InferOutput<typeof doneSchema>;

const doneFile = `${ownFolder}/acd/done.json`;

export function readDone(root: Root): DoneHere {
  const text = readText(root, doneFile);
  return text === undefined ? { removed: [], restored: [] } : readYamlAs(doneSchema, text, doneFile);
}

export const writeDone = (root: Root, done: DoneHere): void => writeState(root, doneFile, `${JSON.stringify(done)}\n`);
