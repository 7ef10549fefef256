import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { makeReport, type RenderOptions } from '../../src/screen/render.ts';
import { sampleScreens } from './sample-screens.ts';
import { textSink } from './text-sink.ts';

function reportTo(options: Pick<RenderOptions, 'mode'> & Partial<RenderOptions>) {
  const out = textSink();
  const err = textSink();
  const report = makeReport({
    stream: out.stream,
    errors: err.stream,
    width: 80,
    environment: { TERM: 'xterm' },
    ...options,
  });
  return { report, out: out.text, err: err.text };
}

const failure = new CmsadmError('host-key-changed', 'The host key of the peer is another one now.', {
  server: 'cms2.example.com',
  file: '/root/.ssh/known_hosts',
  details: ['pinned: SHA256:aaa', 'shown: SHA256:bbb'],
  remedy: 'Compare at its console.',
});

/** Everything that a run may tell, in one go. */
function tellAll({ report }: ReturnType<typeof reportTo>): void {
  const end = report.step('Reading facts');
  report.line('The program runs from /tmp/x.');
  end('done');
  const first = report.step('Staging on cms1');
  const second = report.step('Staging on cms2');
  second('failed');
  first('done');
  report.warn('The clocks differ.');
  for (const screen of Object.values(sampleScreens)) report.show(screen);
}

