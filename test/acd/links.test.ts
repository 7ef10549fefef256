import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { clockCheck } from '../../src/acd/clock.ts';
import { hookArgv, parseState, standsAs } from '../../src/acd/hooks.ts';
import { type AcdLink, refuseMixing } from '../../src/acd/link.ts';
import { linkFaults, type Probe } from '../../src/acd/probe.ts';
import { addressToTry, afterTry, type CycleState, firstTry } from '../../src/acd/retry-cycle.ts';
import { CmsadmError } from '../../src/errors.ts';
import { loadProfile } from '../../src/profile/load.ts';

describe('the retry cycle of a link', () => {
  /** Which address was tried at each step, with these answers in turn. */
  function tried(
    answers: readonly boolean[],
    isDual: boolean,
    returnsToMain = false,
  ): { readonly tried: string; readonly end: CycleState } {
    let state = firstTry;
    const rules = { isDual, returnsToMain };
    const steps = answers.map((answered) => {
      const address = addressToTry(state, rules);
      state = afterTry(state, answered, rules);
      return address === 'main' ? 'm' : 's';
    });
    return { tried: steps.join(''), end: state };
  }
  const none = (count: number): boolean[] => Array.from({ length: count }, () => false);

  test('tries the main address five times, the survivable one twice, and round again', () => {
    expect(tried(none(17), true).tried).toBe('mmmmmssmmmmmssmmm');
    expect(tried(none(6), true).end.rounds).toBe(0);
    expect(tried(none(7), true).end.rounds).toBe(1);
  });

  test('tries only the main address of a link that has no other', () => {
    expect(tried(none(12), false).tried).toBe('mmmmmmmmmmmm');
    expect(tried(none(5), false).end.rounds).toBe(1);
  });

  test('keeps the address that answers, and gives it all its tries again when it is lost', () => {
    expect(tried([...none(5), true, true, false, false, false], true).tried).toBe('mmmmmssssm');
    expect(tried([true, ...none(5), false], true).tried).toBe('mmmmmms');
    expect(tried([...none(7), true], true).end).toEqual({ ...firstTry, up: true });
  });

  test('looks back at the main address with every second try where it returns there, and goes back once it answers', () => {
    const lost = [...none(5), true];
    expect(tried([...lost, false, true, false, true, true, true], true, true).tried).toBe('mmmmmsmsmsmm');
    expect(tried([...lost, false, true, false], true, true).end).toMatchObject({ address: 'survivable', up: true });
    // The survivable address is lost as ever: two tries without an answer.
    expect(tried([...lost, false, false, false, false], true, true).tried).toBe('mmmmmsmssm');
    expect(tried([...lost, true], true, true).end).toEqual({ ...firstTry, up: true });
    expect(tried([true, true, true], true, true).tried).toBe('mmm');
  });

  test('stops looking back as soon as it is told to stay', () => {
    const { end } = tried([...none(5), true], true, true);
    expect(end.looksBack).toBe(true);
    expect(addressToTry(end, { isDual: true, returnsToMain: false })).toBe('survivable');
    expect(afterTry(end, true, { isDual: true, returnsToMain: false })).toMatchObject({
      address: 'survivable',
      looksBack: false,
    });
  });
});

test('the pause between two tries is 30 s, unless a profile says otherwise', () => {
  const shipped = fileURLToPath(new URL('../../profiles', import.meta.url));
  expect(loadProfile('cms', [shipped]).acd?.retrySeconds).toBe(30);
});

describe('a link', () => {
  const link = (survivable?: AcdLink['survivable']): AcdLink => ({
    ...{ id: '1-1-1', localPort: 1, remotePort: 1, transport: 'TCP/IP', host: '10.1.1.1', port: 5001 },
    ...(survivable ? { survivable } : {}),
  });
  const single = { acd: { number: 1, name: 'north' }, link: link() };
  const dual = { acd: { number: 2, name: 'south' }, link: link({ host: 'ess', port: 5001 }) };

  test('has as many addresses as the others of its server', () => {
    const why = (isDual: boolean, ...others: (typeof single)[]): string => {
      try {
        refuseMixing('cms1', isDual, others);
        return 'taken';
      } catch (error) {
        if (error instanceof CmsadmError) return error.message;
        throw error;
      }
    };
    expect([why(true), why(false), why(false, single), why(true, dual)]).toEqual(['taken', 'taken', 'taken', 'taken']);
    expect(why(true, single)).toBe('cms1 has links with one address: ACD 1 (north). It must not have both kinds.');
    expect(why(false, dual)).toBe('cms1 has links with two addresses: ACD 2 (south). It must not have both kinds.');
  });

  test('is faulty where nobody answers, and where both addresses do', () => {
    const probe = (answers: boolean): Probe => ({ host: 'h', port: 5001, answers, why: answers ? '' : 'refused' });
    const faults = (main: boolean, survivable?: boolean): number =>
      linkFaults({ main: probe(main), ...(survivable === undefined ? {} : { survivable: probe(survivable) }) }).length;
    expect([faults(true), faults(false)]).toEqual([0, 1]);
    expect([faults(true, false), faults(false, true), faults(false, false), faults(true, true)]).toEqual([0, 0, 2, 1]);
  });

  test('is refused where the clocks differ by more than 24 hours, either way', () => {
    const now = Date.UTC(2026, 0, 10);
    const at = (seconds: number) => clockCheck(`${now / 1000 + seconds}\n`, now);
    expect([0, 86_400, -86_400].map((s) => at(s)?.refused)).toEqual([false, false, false]);
    expect([86_401, -86_401].map((s) => at(s)?.refused)).toEqual([true, true]);
    expect(at(90)?.seconds).toBe(90);
    expect(clockCheck('yesterday', now)).toBeUndefined();
    expect(clockCheck('', now)).toBeUndefined();
  });
});

describe('a hook', () => {
  test('gets the number as one more argument', () => {
    expect(hookArgv(['/bin/x', 'start'], 3)).toEqual(['/bin/x', 'start', '3']);
  });

  test('says the state in lines of its own; what it does not say is unknown', () => {
    expect(parseState('link=up\ncollection=on\n')).toEqual({ collection: 'on', link: 'up' });
    expect(parseState('collection=perhaps\nxlink=up\n')).toEqual({ collection: 'unknown', link: 'unknown' });
    expect(parseState('')).toEqual({ collection: 'unknown', link: 'unknown' });
  });

  test('is not run where the ACD stands so already', () => {
    const on = { collection: 'on', link: 'up' } as const;
    const busy = { collection: 'off', link: 'busy' } as const;
    expect([standsAs('start', on), standsAs('stop', on), standsAs('busy', on), standsAs('release', on)]).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect([
      standsAs('start', busy),
      standsAs('stop', busy),
      standsAs('busy', busy),
      standsAs('release', busy),
    ]).toEqual([false, true, true, false]);
    expect(standsAs('release', { collection: 'unknown', link: 'unknown' })).toBe(false);
  });
});
