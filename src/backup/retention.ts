import type { CatalogueEntry } from './catalogue.ts';

export type Retention = { readonly count: number; readonly days: number };

/**
 * Which backups go: of each kind all but the newest `count`, unless they are younger than `days`. A full one stays as
 * long as an incremental one that stays stands on it. One that is not there, or on a device that may hold another by now,
 * counts for none that is.
 * @param isThere whether it can be read now, as long as it was made
 * @param clock milliseconds since 1970
 */
export function planRetention(
  entries: readonly CatalogueEntry[],
  { count, days }: Retention,
  isThere: (entry: CatalogueEntry) => boolean,
  clock: number,
): { readonly goes: readonly CatalogueEntry[]; readonly stays: readonly CatalogueEntry[] } {
  const newestFirst = entries.toSorted((a, b) => Date.parse(b.made) - Date.parse(a.made));
  const isYoung = ({ made }: CatalogueEntry): boolean => clock - Date.parse(made) < days * 86_400_000;
  const there = new Set(entries.filter(isThere));
  const rank = (entry: CatalogueEntry): number =>
    newestFirst.filter((one) => one.kind === entry.kind && there.has(one) === there.has(entry)).indexOf(entry);
  const byRule = new Set(newestFirst.filter((entry) => isYoung(entry) || rank(entry) < count));
  const needed = new Set([...byRule].map(({ of }) => of));
  const stays = newestFirst.filter((entry) => byRule.has(entry) || needed.has(entry.name));
  return { goes: newestFirst.filter((entry) => !stays.includes(entry)), stays };
}
