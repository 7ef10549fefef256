import type { CatalogueEntry } from './catalogue.ts';

export type Retention = { readonly count: number; readonly days: number };

/**
 * Which backups go: of each kind all but the newest `count`, unless they are younger than `days`. A full one stays as
 * long as an incremental one that stays stands on it.
 * @param clock milliseconds since 1970
 */
export function planRetention(
  entries: readonly CatalogueEntry[],
  { count, days }: Retention,
  clock: number,
): { readonly goes: readonly CatalogueEntry[]; readonly stays: readonly CatalogueEntry[] } {
  const newestFirst = entries.toSorted((a, b) => Date.parse(b.made) - Date.parse(a.made));
  const isYoung = ({ made }: CatalogueEntry): boolean => clock - Date.parse(made) < days * 86_400_000;
  const rank = (entry: CatalogueEntry): number => newestFirst.filter(({ kind }) => kind === entry.kind).indexOf(entry);
  const byRule = new Set(newestFirst.filter((entry) => isYoung(entry) || rank(entry) < count));
  const needed = new Set([...byRule].map(({ of }) => of));
  const stays = newestFirst.filter((entry) => byRule.has(entry) || needed.has(entry.name));
  return { goes: newestFirst.filter((entry) => !stays.includes(entry)), stays };
}
