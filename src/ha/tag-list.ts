import type { TagSummary } from '../change/server.ts';
import { CmsadmError } from '../errors.ts';
import type { Tag } from '../pair/tag.ts';
import type { TagLine } from '../report.ts';

/** What each server that was asked tells of its changes, by its FQDN; this server first. */
export type ServerTags = { readonly name: string; readonly tags: readonly TagSummary[] };

/** The changes that were confirmed, newest first, as all servers that were asked know them. */
export function tagList(servers: readonly ServerTags[]): TagLine[] {
  const changes = servers.map(({ name, tags }) => ({
    name,
    tags: tags.filter(({ manifest }) => manifest.step === 'change' || manifest.step === 'administration'),
  }));
  const confirmed = changes.flatMap(({ tags }) => tags.filter(({ decision }) => decision === 'confirmed'));
  const names = new Set<Tag>(confirmed.map(({ manifest }) => manifest.tag));
  return [...names]
    .flatMap((tag) => {
      const found = changes.map(({ name, tags }) => ({ name, one: tags.find(({ manifest }) => manifest.tag === tag) }));
      const [first] = found.flatMap(({ one }) => one ?? []);
      if (!first) return [];
      const { at, operation, operator } = first.manifest;
      const files = new Set(found.flatMap(({ one }) => one?.manifest.files.map(({ path }) => path) ?? []));
      return [
        {
          ...{ tag, at, operation, operator, files: [...files] },
          ...standingOf(first.manifest.step === 'administration' ? found.filter(({ one }) => one) : found),
        },
      ];
    })
    .sort((a, b) => b.at.localeCompare(a.at) || (a.tag < b.tag ? 1 : -1));
}

/** What is administered is changed where it is administered: the other server has it from admin-sync. */
const standingOf = (
  found: readonly { readonly name: string; readonly one: TagSummary | undefined }[],
): Pick<TagLine, 'state' | 'lacks'> => ({
  state: stateOf(found.map(({ one }) => one)),
  lacks: found.flatMap(({ name, one }) => lacksOf(one).map((what) => `${name}: ${what}`)),
});

function stateOf(found: readonly (TagSummary | undefined)[]): TagLine['state'] {
  if (found.some((one) => one?.pruned)) return 'pruned';
  if (found.some((one) => one && one.missing.length > 0)) return 'partial';
  if (found.some((one) => one === undefined)) return 'on one server';
  return found.every((one) => one?.decision === 'confirmed') ? 'whole' : 'not settled';
}

function lacksOf(one: TagSummary | undefined): string[] {
  if (!one) return ['has no such change'];
  if (one.pruned) return ['its backups were pruned'];
  if (one.decision !== 'confirmed') return ['the change is not settled'];
  return one.missing.map((path) => `missing ${path}`);
}

const codes = {
  pruned: 'backup-pruned',
  partial: 'backup-missing',
  'on one server': 'tag-unknown',
  'not settled': 'unfinished',
} as const;

/**
 * Only a tag that is whole on every server that was asked can be restored.
 * @throws CmsadmError backup-pruned, backup-missing, tag-unknown, unfinished, with what is missing and where
 */
export function refuseUnlessWhole({ tag, state, lacks }: TagLine): void {
  if (state === 'whole') return;
  throw new CmsadmError(codes[state], `The tag ${tag} cannot be restored: it is ${state}.`, {
    details: lacks,
    remedy:
      state === 'not settled'
        ? 'Run `cmsadm recover`, then restore it.'
        : 'Restore another tag, or put the files back by hand: what is left is named <file>.<tag>.',
  });
}
