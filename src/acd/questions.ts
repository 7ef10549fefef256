import type { Rule } from './rules.ts';

/** Releases of a switch. */
export const releases = ['7.x', '8.x', '10.x'] as const;

/** Answers by their key. */
export type Answers = Readonly<Record<string, string | undefined>>;

/** What the licence and the profile allow. */
export type Limits = {
  /** Most ACDs. */
  readonly acds: number;
  /** Most split/skill members of one ACD. */
  readonly members: number;
};

/** One question about an ACD. Its key is the flag, and the key of the answers file. */
export type AcdQuestion = {
  readonly key: string;
  readonly text: string;
  readonly help: string;
  readonly rule: Rule | ((limits: Limits, answers: Answers) => Rule);
  readonly preset?: string;
  /** Asked only where this holds for the answers so far. */
  readonly when?: (answers: Answers) => boolean;
};

const number = (least: number, most: number): Rule => ({ kind: 'number', least, most });
const yesOrNo: Rule = { kind: 'yes or no' };

const counted = (key: string, text: string, most: number, preset: number, least = 0): AcdQuestion => ({
  key,
  text,
  help: `${text.toLowerCase()}, ${least} to ${most} (${preset})`,
  rule: number(least, most),
  preset: String(preset),
});

/** What is asked before the links. */
const switchQuestions: readonly AcdQuestion[] = [
  {
    key: 'switch-name',
    text: 'Switch name',
    help: 'name of the switch, at most 20 characters',
    rule: { kind: 'name' },
  },
  {
    key: 'release',
    text: 'Switch release',
    help: `release of the switch: ${releases.join(', ')}`,
    rule: { kind: 'one of', words: releases },
  },
  { key: 'vectoring', text: 'Vectoring', help: 'vectoring, y or n', rule: yesOrNo },
  { key: 'eas', text: 'Expert Agent Selection', help: 'Expert Agent Selection, y or n', rule: yesOrNo },
  {
    key: 'disconnect-supervision',
    text: 'Does the central office have disconnect supervision',
    help: 'disconnect supervision of the central office, y or n (y)',
    rule: yesOrNo,
    preset: 'y',
  },
  {
    key: 'phantom-abandon',
    text: 'Phantom-abandon call timer, seconds',
    help: 'phantom-abandon call timer, 1 to 10 seconds; without disconnect supervision',
    rule: number(1, 10),
    when: (answers) => answers['disconnect-supervision'] === 'n',
  },
];

/** What is asked of each server's own link; `dual` where the package for two addresses is installed. */
const linkQuestions: readonly AcdQuestion[] = [
  { key: 'local-port', text: 'Local port', help: 'local port, 1 to 64', rule: number(1, 64) },
  { key: 'remote-port', text: 'Remote port', help: 'remote port, 1 to 64', rule: number(1, 64) },
  {
    key: 'transport',
    text: 'Transport',
    help: 'transport: TCP/IP',
    rule: { kind: 'one of', words: ['TCP/IP'] },
    preset: 'TCP/IP',
  },
  {
    key: 'host',
    text: 'Switch host name or IP address',
    help: 'host name or IP address of the switch',
    rule: { kind: 'host' },
  },
  {
    key: 'port',
    text: 'TCP port',
    help: 'TCP port of the switch, 5001 to 5999 (5001)',
    rule: number(5001, 5999),
    preset: '5001',
  },
  {
    key: 'survivable-host',
    text: 'Survivable host name or IP address, or none',
    help: 'host name or IP address of the survivable server of the switch, or none',
    rule: { kind: 'host or none' },
    when: (answers) => answers['dual'] === 'y',
  },
  {
    key: 'survivable-port',
    text: 'TCP port of the survivable host',
    help: 'its TCP port, 5001 to 5999 (5001)',
    rule: number(5001, 5999),
    preset: '5001',
    when: (answers) => answers['dual'] === 'y' && (answers['survivable-host'] ?? 'none') !== 'none',
  },
];

const shifts = [1, 2, 3, 4] as const;

const shiftQuestions: readonly AcdQuestion[] = shifts.flatMap((shift): AcdQuestion[] => {
  const when = (answers: Answers): boolean => Number(answers['shifts']) >= shift;
  const time: Rule = { kind: 'time' };
  return [
    {
      key: `shift-${shift}-start`,
      text: `Shift ${shift}: start`,
      help: `start of shift ${shift} (8:00 AM)`,
      rule: time,
      preset: '8:00 AM',
      when,
    },
    {
      key: `shift-${shift}-stop`,
      text: `Shift ${shift}: stop`,
      help: `stop of shift ${shift} (5:00 PM)`,
      rule: time,
      preset: '5:00 PM',
      when,
    },
    {
      key: `shift-${shift}-agents`,
      text: `Shift ${shift}: agents logged in`,
      help: `agents logged in in shift ${shift}, at most all split/skill members`,
      rule: (_limits, answers) => number(0, Number(answers['split-members'] ?? 0)),
      when,
    },
  ];
});

/** What is asked after the links. */
const sizeQuestions: readonly AcdQuestion[] = [
  counted('splits', 'Splits/skills', 8000, 350),
  {
    key: 'split-members',
    text: 'Total split/skill members',
    help: 'split/skill members of all splits together, at most what is licensed',
    rule: ({ members }) => number(0, members),
  },
  counted('shifts', 'Shifts', 4, 1, 1),
  ...shiftQuestions,
  counted('trunk-groups', 'Trunk groups', 2000, 350),
  counted('trunks', 'Trunks', 24_000, 1000),
  counted('unmeasured', 'Unmeasured facilities', 12_000, 500),
  counted('call-work-codes', 'Call work codes', 1999, 750, 1),
  counted('vectors', 'Vectors', 8000, 350),
  counted('vdns', 'VDNs', 30_000, 2000),
];

/** All questions in their order; the links stand between the two parts. */
export const acdQuestions = { before: switchQuestions, link: linkQuestions, after: sizeQuestions } as const;
