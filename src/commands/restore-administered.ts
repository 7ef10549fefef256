import type { TagFacts, Server as Verbs } from '../change/server.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { refuseUnlessWhole, tagList } from '../ha/tag-list.ts';
import { isTag, type Tag } from '../pair/tag.ts';
import type { TagLine } from '../report.ts';
import { eachWanted } from '../wanted/states.ts';
import { type AdministeredFile, administer } from './administer.ts';
import { requireAuthority } from './allowed-here.ts';
import { type CommandContext, type CommandOutcome, declined, type Given, settleAnswers } from './context.ts';
import { onlyThis } from './pair-of-servers.ts';
import { tagParameter } from './parameters.ts';

/**
 * A server that belongs to no pair has tags too: of what its menu administers.
 * @returns undefined where it has none
 */
export async function restoreSingle(context: CommandContext, given: Given): Promise<CommandOutcome | undefined> {
  const [own] = (await onlyThis(context)).servers;
  if (!own) throw new Error('this server is none of the servers');
  const tags = tagList([{ name: own.name, tags: await own.server.tags() }]);
  if (tags.length === 0) return undefined;
  context.report.show({ kind: 'tags', tags });
  if (given[tagParameter.name] === undefined && !context.ask)
    return { exitCode: exitCodes.done, summary: 'restore: tags listed', result: { outcome: 'listed', tags } };
  const tag = await settleTag(context, given, tags);
  if (tag === undefined) return declined(context, 'restore');
  const tagged = await administeredTag(own.server, tag, tags);
  if (!tagged)
    throw new CmsadmError('not-paired', `${tag} belongs to a pair, and this server is in none any more.`, {
      remedy: 'Put the files back by hand: what is left is named <file>.<tag>.',
    });
  return restoreAdministered(context, tag, tagged, undefined);
}

/** The tag to restore; undefined where the operator leaves. @throws CmsadmError tag-unknown, those of settleAnswers */
export async function settleTag(
  context: CommandContext,
  given: Given,
  tags: readonly TagLine[],
): Promise<Tag | undefined> {
  const leaves = (text: string): boolean => context.ask !== undefined && ['', 'q'].includes(text.trim());
  const check = (text: string): string => (leaves(text) ? 'q' : knownTag(text, tags));
  const { tag = '' } = await settleAnswers([{ parameter: tagParameter, check }], given, context);
  return isTag(tag) ? tag : undefined;
}

/** @throws CmsadmError tag-unknown */
function knownTag(text: string, tags: readonly TagLine[]): Tag {
  const tag = text.replace(/^\./, '');
  if (isTag(tag) && tags.some((line) => line.tag === tag)) return tag;
  throw new CmsadmError('tag-unknown', `${JSON.stringify(text)} is none of the tags that can be restored.`, {
    remedy: 'cmsadm config_HA restore lists them.',
  });
}

/**
 * What a tag holds, where it is one of what the menu administers; undefined for any other.
 * @throws CmsadmError where it is not whole
 */
export async function administeredTag(own: Verbs, tag: Tag, lines: readonly TagLine[]): Promise<TagFacts | undefined> {
  const found = await own.tag({ tag });
  if (found?.manifest.step !== 'administration') return undefined;
  for (const line of lines) if (line.tag === tag) refuseUnlessWhole(line);
  return found;
}

/**
 * Gives every file of a change of what is administered back what stood there before, under a new tag; what the files
 * then want is applied.
 * @param theirs what the other server changed with it: only what it has to itself
 * @throws CmsadmError not-authority on the secondary; peer-away where that one has a part and is not there
 */
export async function restoreAdministered(
  context: CommandContext,
  tag: Tag,
  ours: TagFacts,
  theirs: TagFacts | undefined,
): Promise<CommandOutcome> {
  const { host, profile } = context;
  requireAuthority(host, 'That tag is of what is administered');
  if (!theirs && ours.manifest.part !== 'alone')
    throw new CmsadmError('peer-away', `The other server changed with ${tag}, and cannot be asked for its part.`, {
      remedy: 'Bring it back, then restore the tag: both go back together.',
    });
  return administer(context, {
    operation: `restore ${tag}`,
    files: filesOf(ours),
    peerFiles: theirs ? filesOf(theirs) : [],
    notes: [`It takes back: ${ours.manifest.operation} (${ours.manifest.at}, ${ours.manifest.operator}).`],
    result: { restored: tag },
    afterwards: async () =>
      (await eachWanted('apply', host, profile)).flatMap(({ name, lines, failed }) =>
        (failed === undefined ? lines : [...lines, `failed: ${failed}`]).map((line) => `${name}: ${line}`),
      ),
  });
}

const filesOf = ({ before }: TagFacts): AdministeredFile[] =>
  Object.entries(before).map(([path, was]) => ({ path, content: was === null ? null : was.content }));
