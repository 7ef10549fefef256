import type { Writable } from 'node:stream';
import { CmsadmError } from '../errors.ts';
import { cut, printable, wrap } from '../printable.ts';
import type { Report } from '../report.ts';
import { failureLines, failureValue } from './failure.ts';
import { makeOutlet } from './outlet.ts';
import { isDumb, makePaint, type Paint, wantsColour } from './paint.ts';
import { screenLines } from './screens.ts';
import { makeSpinner } from './spinner.ts';

export type RenderOptions = {
  /** Standard output. */
  readonly stream: Writable;
  /** Standard error. */
  readonly errors: Writable;
  /** `terminal`: colours and a spinner. `plain`: lines without escape codes. `json`: one object on `stream`, all else on `errors`. */
  readonly mode: 'terminal' | 'plain' | 'json';
  readonly width: number;
  /** How many rows the terminal has at this moment. */
  readonly rows?: () => number;
  /** Where `NO_COLOR` and `TERM` are looked up. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Hears that standard output is broken; a reader who has gone is no such thing. */
  readonly onLost?: () => void;
};

/** A report, and what only the doors say through it. */
export type Renderer = Report & {
  /** True once a live screen was shown: it goes on until somebody ends it. */
  isLive(): boolean;
  /** Ends a spinner that still turns. */
  stop(): void;
  /** The outcome as a value: in JSON mode the one object on standard output, else nothing. */
  result(value: unknown): void;
  /** Tells an error: a `CmsadmError` with its remedy, anything else as a bug with its stack; a program also gets `more`. */
  failure(error: unknown, more?: Readonly<Record<string, unknown>>): void;
};

/** The one renderer: turns what commands report into a terminal's, plain or JSON lines. */
export function makeReport(options: RenderOptions): Renderer {
  const { stream, errors, mode, rows = () => 24, environment = process.env, onLost = () => {} } = options;
  // A terminal that does not know its size says 0.
  const width = options.width >= 20 ? options.width : 80;
  const isJson = mode === 'json';
  const coloured = mode === 'terminal' && wantsColour(environment);
  const spins = mode === 'terminal' && !isDumb(environment);
  const paint = makePaint(coloured);
  // Standard error may be a file while standard output is a terminal.
  const errorPaint = makePaint(coloured && 'isTTY' in errors && errors.isTTY === true);
  const errorOutlet = makeOutlet(errors, () => undefined);
  const outlet = makeOutlet(stream, (reason) => {
    errorOutlet.write(`ERROR: standard output is lost: ${reason}\n`);
    onLost();
  });
  const spinner = makeSpinner(stream, coloured);
  const running = new Set<RunningStep>();
  // The step that the spinner shows: one spinner at a time, and only while nothing overlaps.
  let alone: RunningStep | undefined;
  let isResultTold = false;
  /** Rows of the screen that the next live one takes the place of. */
  let liveRows = 0;
  let isLive = false;

  /** Writes past the spinner, which goes on below. */
  const write = (to: 'out' | 'errors', lines: readonly string[]): void => {
    spinner.stop();
    liveRows = 0;
    (to === 'errors' || isJson ? errorOutlet : outlet).write(lines.map((line) => `${line}\n`).join(''));
    if (alone) spinner.start(cut(printable(alone.text), width - 3)[0] ?? '');
  };

  const stop = (): void => {
    running.clear();
    alone = undefined;
    spinner.stop();
  };

  const tellResult = (value: unknown): void => {
    if (isResultTold) throw new Error('a second result of one run');
    isResultTold = true;
    outlet.write(`${jsonLine(value)}\n`);
  };

  return {
    step: (text) => {
      const step = { text };
      const isSpun = spins && running.size === 0;
      const begun = isSpun ? [] : alone ? [alone, step] : [step];
      running.add(step);
      alone = isSpun ? step : undefined;
      write(
        'out',
        begun.flatMap((one) => wrap(`${one.text} ...`, width, '', '  ')),
      );
      return (outcome) => {
        if (!running.delete(step)) return;
        if (alone === step) alone = undefined;
        write('out', endLines(text, outcome, width, paint));
      };
    },
    progress: (text) => {
      if (alone) spinner.start(cut(printable(text), width - 3)[0] ?? '');
    },
    line: (text) => write('out', wrap(text, width, '', '  ')),
    warn: (text) => write('errors', wrap(text, width, 'WARNING: ').map(errorPaint.warning)),
    show: (screen) => {
      if (!isJson) write('out', ['', ...screenLines(screen, { width, paint })]);
    },
    live: (screen) => {
      isLive = true;
      const lines = screenLines(screen, { width, paint });
      if (!spins) {
        write('out', ['', ...lines]);
        return !(isJson ? errorOutlet : outlet).isLost();
      }
      // What has left the screen at its top can't be written again: cut to its rows.
      const seen = lines.slice(0, Math.max(1, rows() - 1));
      // CSI A: up so many rows; CSI J: clear from there on (ECMA-48).
      outlet.write(`${liveRows === 0 ? '' : `\x1b[${liveRows}A\x1b[J`}${seen.map((line) => `${line}\n`).join('')}`);
      liveRows = seen.length;
      return !outlet.isLost();
    },
    isLive: () => isLive,
    stop,
    result: (value) => {
      if (isJson) tellResult(value);
    },
    failure: (error, more = {}) => {
      stop();
      const isValue = isJson && !isResultTold;
      // The stack of a bug is for a person, also when a program reads the rest.
      if (!isValue || !(error instanceof CmsadmError))
        write(
          'errors',
          failureLines(error, width).map((line, index) => (index === 0 ? errorPaint.bad(line) : line)),
        );
      if (isValue) tellResult({ ...more, ...failureValue(error) });
    },
  };
}

type RunningStep = { readonly text: string };

function endLines(text: string, outcome: 'done' | 'failed', width: number, paint: Paint): string[] {
  const [word, colour] = outcome === 'done' ? (['done', paint.good] as const) : (['FAILED', paint.bad] as const);
  const lines = wrap(`${text}: ${word}`, width, '', '  ');
  // The word ends the last line, however the text was laid out.
  return lines.map((line, index) =>
    index === lines.length - 1 ? `${line.slice(0, -word.length)}${colour(word)}` : line,
  );
}

// JSON leaves these as they are, but a terminal would obey them.
const obeyed = /[\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const jsonLine = (value: unknown): string =>
  JSON.stringify(value ?? null).replace(
    obeyed,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
