import { beforeAll, describe, expect, test } from 'vitest';
import { changesOf, operations, run } from './operations.ts';
import { attempt, prepare, type Stage, triedFaults } from './trial.ts';
import { outcomeOf } from './verdict.ts';

/** One of so many faults; `npm run crash-points` makes them all. */
const SAMPLE = 97;

/** Milliseconds; a few seconds on an idle machine. */
const PATIENCE = 180_000;

describe.each(operations)('%s', (operation) => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await prepare(operation);
  });

  const changesBoth = changesOf(operation) === 'both';

  test('changes something on the servers that it concerns', () => {
    const [before, planned] = stage.known;
    expect(before?.standing.cms1).not.toEqual(planned?.standing.cms1);
    if (changesBoth) expect(before?.standing.cms2).not.toEqual(planned?.standing.cms2);
    else expect(before?.standing.cms2).toEqual(planned?.standing.cms2);
  });

  test.runIf(changesBoth)('a server that is as before beside one that is as planned counts as mixed', async () => {
    const done = stage.before.copy();
    await run(done, operation);
    const half = { ...done, servers: { cms1: done.servers.cms1, cms2: stage.before.servers.cms2 } };
    expect(outcomeOf(done, stage.known, [])).toBe('planned');
    expect(outcomeOf(half, stage.known, [])).toBeUndefined();
  });

  test('a sample of its faults leaves both servers as before or as planned', { timeout: PATIENCE }, async () => {
    const wrong: unknown[] = [];
    for (const [i, fault] of triedFaults(stage).entries()) {
      if (i % SAMPLE !== 0) continue;
      const result = await attempt(stage, fault);
      if (result.wrong.length > 0) wrong.push(result);
    }
    expect(wrong).toEqual([]);
  });
});
