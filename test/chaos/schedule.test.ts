import { describe, expect, it } from 'vitest';
import { faultKinds, marks, operations, planRound, tellPlan } from '../../lab/chaos/schedule.ts';

const rounds = Array.from({ length: 1000 }, (_, i) => planRound(7, i + 1));
const faults = rounds.flatMap((round) => round.faults);

describe('the schedule of the chaos rounds', () => {
  it('is the same for the same seed and round, in whatever order rounds are asked for', () => {
    const again = [...rounds].reverse().map(({ seed, round }) => planRound(seed, round));
    expect(again.reverse()).toEqual(rounds);
  });

  it('stays the same from version to version: a seed in a report can be replayed', () => {
    expect([1, 2, 3].map((round) => tellPlan(planRound(1, round)))).toMatchInlineSnapshot(`
      [
        "round 1: set up > restore > reverse > disable, on cms2 if both may; frozen server of peer at 0.371 of its time for 35559 ms; settled by itself; lines added",
        "round 2: reverse > disable > restore > set up, on cms1 if both may; power of coordinator and peer 152 ms after "Verifying" (0.279) for 1223 ms; settled by person",
        "round 3: set up > restore > reverse > disable, on cms1 if both may; cable of peer at 0.243 of its time for 813 ms; settled by person",
      ]
    `);
  });

  it('differs from seed to seed', () => {
    const others = rounds.map(({ round }) => planRound(8, round)).filter((other, i) => tellPlan(other) === told[i]);
    expect(others).toEqual([]);
  });
  const told = rounds.map(tellPlan);

  it.each(faultKinds)('holds the fault "%s" now and then', (kind) => {
    expect(faults.filter((fault) => fault.kind === kind).length).toBeGreaterThan(20);
  });

  it.each(marks)('lets faults begin after "%s"', (mark) => {
    expect(faults.filter(({ at }) => 'mark' in at && at.mark === mark).length).toBeGreaterThan(10);
  });

  it('spreads instants over the whole duration', () => {
    const shares = faults.flatMap(({ at }) => ('share' in at ? [at.share] : []));
    for (const tenth of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      expect(shares.filter((share) => Math.floor(share * 10) === tenth).length, `${tenth}`).toBeGreaterThan(10);
  });

  it.each(operations)('puts "%s" first in about a quarter of the rounds', (operation) => {
    const first = rounds.filter((round) => round.operations[0] === operation).length;
    expect(first).toBeGreaterThan(200);
    expect(first).toBeLessThan(300);
  });

  it('names every operation in every round, so that one is always possible', () => {
    for (const round of rounds) expect([...round.operations].sort()).toEqual([...operations].sort());
  });

  it('has faults that outlast the silence after which a session is given up, and shorter ones', () => {
    const frozen = faults.flatMap(({ kind, until }) => (kind.startsWith('frozen') && until !== 'end' ? [until] : []));
    expect(Math.max(...frozen)).toBeGreaterThan(32_000);
    expect(Math.min(...frozen)).toBeLessThan(1500);
  });
});
