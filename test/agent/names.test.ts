import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { folderOf, makeNames } from '../../src/agent/names.ts';

const path = fc
  .array(fc.constantFrom('a', 'b', 'a.b', 'ab'), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('/'));

describe('the names of a data set', () => {
  it('are found by the folder that they are in, however they come and go', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), path), { maxLength: 60 }), path, (steps, folder) => {
        const names = makeNames();
        const plain = new Set<string>();
        for (const [comes, one] of steps) {
          if (comes) names.make(one);
          else names.delete(one);
          if (comes) plain.add(one);
          else plain.delete(one);
        }
        const all = [...plain];
        expect([...names.keys()].sort()).toEqual([...all].sort());
        for (const here of [folder, '']) {
          expect(names.within(here).sort()).toEqual(all.filter((one) => folderOf(one) === here).sort());
          const below = all.filter((one) => here === '' || one.startsWith(`${here}/`));
          expect(names.below(here).sort()).toEqual(below.sort());
        }
      }),
      { numRuns: 500 },
    );
  });

  it('keep what is known of them', () => {
    const names = makeNames();
    names.make('f/a').here = 'x';
    expect(names.make('f/a').here).toBe('x');
    expect(names.get('f')).toBeUndefined();
    expect(names.size).toBe(1);
  });
});
