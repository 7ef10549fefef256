import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Account } from '../../src/passwords/accounts.ts';
import type { AgeRecords } from '../../src/passwords/age-record.ts';
import { planAges } from '../../src/passwords/aging-plan.ts';
import type { Ages } from '../../src/passwords/shadow.ts';
import { neverDecided, type WantedAging } from '../../src/passwords/wanted-aging.ts';

const rules = { shell: '/usr/bin/cms', minimumUid: 1000, never: ['cms'] };
const account = (name: string, more: Partial<Account> = {}): Account => ({
  ...{ name, uid: 1001, shell: '/usr/bin/cms', locked: false, lastChange: 20000 },
  ...{ min: 0, max: 99999, warn: 7, inactive: -1 },
  ...more,
});
const on = (weeks: number, ...exclude: string[]): WantedAging => ({ aging: 'on', weeks, exclude });
const maxima = (accounts: readonly Account[], wanted: WantedAging): Record<string, number> =>
  Object.fromEntries(planAges(accounts, {}, wanted, rules).steps.map(({ account: { name }, to }) => [name, to.max]));

describe('who ages', () => {
  const all = [
    account('anna'),
    account('root', { uid: 0 }),
    account('second-root', { uid: 0 }),
    account('daemon', { uid: 999 }),
    account('cms'),
    account('shell', { shell: '/bin/bash' }),
    account('none', { shell: '' }),
    account('locked', { locked: true }),
    account('excluded'),
  ];

  it('is the unlocked user of the login shell: never root, an account of the system, another shell or the excluded', () => {
    expect(maxima(all, on(9, 'excluded'))).toEqual({ anna: 63 });
    expect(maxima(all, neverDecided)).toEqual({});
  });

  it('gets a maximum, a warning where there is none, and no minimum above the maximum', () => {
    const { steps } = planAges([account('anna', { min: 30, warn: -1 })], {}, on(2), rules);
    expect(steps.map(({ to }) => to)).toEqual([{ min: 14, max: 14, warn: 7 }]);
  });

  it('is left alone where everything stands so already, and gets back just that', () => {
    const stands = account('anna', { max: 63 });
    const { steps, after } = planAges([stands], {}, on(9), rules);
    expect(steps).toEqual([]);
    expect(planAges([stands], after, neverDecided, rules)).toMatchObject({ steps: [], after: {} });
  });
});

/** A server in memory: its accounts and the record file, with an apply that may end anywhere. */
function serverOf(...initial: Account[]) {
  let accounts: readonly Account[] = initial;
  let records: AgeRecords = {};
  const change = (name: string, more: Partial<Account>): void => {
    accounts = accounts.map((one) => (one.name === name ? { ...one, ...more } : one));
  };
  return {
    change,
    /** @param writes durable writes until the process is killed */
    apply: (wanted: WantedAging, writes = Number.POSITIVE_INFINITY): readonly string[] => {
      const plan = planAges(accounts, records, wanted, rules);
      const work = [
        () => {
          records = plan.during;
        },
        ...plan.steps.map(
          ({ account: one, to }) =>
            () =>
              change(one.name, to),
        ),
        () => {
          records = plan.after;
        },
      ];
      for (const write of work.slice(0, writes)) write();
      return plan.byHand;
    },
    plan: (wanted: WantedAging) => planAges(accounts, records, wanted, rules),
    records: () => records,
    ages: (name: string): Ages => {
      const { min, max, warn } = accounts.find((one) => one.name === name) ?? account('');
      return { min, max, warn };
    },
  };
}

