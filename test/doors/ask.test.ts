import { PassThrough, Readable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { linesAsker, terminalAsker } from '../../src/ask.ts';
import { numberedChoice } from '../../src/choice.ts';
import { CmsadmError } from '../../src/errors.ts';
import type { Asker } from '../../src/report.ts';
import { textSink } from './text-sink.ts';

const checkAddress = async (answer: string): Promise<string> => {
  if (answer === 'bug') throw new TypeError('a bug');
  if (!/^[\d.]+$/.test(answer)) throw new CmsadmError('not-an-address', `"${answer}" is not an address.`);
  return `<${answer}>`;
};
const address = { text: 'NTP server IP', check: checkAddress };

type Case = {
  readonly name: string;
  readonly ask: (asker: Asker) => Promise<unknown>;
  readonly lines: readonly string[];
  readonly gives: unknown;
  /** What stands on the screen afterwards, without the answers' echo. */
  readonly says: readonly string[];
};

const cases: readonly Case[] = [
  {
    name: 'gives what the check makes of the answer',
    ask: (asker) => asker.text(address),
    lines: ['10.0.0.1'],
    gives: '<10.0.0.1>',
    says: ['NTP server IP:'],
  },
  {
    name: 'takes the preset for an empty answer, and checks it too',
    ask: (asker) => asker.text({ ...address, preset: '10.0.0.9' }),
    lines: [''],
    gives: '<10.0.0.9>',
    says: ['NTP server IP (default: 10.0.0.9):'],
  },
  {
    name: 'says in one line why an answer is not accepted, and asks again',
    ask: (asker) => asker.text(address),
    lines: ['here', '', '10.0.0.1'],
    gives: '<10.0.0.1>',
    says: ['NTP server IP:', '"here" is not an address.', 'NTP server IP:', '"" is not an address.', 'NTP server IP:'],
  },
  {
    name: 'matches keys strictly',
    ask: (asker) => asker.choose('Proceed? (y/n, d shows the diffs):', ['y', 'n', 'd']),
    lines: ['x', 'Y', 'yes', '', ' d '],
    gives: 'd',
    says: [
      'Proceed? (y/n, d shows the diffs):',
      '"x" is none of y, n, d.',
      '"Y" is none',
      '"yes" is none',
      'Nothing was typed',
    ],
  },
  {
    name: 'asks for numbers until one is in the list',
    ask: (asker) => numberedChoice(asker, 'Enter choice', 12),
    lines: ['2abc', '13', '12'],
    gives: 12,
    says: [
      'Enter choice (1-12) or q to quit:',
      '"2abc" is no choice',
      'Enter choice',
      '"13" is no choice',
      'Enter choice',
    ],
  },
  {
    name: 'asks many questions in one run',
    ask: async (asker) => {
      const given: string[] = [];
      for (let i = 0; i < 15; i += 1)
        given.push(await asker.text({ text: `Question ${i}`, check: (answer) => answer }));
      return given.join(' ');
    },
    lines: Array.from({ length: 15 }, (_, i) => `answer${i}`),
    gives: Array.from({ length: 15 }, (_, i) => `answer${i}`).join(' '),
    says: ['Question 0:', 'Question 14:'],
  },
  {
    name: 'shows what a question holds of control characters',
    ask: (asker) => asker.text({ text: 'Name of \u001b[2J', preset: 'a\u0007', check: (answer) => answer }),
    lines: [''],
    gives: 'a\u0007',
    says: ['Name of \\x1b[2J (default: a\\x07):'],
  },
];

const expectInOrder = (text: string, parts: readonly string[]): void => {
  let from = 0;
  for (const part of parts) {
    const found = text.indexOf(part, from);
    expect(found, `"${part}" behind column ${from} of ${text}`).toBeGreaterThanOrEqual(0);
    from = found + part.length;
  }
};

describe('linesAsker', () => {
  it.each(cases)('$name', async ({ ask, lines, gives, says }) => {
    const { stream, text } = textSink();
    expect(await ask(linesAsker(Readable.from([lines.map((line) => `${line}\n`).join('')]), stream))).toBe(gives);
    expectInOrder(text(), says);
  });

  it('reads like a session: each question with its answer, secrets without', async () => {
    const { stream, text } = textSink();
    const asker = linesAsker(Readable.from(['10.0.0.1\nopen sesame\ny']), stream);
    await asker.text(address);
    expect(await asker.secret('Password of root:')).toBe('open sesame');
    expect(await asker.choose('Proceed? (y/n)', ['y', 'n'])).toBe('y');
    expect(text()).toBe('NTP server IP: 10.0.0.1\nPassword of root: \nProceed? (y/n): y\n');
  });

  it.each([
    ['nothing at all', [], 0],
    ['one answer less', ['10.0.0.1\n'], 1],
    ['answers that are all refused', ['a\nb\nc\n'], 0],
  ])('throws at the end of input: %s', async (_, chunks, good) => {
    const asker = linesAsker(Readable.from(chunks), textSink().stream);
    for (let i = 0; i < good; i += 1) await asker.text(address);
    const error = expect.objectContaining({
      code: 'input-ended',
      exitCode: 64,
      message: expect.stringContaining('NTP server IP:'),
      remedy: expect.stringMatching(/./),
    });
    await expect(asker.text(address)).rejects.toThrowError(error);
    await expect(asker.text(address)).rejects.toThrowError(error);
  });

  it('never takes the preset for the end of input', async () => {
    const asker = linesAsker(Readable.from([]), textSink().stream);
    await expect(asker.text({ ...address, preset: '10.0.0.9' })).rejects.toThrowError(
      expect.objectContaining({ code: 'input-ended' }),
    );
  });

  it('takes lines that come late and in pieces', async () => {
    const input = new PassThrough();
    const asker = linesAsker(input, textSink().stream);
    const first = asker.text(address);
    input.write('10.0');
    setTimeout(() => input.write('.0.1\r\n10.0.0.2\n'), 20);
    expect(await first).toBe('<10.0.0.1>');
    expect(await asker.text(address)).toBe('<10.0.0.2>');
  });

  it('reads nothing until it asks, and stops reading behind the answer', async () => {
    const input = new PassThrough();
    const asker = linesAsker(input, textSink().stream);
    expect(input.readableFlowing).toBeNull();
    const asked = asker.text(address);
    input.write('10.0.0.1\n');
    await asked;
    expect(input.isPaused()).toBe(true);
  });

  it('keeps the program running while it waits for a line, not otherwise', async () => {
    const held: boolean[] = [];
    const input = Object.assign(new PassThrough(), { ref: () => held.push(true), unref: () => held.push(false) });
    const asked = linesAsker(input, textSink().stream).text(address);
    expect(held).toEqual([true]);
    input.write('10.0.0.1\n');
    await asked;
    expect(held).toEqual([true, false]);
  });

  it('lets a bug in a check through', async () => {
    await expect(linesAsker(Readable.from(['bug\n']), textSink().stream).text(address)).rejects.toThrowError(TypeError);
  });

  it('takes no password where the terminal would show it', async () => {
    const input = Object.assign(new PassThrough(), { isTTY: true });
    input.write('open sesame\n');
    await expect(linesAsker(input, textSink().stream).secret('Password')).rejects.toThrowError(
      expect.objectContaining({ code: 'secret-echoed' }),
    );
  });
});

/** Types each line when the program has asked, as a person would; `end` closes the input then. */
function typist(lines: readonly string[]): {
  readonly input: PassThrough;
  readonly output: PassThrough;
  readonly text: () => string;
} {
  const input = new PassThrough();
  // Like standard output, it can't be ended.
  const output: PassThrough = Object.assign(new PassThrough(), { end: () => output });
  const left = [...lines];
  let shown = '';
  let fresh = '';
  output.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
    fresh += stripVTControlCharacters(chunk.toString());
    if (!/:\s*$/.test(fresh)) return;
    fresh = '';
    const next = left.shift();
    if (next !== undefined) setTimeout(() => input.write(next), 5);
  });
  return { input, output, text: () => shown };
}

