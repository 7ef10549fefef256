// What the status tells of names that are not across.
import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { markUndecided } from '../../src/agent/undecided.ts';
import { CmsadmError } from '../../src/errors.ts';
import { loginThrough } from './faults.ts';
import { drained, setState, startAgent, status } from './running-agents.ts';
import { cms1, cms2, pairAt, placeOf, savePair, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

/** A pair in step with 30 names; messages of changes do as they are told from then on. */
async function pairInStep() {
  const { one, two } = twoServers();
  for (let file = 0; file < 30; file += 1) write(one, `f${file}`, 'content');
  const changes = { meet: async () => {} };
  startAgent(two, one);
  const through = loginThrough(two, async (verb, call) => {
    if (verb === 'agentChanges') await changes.meet();
    return call();
  });
  startAgent(one, two, {}, undefined, {}, through);
  await drained(one);
  await setState(one, 'in step');
  return { one, two, changes };
}

describe('the queue', () => {
  it('holds all names of which nothing is sent while their set is held', async () => {
    const { one } = await pairInStep();
    for (const name of fs.readdirSync(placeOf(one, ''))) fs.rmSync(placeOf(one, name));
    const { queue, sets } = await setState(one, 'held');
    expect([queue, sets[0]?.queue]).toEqual([30, 30]);
  });

  it('holds what could not be written there, until it is', async () => {
    const { one, changes } = await pairInStep();
    changes.meet = () => Promise.reject(new CmsadmError('sync-write-failed', 'No space left there.'));
    for (let file = 0; file < 4; file += 1) write(one, `acd/${file}`, 'new');
    await setState(one, 'stopped');
    // With their folder.
    await until(
      () => status(one),
      ({ queue }) => queue === 5,
    );
    changes.meet = async () => {};
    expect(await setState(one, 'in step')).toMatchObject({ queue: 0, state: 'in step' });
  });

  it('holds what is on its way while the other server does not answer', async () => {
    const { one, changes } = await pairInStep();
    let answers = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answers = resolve;
    });
    // Not for ever: the agents end after the test.
    changes.meet = () => Promise.race([answered, sleep(5_000)]);
    write(one, 'f1', 'edited');
    expect(
      await until(
        () => status(one),
        ({ queue }) => queue > 0,
      ),
    ).toMatchObject({ queue: 1, sets: [{ state: 'sending', queue: 1 }] });
    answers();
    expect(await setState(one, 'in step')).toMatchObject({ queue: 0 });
  });

  it('is not counted by what the other server had before it was the primary itself', async () => {
    const { one, two } = await pairInStep();
    for (const host of [one, two]) savePair(host, pairAt(2, cms2));
    await until(
      () => status(two),
      ({ role, sets }) => role === 'primary' && sets[0]?.state === 'in step',
    );
    for (let file = 0; file < 30; file += 1) write(two, `f${file}`, 'of the other one');
    await drained(two);
    expect(tree(one)).toEqual(tree(two));
    markUndecided(two.root, 'admin', { own: 1, epoch: 2, at: '' });
    for (const host of [two, one]) savePair(host, pairAt(3, cms1));
    expect(await setState(one, 'undecided')).toMatchObject({ queue: 0 });
  });
});
