import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TagBackups } from '../../src/change/backups.ts';
import { keptTags, planPrune } from '../../src/ha/prune.ts';

const day = 86_400_000;
const now = Date.parse('2026-06-01T00:00:00Z');
/** A tag of this age in days, with one backup of 100 bytes. */
const tagOf = (age: number, more: Partial<TagBackups> = {}): TagBackups => {
  const tag = `zdt_1_${Math.floor((now - age * day) / 1000)}`;
  return {
    ...{ tag, at: new Date(now - age * day).toISOString(), operation: 'set up roles', operator: 'anna' },
    ...{ state: 'confirmed', pruned: false, edited: [], files: [{ path: `/etc/hosts.${tag}`, bytes: 100 }] },
    ...more,
  };
};
const plan = (keep: number, days: number, ...servers: TagBackups[][]): string[] =>
  planPrune(keptTags(servers.map((tags, i) => ({ name: `cms${i + 1}`, tags }))), { keep, days }, now).map(
    ({ tag }) => tag,
  );

describe('the rule', () => {
  const tags = [50, 40, 20, 5].map((age) => tagOf(age));
  test.each([
    { keep: 1, days: 30, gone: [40, 50] },
    { keep: 3, days: 30, gone: [50] },
    { keep: 4, days: 0, gone: [] },
    { keep: 1, days: 0, gone: [20, 40, 50] },
    { keep: 1, days: 40, gone: [40, 50] },
    { keep: 1, days: 51, gone: [] },
  ])('keeps the newest $keep and what is younger than $days days', ({ keep, days, gone }) => {
    expect(plan(keep, days, tags, tags)).toEqual(gone.map((age) => tagOf(age).tag));
  });

  test.each([
    { name: 'is open on one server', one: tagOf(50), other: tagOf(50, { state: 'open' }) },
    { name: 'was put back', one: tagOf(50, { state: 'put back', files: [], edited: ['/etc/hosts.x.edited'] }) },
    { name: 'has no file left', one: tagOf(50, { files: [] }) },
    { name: 'has a time that nobody can read', one: tagOf(50, { at: 'yesterday' }) },
    { name: 'lies in the future', one: tagOf(-50) },
  ] as { name: string; one: TagBackups; other?: TagBackups }[])('a tag that $name stays', ({ one, other }) => {
    const newer = tagOf(-60);
    expect(plan(1, 0, [one, newer], [other ?? one, newer])).toEqual([]);
  });

  test('a tag whose removal was begun goes on, and does not count among those that are kept', () => {
    const begun = tagOf(40, { pruned: true });
    expect(plan(1, 30, [tagOf(60), begun], [tagOf(60), tagOf(40)])).toEqual([tagOf(40).tag]);
  });

  test('a tag that only one server has counts and goes like the others', () => {
    expect(plan(1, 30, [tagOf(60), tagOf(45)], [tagOf(60)])).toEqual([tagOf(60).tag]);
  });

  test('whatever there is: what goes is old enough, and the newest whole tags stay', () => {
    const age = fc.integer({ min: 0, max: 100 });
    const some = fc.uniqueArray(fc.record({ age, pruned: fc.boolean() }), { selector: (one) => one.age });
    fc.assert(
      fc.property(some, fc.integer({ min: 1, max: 8 }), age, (ages, keep, days) => {
        const tags = ages.map((one) => tagOf(one.age, { pruned: one.pruned }));
        const gone = plan(keep, days, tags, tags);
        const whole = tags.filter((one) => !one.pruned).sort((a, b) => b.at.localeCompare(a.at));
        for (const one of whole.slice(0, keep)) expect(gone).not.toContain(one.tag);
        for (const one of whole.slice(keep))
          expect(gone.includes(one.tag)).toBe(now - Date.parse(one.at) >= days * day);
        for (const tag of gone) expect(now - Number(tag.split('_')[2]) * 1000).toBeGreaterThanOrEqual(days * day);
      }),
    );
  });
});

test('the list tells both servers, newest first, and what all of it takes', () => {
  const kept = keptTags([
    { name: 'cms1', tags: [tagOf(50), tagOf(5), tagOf(90, { files: [] })] },
    { name: 'cms2', tags: [tagOf(50, { files: [] })] },
  ]);
  expect(kept).toMatchObject([
    { tag: tagOf(5).tag, bytes: 100, servers: [{ name: 'cms1' }] },
    { tag: tagOf(50).tag, bytes: 100, servers: [{ name: 'cms1' }, { name: 'cms2', files: [] }] },
  ]);
});
