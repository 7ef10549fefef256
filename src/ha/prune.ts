import type { TagBackups } from '../change/backups.ts';
import type { Tag } from '../pair/tag.ts';

/** Which backups stay: those of the newest `keep` tags, and all that are younger than `days` days. */
export type PruneRule = { readonly keep: number; readonly days: number };

/** What each server that was asked keeps, by its FQDN. */
export type ServerBackups = { readonly name: string; readonly tags: readonly TagBackups[] };

/** One tag as both servers keep it. */
export type KeptTag = {
  readonly tag: Tag;
  readonly at: string;
  readonly operation: string;
  readonly operator: string;
  /** Bytes on all servers together. */
  readonly bytes: number;
  readonly servers: readonly ({ readonly name: string } & Pick<TagBackups, 'state' | 'pruned' | 'files' | 'edited'>)[];
};

/** The tags of both servers that have a file left, newest first. */
export function keptTags(servers: readonly ServerBackups[]): KeptTag[] {
  const tags = new Set(servers.flatMap((server) => server.tags.map(({ tag }) => tag)));
  return [...tags]
    .flatMap((tag) => {
      const found = servers.flatMap(({ name, tags: all }) =>
        all.filter((one) => one.tag === tag).map((one) => ({ name, ...one })),
      );
      const [newest] = [...found].sort((a, b) => b.at.localeCompare(a.at));
      if (!newest || found.every(({ files, edited }) => files.length + edited.length === 0)) return [];
      const { at, operation, operator } = newest;
      const bytes = found.flatMap(({ files }) => files).reduce((sum, file) => sum + file.bytes, 0);
      return [
        {
          ...{ tag, at, operation, operator, bytes },
          servers: found.map(({ name, state, pruned, files, edited }) => ({ name, state, pruned, files, edited })),
        },
      ];
    })
    .sort((a, b) => b.at.localeCompare(a.at) || (a.tag < b.tag ? 1 : -1));
}

/**
 * Which tags a prune takes, newest first. A tag that is open on one server stays on both; one whose removal had begun does
 * not count among the newest, because nobody can restore it.
 * @param kept newest first
 * @param now milliseconds since 1970
 */
export function planPrune(kept: readonly KeptTag[], { keep, days }: PruneRule, now: number): KeptTag[] {
  const removable = kept.filter(
    ({ servers }) =>
      servers.every(({ state }) => state !== 'open') &&
      servers.some(({ state, files }) => state === 'confirmed' && files.length > 0),
  );
  let newer = 0;
  return removable.filter(({ at, servers }) => {
    const isBegun = servers.some(({ pruned }) => pruned);
    const goes = (isBegun || newer >= keep) && now - Date.parse(at) >= days * 86_400_000;
    if (!isBegun) newer += 1;
    return goes;
  });
}
