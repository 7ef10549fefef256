import { describe, expect, test } from 'vitest';
import { type AcdQuestion, type Answers, acdQuestions } from '../../src/acd/questions.ts';
import { type Rule, ruled, ruleText } from '../../src/acd/rules.ts';
import { CmsadmError } from '../../src/errors.ts';

const limits = { acds: 8, members: 5000 };
const all: readonly AcdQuestion[] = [...acdQuestions.before, ...acdQuestions.link, ...acdQuestions.after];
const ruleOf = ({ rule }: AcdQuestion, answers: Answers = {}): Rule =>
  typeof rule === 'function' ? rule(limits, answers) : rule;

/** What the check made of it, or the code with which it was refused. */
function checked(rule: Rule, typed: string): string {
  try {
    return ruled(rule, typed);
  } catch (error) {
    if (error instanceof CmsadmError) return `! ${error.code}`;
    throw error;
  }
}

test.each([
  [{ kind: 'number', least: 1, most: 10 }, '0', '"0" is not accepted. Type a number from 1 to 10.'],
  [{ kind: 'one of', words: ['7.x', '8.x'] }, '9.x', '"9.x" is not accepted. Type one of 7.x, 8.x.'],
  [{ kind: 'name' }, 'nörth', '"nörth" holds what is no plain character. Type 1 to 20 letters without accents'],
  [{ kind: 'name' }, 'a'.repeat(21), `"${'a'.repeat(21)}" is longer than 20 characters.`],
  [{ kind: 'name' }, ' ', 'Nothing was typed. Type 1 to 20'],
] as const)('an answer to %j is refused for the right reason, told once: %s', (rule, typed, told) => {
  try {
    ruled(rule, typed);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return expect(`${error.message} ${error.remedy}`).toContain(told);
  }
  throw new Error('it is accepted');
});

describe('the questions about an ACD', () => {
  test('come in the order of the original, with its ranges and defaults', () => {
    const one = {
      'disconnect-supervision': 'n',
      dual: 'y',
      'survivable-host': 'ess',
      shifts: '1',
      'split-members': '900',
    };
    const asked = all.filter(({ when }) => when?.(one) ?? true);
    expect(
      asked.map((q) => `${q.text}${ruleText(ruleOf(q, one))}${q.preset === undefined ? '' : ` [${q.preset}]`}`),
    ).toEqual([
      'Switch name',
      'Switch release (7.x, 8.x, 10.x)',
      'Vectoring (y/n)',
      'Expert Agent Selection (y/n)',
      'Does the central office have disconnect supervision (y/n) [y]',
      'Phantom-abandon call timer, seconds (1-10)',
      'Local port (1-64)',
      'Remote port (1-64)',
      'Transport (TCP/IP) [TCP/IP]',
      'Switch host name or IP address',
      'TCP port (5001-5999) [5001]',
      'Survivable host name or IP address, or none',
      'TCP port of the survivable host (5001-5999) [5001]',
      'Splits/skills (0-8000) [350]',
      'Total split/skill members (0-5000)',
      'Shifts (1-4) [1]',
      'Shift 1: start [8:00 AM]',
      'Shift 1: stop [5:00 PM]',
      'Shift 1: agents logged in (0-900)',
      'Trunk groups (0-2000) [350]',
      'Trunks (0-24000) [1000]',
      'Unmeasured facilities (0-12000) [500]',
      'Call work codes (1-1999) [750]',
      'Vectors (0-8000) [350]',
      'VDNs (0-30000) [2000]',
    ]);
  });

  test('ask for a second address only with its package, for a timer only without supervision, and for each shift', () => {
    const keys = (answers: Answers): string[] => all.filter(({ when }) => when?.(answers)).map(({ key }) => key);
    expect(keys({ shifts: '1' })).toEqual(['shift-1-start', 'shift-1-stop', 'shift-1-agents']);
    expect(keys({ shifts: '4' })).toHaveLength(12);
    expect(keys({ dual: 'y' })).toEqual(['survivable-host']);
    expect(keys({ dual: 'y', 'survivable-host': 'none' })).toEqual(['survivable-host']);
    expect(keys({ 'disconnect-supervision': 'y' })).toEqual([]);
    expect(keys({ 'disconnect-supervision': 'n' })).toEqual(['phantom-abandon']);
  });

  test('take the ends of every range, and nothing beyond', () => {
    for (const question of all) {
      const rule = ruleOf(question, { 'split-members': '7' });
      if (rule.kind !== 'number') continue;
      const { least, most } = rule;
      expect(
        [least, most].map((n) => checked(rule, String(n))),
        question.key,
      ).toEqual([String(least), String(most)]);
      for (const wrong of [String(least - 1), String(most + 1), '', '1.5', '1e2', '0x10', '01', `${most} `.repeat(2)])
        expect(checked(rule, wrong), `${question.key}: ${wrong}`).toBe('! answer-refused');
    }
  });

  test.each([
    ['host', 'switch-1.example.com', 'switch-1.example.com'],
    ['host', '10.1.1.1', '10.1.1.1'],
    ['host', 'fd00::1', 'fd00::1'],
    ['host', '10.1.1', '! answer-refused'],
    ['host', '10.1.1.256', '! answer-refused'],
    ['host', 'none', 'none'],
    ['host', '', '! answer-refused'],
    ['host', '$(reboot)', '! answer-refused'],
    ['host', '-oProxy', '! answer-refused'],
    ['host', 'a b', '! answer-refused'],
    ['host or none', 'none', 'none'],
    ['host or none', '', '! answer-refused'],
    ['name', 'North 1', 'North 1'],
    ['name', 'x'.repeat(20), 'x'.repeat(20)],
    ['name', 'x'.repeat(21), '! answer-refused'],
    ['name', 'Zürich', '! answer-refused'],
    ['name', '\u001b[2J', '! answer-refused'],
    ['name', '   ', '! answer-refused'],
    ['time', '8:00 am', '8:00 AM'],
    ['time', '12:59PM', '12:59 PM'],
    ['time', '0:30 AM', '! answer-refused'],
    ['time', '13:00 PM', '! answer-refused'],
    ['time', '8:60 AM', '! answer-refused'],
    ['time', '17:00', '! answer-refused'],
    ['yes or no', 'y', 'y'],
    ['yes or no', 'yes', '! answer-refused'],
    ['yes or no', '', '! answer-refused'],
  ] as const)('%s: %j is %s', (kind, typed, expected) => {
    expect(checked({ kind }, typed)).toBe(expected);
  });

  test('one of several words may be typed in any case', () => {
    const rule: Rule = { kind: 'one of', words: ['TCP/IP'] };
    expect([checked(rule, 'tcp/ip'), checked(rule, 'X.25')]).toEqual(['TCP/IP', '! answer-refused']);
  });
});
