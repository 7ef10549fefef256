import { describe, expect, test } from 'vitest';
import type { CatalogueEntry } from '../../src/backup/catalogue.ts';
import type { BackupKind } from '../../src/backup/facts.ts';
import { planRetention } from '../../src/backup/retention.ts';

const day = 86_400_000;
const now = 1_800_000_000_000;
const entry = (name: string, kind: BackupKind, ageDays: number, of?: string): CatalogueEntry => ({
  ...{ name, kind, format: 'tar', compression: 'none', load: '1', path: `/b/${name}`, isDevice: false },
  ...{ made: new Date(now - ageDays * day).toISOString(), bytes: 1, members: 1, verified: null },
  ...(of === undefined ? {} : { of }),
});
const going = (
  entries: readonly CatalogueEntry[],
  count: number,
  days: number,
  away: readonly string[] = [],
): string[] =>
  planRetention(entries, { count, days }, ({ name }) => !away.includes(name), now).goes.map(({ name }) => name);

describe('old backups', () => {
  const system = [1, 10, 40, 100].map((age) => entry(`s${age}`, 'filesystem', age));

  test('go when they are neither among the newest nor young', () => {
    expect(going(system, 1, 0)).toEqual(['s10', 's40', 's100']);
    expect(going(system, 1, 50)).toEqual(['s100']);
    expect(going(system, 3, 0)).toEqual(['s100']);
    expect(going(system, 9, 0)).toEqual([]);
  });

  test('that can be had are not pushed out by newer ones that cannot', () => {
    expect(going(system, 1, 0, ['s1', 's10'])).toEqual(['s10', 's100']);
    expect(going(system, 1, 0, ['s1', 's10', 's40'])).toEqual(['s10', 's40']);
  });

  test('are counted for each kind by itself', () => {
    const mixed = [...system, entry('f200', 'full', 200), entry('i150', 'incremental', 150, 'f200')];
    expect(going(mixed, 1, 0)).toEqual(['s10', 's40', 's100']);
  });

  test('stay while an incremental one that stays stands on them', () => {
    const chain = [
      entry('f1', 'full', 1),
      entry('f20', 'full', 20),
      entry('f30', 'full', 30),
      entry('i10', 'incremental', 10, 'f20'),
      entry('i25', 'incremental', 25, 'f30'),
    ];
    expect(going(chain, 1, 0)).toEqual(['i25', 'f30']);
  });
});