describe('what an account had before', () => {
  it('comes back for each user when aging is turned off, through any number of changes', () => {
    const server = serverOf(account('anna', { min: 2, max: 200, warn: -1 }), account('ben', { uid: 1002 }));
    server.apply(on(9));
    server.apply(on(4));
    server.apply(on(1));
    expect(server.ages('anna')).toEqual({ min: 2, max: 7, warn: 7 });
    server.apply(neverDecided);
    expect(server.ages('anna')).toEqual({ min: 2, max: 200, warn: -1 });
    expect(server.ages('ben')).toEqual({ min: 0, max: 99999, warn: 7 });
    expect(server.records()).toEqual({});
  });

  it('comes back for who is excluded, locked or given another shell later', () => {
    const server = serverOf(account('anna'), account('ben', { uid: 1002 }), account('carol', { uid: 1003 }));
    server.apply(on(9));
    server.change('ben', { locked: true });
    server.change('carol', { shell: '/bin/sh' });
    server.apply(on(9, 'anna'));
    expect(['anna', 'ben', 'carol'].map((name) => server.ages(name).max)).toEqual([99999, 99999, 99999]);
  });

  it('does not come back over what somebody set by hand: that stays, while on and when off, and is told', () => {
    const server = serverOf(account('anna', { max: 200 }));
    server.apply(on(9));
    server.change('anna', { max: 90 });
    const told = ['anna: the maximum of 90 days was set by hand and stays'];
    expect(server.apply(on(9))).toEqual(told);
    expect(server.apply(on(4))).toEqual(told);
    expect(server.ages('anna').max).toBe(90);
    expect(server.apply(neverDecided)).toEqual(told);
    expect(server.ages('anna').max).toBe(90);
    // From now on that is what the account has.
    expect(server.apply(on(9))).toEqual([]);
    server.apply(neverDecided);
    expect(server.ages('anna').max).toBe(90);
  });

  it('is that of the account itself: one of the same name that was made anew starts afresh', () => {
    const server = serverOf(account('anna', { max: 200 }));
    server.apply(on(9));
    server.change('anna', { uid: 2000, max: 99999 });
    server.apply(on(9));
    expect(server.ages('anna').max).toBe(63);
    server.apply(neverDecided);
    expect(server.ages('anna').max).toBe(99999);
  });

  type Event =
    | { readonly kind: 'apply'; readonly wanted: WantedAging; readonly writes: number }
    | { readonly kind: 'by hand'; readonly name: string; readonly field: keyof Ages };
  const event: fc.Arbitrary<Event> = fc.oneof(
    fc.record({
      kind: fc.constant('apply' as const),
      wanted: fc.record({
        aging: fc.constantFrom('on' as const, 'on' as const, 'off' as const),
        weeks: fc.integer({ min: 1, max: 52 }),
        exclude: fc.subarray(['anna', 'ben']),
      }),
      writes: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant(Number.POSITIVE_INFINITY)),
    }),
    fc.record({
      kind: fc.constant('by hand' as const),
      name: fc.constantFrom('anna', 'ben'),
      field: fc.constantFrom('min' as const, 'max' as const, 'warn' as const),
    }),
  );

  test('is there once aging is off, or what was set by hand since, wherever earlier runs were killed', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 12 }), (events) => {
        const server = serverOf(account('anna', { min: 1, max: 500, warn: 9 }), account('ben', { uid: 1002 }));
        const expected = { anna: server.ages('anna'), ben: server.ages('ben') };
        let byHand = 40_000; // no value of ours
        for (const one of events) {
          if (one.kind === 'apply') server.apply(one.wanted, one.writes);
          else {
            byHand += 1;
            server.change(one.name, { [one.field]: byHand });
            if (one.name === 'anna' || one.name === 'ben')
              expected[one.name] = { ...expected[one.name], [one.field]: byHand };
          }
        }
        server.apply(neverDecided);
        for (const name of ['anna', 'ben'] as const) expect(server.ages(name)).toEqual(expected[name]);
        expect(server.records()).toEqual({});
      }),
      { numRuns: 2000 },
    );
  });

  test('and in between everybody stands as wanted after one whole run, if nobody set anything by hand', () => {
    const applies = event.filter(({ kind }) => kind === 'apply');
    fc.assert(
      fc.property(fc.array(applies, { maxLength: 8 }), fc.integer({ min: 1, max: 52 }), (events, weeks) => {
        const server = serverOf(account('anna', { min: 1, max: 500 }), account('ben', { uid: 1002 }));
        for (const one of events) if (one.kind === 'apply') server.apply(one.wanted, one.writes);
        expect(server.apply(on(weeks))).toEqual([]);
        expect([server.ages('anna').max, server.ages('ben').max]).toEqual([weeks * 7, weeks * 7]);
        expect(server.plan(on(weeks)).steps).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });
});