const terminal = { TERM: 'xterm' };

describe('terminalAsker', () => {
  it.each(cases)('$name', async ({ ask, lines, gives, says }) => {
    const { input, output, text } = typist(lines.map((line) => `${line}\r`));
    expect(await ask(terminalAsker({ input, output }, terminal))).toBe(gives);
    expectInOrder(stripVTControlCharacters(text()), says);
  });

  it('never shows a password', async () => {
    const { input, output, text } = typist(['open sesame\r']);
    expect(await terminalAsker({ input, output }, terminal).secret('Password of root')).toBe('open sesame');
    expect(text()).toContain('***');
    expect(text()).not.toMatch(/o.*p.*e.*n.*s.*e.*s/s);
  });

  it.each([
    ['Ctrl-C', '\u0003', 'interrupted', 130],
    ['Ctrl-C behind some letters', 'abc\u0003', 'interrupted', 130],
    ['Ctrl-D', '\u0004', 'input-ended', 64],
  ])('ends on %s with an error of its own', async (_, typed, code, exitCode) => {
    const { input, output } = typist([typed]);
    const asker = terminalAsker({ input, output }, terminal);
    await expect(asker.text({ ...address, preset: '10.0.0.9' })).rejects.toThrowError(
      expect.objectContaining({ code, exitCode, remedy: expect.stringMatching(/./) }),
    );
  });

  it('ends with an error when the terminal goes away', async () => {
    const { input, output } = typist([]);
    setTimeout(() => input.end(), 100);
    await expect(terminalAsker({ input, output }, terminal).secret('Password')).rejects.toThrowError(
      expect.objectContaining({ code: 'input-ended' }),
    );
  });

  it('can be asked again after an interruption', async () => {
    const { input, output } = typist(['\u0003', '10.0.0.1\r']);
    const asker = terminalAsker({ input, output }, terminal);
    await expect(asker.text(address)).rejects.toThrowError();
    expect(await asker.text(address)).toBe('<10.0.0.1>');
  });

  it('lets a bug in a check through', async () => {
    const { input, output } = typist(['bug\r']);
    await expect(terminalAsker({ input, output }, terminal).text(address)).rejects.toThrowError(TypeError);
  });

  it('shows no colours with NO_COLOR', async () => {
    const colour = (text: string) => text.split('\u001b[').filter((part) => /^\d+(;\d+)*m/.test(part)).length;
    const counts = [];
    for (const environment of [terminal, { ...terminal, NO_COLOR: '1' }]) {
      const { input, output, text } = typist(['x\r', '10.0.0.1\r']);
      await terminalAsker({ input, output }, environment).text(address);
      counts.push(colour(text()));
    }
    expect(counts).toEqual([expect.toSatisfy((count: number) => count > 0), 0]);
  });

  it('breaks a long reason at the width of the terminal', async () => {
    const { input, output, text } = typist(['x\r', '10.0.0.1\r']);
    const reason = 'the servers must reach each other directly, '.repeat(4).trimEnd();
    const check = async (answer: string): Promise<string> => {
      if (answer === 'x') throw new CmsadmError('not-an-address', reason);
      return answer;
    };
    await terminalAsker({ input, output: Object.assign(output, { columns: 60 }) }, terminal).text({
      text: 'IP',
      check,
    });
    const reasonLines = stripVTControlCharacters(text())
      .split('\n')
      .filter((line) => line.includes('reach') || line.includes('directly'));
    expect(reasonLines.length).toBeGreaterThan(1);
    for (const line of reasonLines) expect(line.length).toBeLessThanOrEqual(60);
  });

  it('writes plain lines on a dumb terminal', async () => {
    const { input, output, text } = typist(['10.0.0.1\n']);
    expect(await terminalAsker({ input, output }, { TERM: 'dumb' }).text(address)).toBe('<10.0.0.1>');
    expect(text()).not.toContain('\u001b');
  });
});
