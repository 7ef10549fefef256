// All that can happen to the two-server transaction, in every order; the tables are those that the program runs by.
import { describe, expect, test } from 'vitest';
import * as transitions from '../../src/change/transitions.ts';
import { type Explored, explore } from './explore.ts';
import type { Play, Rules } from './model.ts';

const rules: Rules = { ...transitions, fences: true };
const { runs, ruled, settlement, afterAnswer } = transitions;

/** Milliseconds; a second or two on an idle machine. */
const PATIENCE = 180_000;

const link: Play = { kind: 'link', aloneOn: 'local' };
const change: Play = { kind: 'change', aloneOn: 'local' };
const here: Play = { kind: 'alone', aloneOn: 'local' };
const there: Play = { kind: 'alone', aloneOn: 'peer' };

/** Each operation is a row of runs; the next one begins only when the one before is done and finished on both. */
const operations: readonly (readonly [string, readonly Play[]])[] = [
  ['set up', [link, change]],
  ['reverse', [change]],
  ['restore', [change]],
  ['disable', [change, there, here]],
  ['activate, restore alone, disable --alone', [here]],
];

const explored = new Map<Play, Explored>();
const exploreOnce = (play: Play): Explored => {
  const known = explored.get(play) ?? explore(rules, play);
  explored.set(play, known);
  return known;
};

test.each(operations)(
  '%s: no order of crashes, cuts, timers and reboots ends badly',
  { timeout: PATIENCE },
  (name, plays) => {
    const seen = plays.map(exploreOnce);
    for (const { violation } of seen) expect(violation).toBeUndefined();
    const sum = (of: (one: Explored) => number): number => seen.reduce((all, one) => all + of(one), 0);
    console.log(`model: ${name}: ${sum(({ states }) => states)} states, ${sum((one) => one.transitions)} transitions`);
    expect(sum(({ states }) => states)).toBeGreaterThan(1000);
  },
);

const swapped = (
  kind: transitions.RunKind,
  does: (moves: readonly transitions.Move[]) => transitions.Move[],
): Rules => ({
  ...rules,
  runs: { ...runs, [kind]: does(runs[kind]) },
});

const different = /one is confirmed, the other put back|leaves the two different|the coordinator came before its peer/;

/** Faults that were made, or could be: the model must find each of them. */
const broken: readonly (readonly [string, Play, Rules, RegExp])[] = [
  [
    'the coordinator confirms before its peer',
    change,
    swapped('change', (moves) => [...moves.slice(0, -2), ...moves.slice(-2).reverse()]),
    /the coordinator came before its peer/,
  ],
  [
    'the coordinator does not write that it asks',
    change,
    swapped('change', (moves) => moves.filter(({ does }) => does !== 'ask')),
    different,
  ],
  [
    'the timer puts a coordinator back that has asked',
    change,
    { ...rules, settlement: (part, ruling) => (ruling === 'asked' ? 'put back' : settlement(part, ruling)) },
    different,
  ],
  [
    'a coordinator that put itself back may ask all the same',
    change,
    { ...rules, ruled: (now, wanted) => (wanted === 'asked' ? wanted : ruled(now, wanted)) },
    /local decided put-back, and now asked/,
  ],
  ['whoever comes last decides', change, { ...rules, ruled: (_, wanted) => wanted }, /decided/],
  [
    'no word from the peer counts as its yes',
    change,
    { ...rules, afterAnswer: (answer) => (answer === 'unreachable' ? 'confirm' : afterAnswer(answer)) },
    different,
  ],
  [
    'no word from the peer counts as its no',
    change,
    { ...rules, afterAnswer: (answer) => (answer === 'unreachable' ? 'put back' : afterAnswer(answer)) },
    different,
  ],
  [
    'an undecided peer is not told to put back',
    change,
    { ...rules, afterAnswer: (answer) => (answer === 'undecided' ? 'put back' : afterAnswer(answer)) },
    different,
  ],
  [
    'a coordinator does not take its peer’s no',
    change,
    { ...rules, afterAnswer: (answer) => (answer === 'put-back' ? 'wait' : afterAnswer(answer)) },
    /recover leaves it open/,
  ],
  [
    'a lost answer to the question puts both back',
    change,
    swapped('change', (moves) => moves.map((move) => ({ ...move, failing: 'put back' as const }))),
    different,
  ],
  ['a way back lets the late run go on writing', change, { ...rules, fences: false }, /its files are/],
];

describe('the model notices', { timeout: PATIENCE }, () => {
  test.each(broken)('%s', (_, play, mutated, what) => {
    const { violation } = explore(mutated, play);
    expect(violation?.what).toMatch(what);
    expect(violation?.trace.length).toBeGreaterThan(2);
  });
});
