import { describe, expect, it } from 'vitest';
import { randomFor } from '../../lab/chaos/random.ts';
import { type Act, nextAct, type Tree, touched, treeAfter, usualNames, vanishedBy } from '../../lab/chaos/sync/acts.ts';
import { planSyncRound, syncFaults, tellSyncPlan } from '../../lab/chaos/sync/plan.ts';
import { apart, type Listing, notAsMade } from '../../lab/chaos/sync/tree.ts';

describe('the schedule of the admin-sync rounds', () => {
  const rounds = Array.from({ length: 500 }, (_, i) => planSyncRound(7, i + 1));
  const blows = rounds.flatMap((round) => round.blows);

  it('is the same for the same seed and round, and differs from seed to seed', () => {
    expect(rounds.map(({ round }) => planSyncRound(7, round))).toEqual(rounds);
    expect(rounds.filter(({ round }, i) => tellSyncPlan(planSyncRound(8, round)) === told[i])).toEqual([]);
  });
  const told = rounds.map(tellSyncPlan);

  it.each(syncFaults)('holds "%s" now and then', (fault) => {
    expect(blows.filter((blow) => blow.fault === fault).length).toBeGreaterThan(20);
  });

  it('changes the roles from the primary and with nothing broken, and fills the secondary only', () => {
    for (const { blows: all } of rounds) if (all.some(({ fault }) => fault === 'reverse')) expect(all.length).toBe(1);
    for (const { fault, target } of blows) {
      if (fault === 'reverse') expect(target).toBe('primary');
      if (fault === 'disk') expect(target).toBe('secondary');
    }
  });
});

/** So many acts of a seed, and the trees between them. */
function play(seed: number, count: number): { acts: Act[]; trees: Tree[] } {
  const random = randomFor(`${seed}`);
  const acts: Act[] = [];
  const trees: Tree[] = [new Map()];
  for (let number = 1; number <= count; number += 1) {
    const tree = trees.at(-1) ?? new Map();
    const act = nextAct(random, tree, number, number % 20 === 0 ? 0 : 1000);
    if (number % 20 === 0) expect(vanishedBy(act, tree)).toBe(0);
    acts.push(act);
    trees.push(treeAfter(tree, act));
  }
  return { acts, trees };
}

describe('the clocks of the admin-sync rounds', () => {
  const shifts = Array.from({ length: 500 }, (_, i) => planSyncRound(7, i + 1))
    .flatMap(({ blows }) => blows)
    .flatMap(({ fault, shift }) => (fault === 'clock' ? [shift] : []));

  it('jump forward and backward by up to two days, and to midnight', () => {
    const numbers = shifts.filter((shift) => typeof shift === 'number');
    expect(shifts.length - numbers.length).toBeGreaterThan(5);
    expect(Math.max(...numbers)).toBeGreaterThan(86_400);
    expect(Math.min(...numbers)).toBeLessThan(-86_400);
    expect(Math.max(...numbers.map(Math.abs))).toBeLessThanOrEqual(2 * 86_400);
  });

  it('stay right where another fault strikes', () => {
    for (const { fault, shift } of planSyncRound(7, 1).blows) if (fault !== 'clock') expect(shift).toBe(0);
  });
});

describe('the writer of the admin-sync rounds', () => {
  const { acts, trees } = play(1, 3000);

  it('does the same for the same seed', () => {
    expect(play(1, 500).acts).toEqual(acts.slice(0, 500));
  });

  it('does everything that can be done to a tree, and asks for nothing that is not possible there', () => {
    const done = new Set(acts.map(({ op }) => op));
    const all = [
      'append',
      'chmod',
      'chown',
      'create',
      'mkdir',
      'remove',
      'rename',
      'replace',
      'rewrite',
      'symlink',
      'times',
    ];
    expect([...done].sort()).toEqual(all);
    for (const [index, act] of acts.entries()) {
      const tree = trees[index] ?? new Map();
      const parent = act.path.slice(0, Math.max(0, act.path.lastIndexOf('/')));
      if (parent !== '') expect(tree.get(parent)?.type, act.op).toBe('folder');
      const isNew = ['create', 'mkdir', 'symlink', 'rename'].includes(act.op);
      expect(tree.has(act.path), `${act.op} of ${act.path}`).toBe(!isNew);
      if (act.op === 'rename') expect(tree.has(act.from)).toBe(true);
    }
  });

  it('keeps the tree at its size, and removes little at once', () => {
    for (const [index, tree] of trees.entries()) {
      if (index > usualNames) expect(tree.size).toBeGreaterThan(usualNames * 0.8);
      expect(tree.size).toBeLessThan(usualNames * 1.3);
      expect((trees[index - 1]?.size ?? 0) - tree.size).toBeLessThan(15);
    }
  });

  it('moves and removes folders with all that is in them', () => {
    const made: Tree = new Map([
      ['a', { type: 'folder', mode: 0o755, owner: 0 }],
      ['a/file', { type: 'file', mode: 0o644, owner: 0, content: 'x' }],
      ['ab', { type: 'link', owner: 0, target: 'a' }],
    ]);
    const moved = treeAfter(made, { op: 'rename', number: 1, from: 'a', path: 'b' });
    expect([...moved.keys()].sort()).toEqual(['ab', 'b', 'b/file']);
    expect([...treeAfter(moved, { op: 'remove', number: 2, path: 'b' }).keys()]).toEqual(['ab']);
    expect(touched({ op: 'rename', number: 1, from: 'a', path: 'b' })).toEqual(['a', 'b']);
  });
});

describe('the verdict on two trees', () => {
  const file = { facts: 'f 644 0:0 1234', time: 1000.4 };
  const listing = (...entries: [string, typeof file][]): Listing => new Map(entries);

  const pairs = [
    { name: 'are the same', there: listing(['w/a', file]), says: [] },
    { name: 'differ by a rounded time', there: listing(['w/a', { ...file, time: 1001 }]), says: [] },
    { name: 'differ in time', there: listing(['w/a', { ...file, time: 9000 }]), says: [/"w\/a" is f .* 9000 on the/] },
    { name: 'differ in mode', there: listing(['w/a', { ...file, facts: 'f 600' }]), says: [/f 600/] },
    {
      name: 'hold more there',
      there: listing(['w/a', file], ['.tmp', file]),
      says: [/".tmp" is nothing on the primary/],
    },
    { name: 'hold more here', there: listing(), says: [/"w\/a" is .* nothing on the secondary/] },
  ];
  it.each(pairs)('tells when they $name', ({ there, says }) => {
    const found = apart(listing(['w/a', file]), there);
    expect(found.length).toBe(says.length);
    for (const [index, text] of says.entries()) expect(found[index]).toMatch(text);
  });

  it('tells what the writer made and is not there, and what nobody made', () => {
    const tree: Tree = new Map([['lost', { type: 'link', owner: 1000, target: 'x' }]]);
    const complaints = notAsMade(listing(['w/odd', file], ['elsewhere', file]), tree);
    expect(complaints).toEqual(['"w/lost" was left as link 1000:37 x, is gone', '"w/odd" was made by nobody']);
    expect(notAsMade(listing(['w/lost', { facts: 'link 1000:37 x', time: 0 }]), tree)).toEqual([]);
  });
});
