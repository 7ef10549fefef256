import * as v from 'valibot';
import { expect, it } from 'vitest';
import { drainSeconds } from '../../src/commands/reverse.ts';
import { profileSchema } from '../../src/profile/schema.ts';

const sets = (...seconds: (number | undefined)[]) => ({
  dataSets: v.parse(
    profileSchema.entries.dataSets,
    seconds.map((most, index) => ({
      name: `set-${index}`,
      path: '/x',
      ...(most === undefined ? {} : { exported: { export: ['/x'], import: ['/i'], seconds: most } }),
    })),
  ),
});

it('a last sync may take as long as its exports and imports may, and no longer than an hour', () => {
  expect(drainSeconds(sets())).toBe(60);
  expect(drainSeconds(sets(undefined, 300))).toBe(660);
  expect(drainSeconds(sets(300, undefined, 20))).toBe(700);
  expect(drainSeconds(sets(86_400))).toBe(3600);
});