describe('plain mode', () => {
  it('writes one line where a step begins and one where it ends', () => {
    const told = reportTo({ mode: 'plain' });
    const end = told.report.step('Reading facts');
    expect(told.out()).toBe('Reading facts ...\n');
    told.report.line('a line in between');
    end('done');
    told.report.step('Staging')('failed');
    expect(told.out().split('\n').slice(1)).toEqual([
      'a line in between',
      'Reading facts: done',
      'Staging ...',
      'Staging: FAILED',
      '',
    ]);
  });

  it('ends a step once', () => {
    const told = reportTo({ mode: 'plain' });
    const end = told.report.step('Staging');
    end('failed');
    end('done');
    expect(told.out()).toBe('Staging ...\nStaging: FAILED\n');
  });

  it('writes no escape code and no line over 80 columns', () => {
    const told = reportTo({ mode: 'plain' });
    tellAll(told);
    told.report.line(`hostile \u001b[2J ${'word '.repeat(40)}`);
    told.report.failure(failure);
    const text = told.out() + told.err();
    expect(text).toContain('hostile \\x1b[2J');
    expect(text).not.toMatch(/[^\P{Cc}\n]/u);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('warns on standard error, and prints no result', () => {
    const told = reportTo({ mode: 'plain' });
    told.report.warn('The clocks differ.');
    told.report.result({ exitCode: 0 });
    expect([told.out(), told.err()]).toEqual(['', 'WARNING: The clocks differ.\n']);
  });

  it('takes 80 columns where the width is not known', () => {
    const told = reportTo({ mode: 'plain', width: 0 });
    told.report.line('x'.repeat(100));
    expect(told.out()).toBe(`${'x'.repeat(80)}\n  ${'x'.repeat(20)}\n`);
  });
});

describe('a failure', () => {
  it('tells where, every detail, and what to do next', () => {
    const told = reportTo({ mode: 'plain' });
    told.report.failure(failure);
    expect(told.out()).toBe('');
    expect(told.err().split('\n')).toEqual([
      'ERROR: The host key of the peer is another one now.',
      '  on cms2.example.com, /root/.ssh/known_hosts',
      '  - pinned: SHA256:aaa',
      '  - shown: SHA256:bbb',
      '  Next: Compare at its console.',
      '',
    ]);
  });

  it('says no more than there is to say', () => {
    const told = reportTo({ mode: 'plain' });
    told.report.failure(new CmsadmError('x', 'It failed.'));
    expect(told.err()).toBe('ERROR: It failed.\n');
  });

  it.each([
    ['an error', new TypeError('x is not a function'), /TypeError: x is not a function\n {4}at /],
    ['anything else that is thrown', 'a string', /a string/],
  ])('that is a bug shows %s, with its stack, and asks for a report', (_, error, shown) => {
    const told = reportTo({ mode: 'plain' });
    told.report.failure(error);
    expect(told.err()).toMatch(/^ERROR: .*\(a bug\)/);
    expect(told.err()).toMatch(shown);
    expect(told.err()).toMatch(/Next: report it/);
  });
});

describe('JSON mode', () => {
  it('prints exactly one object on standard output, and all else as lines on standard error', () => {
    const told = reportTo({ mode: 'json' });
    tellAll(told);
    told.report.result({ exitCode: exitCodes.done, tag: 'zdt_1_1700000000' });
    expect(told.out()).toBe('{"exitCode":0,"tag":"zdt_1_1700000000"}\n');
    expect(told.err().split('\n')).toEqual([
      'Reading facts ...',
      'The program runs from /tmp/x.',
      'Reading facts: done',
      'Staging on cms1 ...',
      'Staging on cms2 ...',
      'Staging on cms2: FAILED',
      'Staging on cms1: done',
      'WARNING: The clocks differ.',
      '',
    ]);
  });

  it('prints an error as the object, with all its facts', () => {
    const told = reportTo({ mode: 'json' });
    told.report.failure(failure);
    expect(JSON.parse(told.out())).toEqual({
      error: {
        code: 'host-key-changed',
        message: 'The host key of the peer is another one now.',
        server: 'cms2.example.com',
        file: '/root/.ssh/known_hosts',
        details: ['pinned: SHA256:aaa', 'shown: SHA256:bbb'],
        remedy: 'Compare at its console.',
        exitCode: 3,
      },
    });
    expect(told.err()).toBe('');
  });

  it('prints a bug as the object, and its stack for a person', () => {
    const told = reportTo({ mode: 'json' });
    told.report.failure(new TypeError('x is not a function'));
    expect(JSON.parse(told.out())).toMatchObject({ error: { code: 'bug', server: null, remedy: null, exitCode: 70 } });
    expect(told.err()).toMatch(/ {4}at /);
  });

  it('keeps to one object when something fails behind the result', () => {
    const told = reportTo({ mode: 'json' });
    told.report.result({ exitCode: 0 });
    told.report.failure(failure);
    expect(told.out()).toBe('{"exitCode":0}\n');
    expect(told.err()).toMatch(/^ERROR: The host key/);
    expect(() => told.report.result({ exitCode: 0 })).toThrowError('second result');
  });

  it('escapes what a terminal would obey', () => {
    const told = reportTo({ mode: 'json' });
    const value = { text: 'a\u001b[2J\u009b1m\u202e\n' };
    told.report.result(value);
    expect(told.out().trimEnd()).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(JSON.parse(told.out())).toEqual(value);
  });
});

/** A stream that says it is a terminal, and keeps what is written to it. */
function terminalSink() {
  const { stream, text } = textSink();
  const codes = {
    isTTY: true,
    columns: 80,
    rows: 24,
    cursorTo: () => stream.write('\u001b[G'),
    moveCursor: () => stream.write('\u001b[A'),
    clearLine: () => stream.write('\u001b[K'),
  };
  return { stream: Object.assign(stream, codes), text };
}

/** The text with its escape character as a word, to be matched. */
const spelt = (text: string): string => text.replaceAll('\u001b', 'ESC');

/** Waits until the text appears, for the spinner is loaded when it is needed. */
async function appears(text: () => string, part: string | RegExp): Promise<void> {
  for (let i = 0; i < 400 && text().search(part) < 0; i += 1) await sleep(10);
  expect(text()).toMatch(part);
}

describe('terminal mode', () => {
  it('turns a spinner while one step runs, and leaves one line of it', async () => {
    const { stream, text } = terminalSink();
    const { report } = reportTo({ mode: 'terminal', stream });
    const end = report.step('Reading facts');
    await appears(text, 'Reading facts');
    end('done');
    expect(text().endsWith('\u001b[?25hReading facts: \u001b[32mdone\u001b[39m\n')).toBe(true);
    const shown = text();
    await sleep(300);
    expect(text()).toBe(shown);
  });

  it('stops the spinner before anything else is written, and goes on below', async () => {
    const { stream, text } = terminalSink();
    const { report } = reportTo({ mode: 'terminal', stream });
    const end = report.step('Reading facts');
    await appears(text, 'Reading facts');
    report.line('a line in between');
    // Cleared line, visible cursor, then the line.
    expect(spelt(text())).toMatch(/ESC\[KESC\[\?25ha line in between\n$/);
    await appears(text, /between\n[^\n]*Reading facts/);
    end('failed');
  });

  it('shows steps that overlap as lines', async () => {
    const { stream, text } = terminalSink();
    const { report } = reportTo({ mode: 'terminal', stream });
    const first = report.step('Staging on cms1');
    await appears(text, 'Staging on cms1');
    const second = report.step('Staging on cms2');
    const begun = text().length;
    await sleep(300);
    expect(text().length).toBe(begun);
    first('done');
    second('done');
    const lines = stripVTControlCharacters(text()).split('\n').slice(-5);
    expect(lines.map((line) => line.replace(/.*(?=Staging on cms1 \.\.\.)/, ''))).toEqual([
      'Staging on cms1 ...',
      'Staging on cms2 ...',
      'Staging on cms1: done',
      'Staging on cms2: done',
      '',
    ]);
  });

  it('ends the spinner when the run stops half-way', async () => {
    const { stream, text } = terminalSink();
    const { report } = reportTo({ mode: 'terminal', stream });
    report.step('Reading facts');
    await appears(text, 'Reading facts');
    report.stop();
    expect(text().endsWith('\u001b[?25h')).toBe(true);
    const shown = text();
    await sleep(300);
    expect(text()).toBe(shown);
  });

  it('paints, but not with NO_COLOR', () => {
    const told = reportTo({ mode: 'terminal' });
    const unpainted = reportTo({ mode: 'terminal', environment: { TERM: 'xterm', NO_COLOR: '1' } });
    for (const { report } of [told, unpainted]) {
      for (const screen of Object.values(sampleScreens)) report.show(screen);
      report.warn('The clocks differ.');
      report.failure(failure);
    }
    expect(unpainted.out() + unpainted.err()).not.toContain('\u001b');
    expect(told.out()).toContain('\u001b[31mFAIL\u001b[39m');
    expect(stripVTControlCharacters(told.out())).toBe(unpainted.out());
  });

  it('paints errors on a terminal, not in a file', () => {
    const errors = terminalSink();
    reportTo({ mode: 'terminal', errors: errors.stream }).report.failure(failure);
    expect(spelt(errors.text())).toMatch(/^ESC\[31mERROR: .*ESC\[39m\n/);
    const told = reportTo({ mode: 'terminal' });
    told.report.failure(failure);
    expect(stripVTControlCharacters(errors.text())).toBe(told.err());
  });

  it.each([{ NO_COLOR: '1', TERM: 'xterm' }, { TERM: 'dumb' }])(
    'sends no colour code to a terminal with %j',
    async (environment) => {
      const { stream, text } = terminalSink();
      const { report } = reportTo({ mode: 'terminal', stream, environment });
      const end = report.step('Reading facts');
      await appears(text, 'Reading facts');
      end('failed');
      expect(text()).toContain('Reading facts: FAILED\n');
      expect(spelt(text())).not.toMatch(/ESC\[\d+m/);
      if (environment.TERM === 'dumb') expect(text()).not.toContain('\u001b');
    },
  );
});

describe('a standard output that goes away', () => {
  const failing = (code: string): Writable =>
    new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error(`write ${code}`), { code })) });

  it.each([
    ['EPIPE', ''],
    ['ENOSPC', 'ERROR: standard output is lost: write ENOSPC\n'],
  ])('by %s does not stop the run', async (code, told) => {
    const { report, err } = reportTo({ mode: 'plain', stream: failing(code) });
    for (let i = 0; i < 3; i += 1) {
      report.line('text');
      await sleep(5);
    }
    report.warn('still here');
    expect(err()).toBe(`${told}WARNING: still here\n`);
  });
});

describe('a live screen', () => {
  const shown = (lines: number) => ({
    kind: 'differences' as const,
    sets: Array.from({ length: lines }, (_, index) => ({
      ...{ set: `set-${index}`, onlyHere: [], different: [], onlyThere: [], more: false },
    })),
  });

  it('takes the place of the last one on a terminal', () => {
    const told = reportTo({ mode: 'terminal', environment: { TERM: 'xterm', NO_COLOR: '1' } });
    expect(told.report.live(shown(2))).toBe(true);
    told.report.live(shown(1));
    expect(told.out()).toBe(
      'set-0: nothing differs\nset-1: nothing differs\n\u001b[2A\u001b[Jset-0: nothing differs\n',
    );
  });

  it('stands below what was written since', () => {
    const told = reportTo({ mode: 'terminal', environment: { TERM: 'xterm', NO_COLOR: '1' } });
    told.report.live(shown(1));
    told.report.line('a line');
    told.report.live(shown(1));
    expect(told.out()).toBe('set-0: nothing differs\na line\nset-0: nothing differs\n');
  });

  it('is cut to the rows of the terminal: what left it at the top can’t be written again', () => {
    const told = reportTo({ mode: 'terminal', rows: () => 4, environment: { TERM: 'xterm', NO_COLOR: '1' } });
    told.report.live(shown(9));
    expect(told.out().split('\n')).toHaveLength(4);
  });

  it.each([
    { mode: 'plain', environment: {} },
    { mode: 'terminal', environment: { TERM: 'dumb' } },
  ] as const)('is lines, one screen after the other, where nothing can be taken back: %j', (options) => {
    const told = reportTo(options);
    told.report.live(shown(1));
    told.report.live(shown(1));
    expect(stripVTControlCharacters(told.out())).toBe(told.out());
    expect(told.out()).toBe('\nset-0: nothing differs\n\nset-0: nothing differs\n');
  });

  it('says when nobody reads any more', async () => {
    const gone = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('gone'), { code: 'EPIPE' })),
    });
    const told = reportTo({ mode: 'plain', stream: gone });
    told.report.live(shown(1));
    await sleep(5);
    expect(told.report.live(shown(1))).toBe(false);
  });
});

it('progress changes the spinner’s text and writes no line', async () => {
  const told = reportTo({ mode: 'terminal' });
  const end = told.report.step('Comparing');
  told.report.progress('Comparing: 30 %');
  await expect.poll(told.out).toContain('Comparing: 30 %');
  end('done');
  const plain = reportTo({ mode: 'plain' });
  const endPlain = plain.report.step('Comparing');
  plain.report.progress('Comparing: 30 %');
  endPlain('done');
  plain.report.progress('too late');
  expect(plain.out()).toBe('Comparing ...\nComparing: done\n');
});
