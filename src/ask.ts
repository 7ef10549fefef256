import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { quoted } from './choice.ts';
import { CmsadmError, exitCodes } from './errors.ts';
import { printable, wrap } from './printable.ts';
import type { Asker, Question } from './report.ts';
import { isDumb, makePaint, wantsColour } from './screen/paint.ts';

/** `question (default: v):`, or `question:`; a question's own `:` or `?` is not doubled. */
function grammar(text: string, preset?: string): string {
  const question = printable(text.trimEnd());
  if (preset !== undefined && preset !== '') return `${question.replace(/:$/, '')} (default: ${printable(preset)}):`;
  return /[:?]$/.test(question) ? question : `${question}:`;
}

/**
 * Asks until an answer is accepted; of another, one line says why. `take` asks once, `tell` writes that line.
 * What `check` throws besides a CmsadmError is a bug and goes on up.
 */
async function untilAccepted(
  question: Question,
  take: () => Promise<string>,
  tell: (why: string) => void,
): Promise<string> {
  for (;;) {
    const typed = await take();
    try {
      return await question.check(typed === '' ? (question.preset ?? '') : typed);
    } catch (error) {
      if (!(error instanceof CmsadmError)) throw error;
      tell(
        printable([error.message, ...error.details, ...(error.remedy === undefined ? [] : [error.remedy])].join(' ')),
      );
    }
  }
}

/** A choice is a question whose answer is one of the keys. */
const choiceOf = (text: string, keys: readonly string[]): Question => ({
  text,
  check: (typed) => {
    const key = typed.trim();
    if (keys.includes(key)) return key;
    const what = key === '' ? 'Nothing was typed: type one' : `${quoted(key)} is none`;
    throw new CmsadmError('no-such-choice', `${what} of ${keys.join(', ')}.`, { exitCode: exitCodes.usage });
  },
});

const interrupted = (): CmsadmError =>
  new CmsadmError('interrupted', 'Interrupted at a question.', {
    exitCode: exitCodes.interrupted,
    remedy: 'Run it again when you are ready.',
  });

const inputEnded = (text: string): CmsadmError =>
  new CmsadmError('input-ended', `The input ended at the question "${grammar(text)}"`, {
    exitCode: exitCodes.usage,
    remedy: 'Give one line for each question, or the answers by flags or an answers file.',
  });

/**
 * Questions at a terminal. Ctrl-C throws CmsadmError `interrupted`, the end of input (Ctrl-D, a lost terminal)
 * `input-ended`. inquirer is loaded with the first question.
 */
export function terminalAsker(
  streams: { readonly input: Readable; readonly output: Writable } = { input: process.stdin, output: process.stdout },
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Asker {
  // inquirer moves the cursor; a terminal that can't gets plain lines.
  if (isDumb(environment)) return linesAsker(streams.input, streams.output);
  const paint = makePaint(wantsColour(environment));
  const theme = {
    prefix: '?',
    spinner: { interval: 100, frames: ['-', '\\', '|', '/'] },
    style: { message: (text: string) => paint.title(text), answer: (text: string) => paint.place(text) },
  };

  /** Asks with one prompt of inquirer; its promise alone would stay open for ever when the input ends. */
  const prompt = async (text: string, details: PromptDetails): Promise<string> => {
    const { default: inquirer } = await import('inquirer');
    const asking = inquirer.createPromptModule(streams)<{ answer: string }>([{ ...details, name: 'answer', theme }]);
    const ending = watchEnd(streams.input);
    try {
      const outcome = await Promise.race([asking, ending.ended]);
      if (outcome !== 'ended') return outcome.answer;
      asking.ui.close();
      await asking.catch(() => undefined);
      throw inputEnded(text);
    } catch (error) {
      throw error instanceof Error && error.name === 'ExitPromptError' ? interrupted() : error;
    } finally {
      ending.forget();
    }
  };

  const ask = (question: Question): Promise<string> => {
    // inquirer's own `default` would be lost by a backspace, and its `validate` leaves no trace of what was wrong.
    const details = {
      type: 'input' as const,
      message: grammar(question.text, question.preset),
      transformer: (typed: string, { isFinal }: { isFinal: boolean }): string =>
        isFinal ? paint.place(printable(typed === '' ? (question.preset ?? '') : typed)) : typed,
    };
    const tell = (why: string): void => {
      for (const line of wrap(why, widthOf(streams.output), '', '  ')) streams.output.write(`${paint.bad(line)}\n`);
    };
    return untilAccepted(question, () => prompt(question.text, details), tell);
  };

  return {
    text: ask,
    choose: (text, keys) => ask(choiceOf(text, keys)),
    secret: (text) => prompt(text, { type: 'password', message: grammar(text), mask: '*', toggleMask: false }),
  };
}

/** As wide as the renderer's lines; a terminal that does not know its size says 0. */
function widthOf(output: Writable): number {
  const told = 'columns' in output && typeof output.columns === 'number' ? output.columns : 0;
  return told >= 20 ? Math.min(told, 100) : 80;
}

type PromptDetails =
  | {
      readonly type: 'input';
      readonly message: string;
      readonly transformer: (typed: string, state: { isFinal: boolean }) => string;
    }
  | { readonly type: 'password'; readonly message: string; readonly mask: string; readonly toggleMask: false };

/**
 * Tells when the input ends under an open prompt: readline then closes and pauses it, and inquirer says nothing.
 * After Ctrl-Z and `fg` readline pauses it too, without resuming.
 */
function watchEnd(input: Readable): { readonly ended: Promise<'ended'>; readonly forget: () => void } {
  let isContinued = false;
  let tell: () => void = () => undefined;
  const ended = new Promise<'ended'>((resolve) => {
    // A settled prompt pauses the input as well; its answer comes before the next turn of the loop.
    tell = () => setImmediate(() => resolve('ended'));
  });
  const onPause = (): void => {
    if (isContinued) input.resume();
    else tell();
    isContinued = false;
  };
  const onContinue = (): void => {
    isContinued = true;
  };
  input.on('pause', onPause).on('end', tell);
  process.on('SIGCONT', onContinue);
  const forget = (): void => {
    input.off('pause', onPause).off('end', tell);
    process.off('SIGCONT', onContinue);
  };
  return { ended, forget };
}

/**
 * Questions to the lines of a script: writes each question and takes the next line as its answer. The end of input is
 * CmsadmError `input-ended`.
 */
export function linesAsker(input: Readable, output: Writable): Asker {
  const next = lineReader(input);
  const isEchoed = 'isTTY' in input && input.isTTY === true;

  const take = async (text: string, preset: string | undefined, isShown: boolean): Promise<string> => {
    output.write(`${grammar(text, preset)} `);
    const line = await next();
    if (line === undefined) {
      output.write('\n');
      throw inputEnded(text);
    }
    // A pipe echoes nothing: with the answers, what was written reads like a session at a terminal.
    if (!isEchoed) output.write(`${isShown ? printable(line) : ''}\n`);
    return line;
  };

  const ask = (question: Question): Promise<string> =>
    untilAccepted(
      question,
      () => take(question.text, question.preset, true),
      (why) => void output.write(`${why}\n`),
    );

  return {
    text: ask,
    choose: (text, keys) => ask(choiceOf(text, keys)),
    secret: async (text) => {
      if (isEchoed)
        throw new CmsadmError('secret-echoed', 'The terminal would show the password while it is typed.', {
          exitCode: exitCodes.usage,
          remedy: 'Give it by file or file descriptor (see --help), or use a terminal that can hide it.',
        });
      return take(text, undefined, false);
    },
  };
}

/** A pipe that stays open keeps the program running, paused or not, unless it is told not to. */
function holdProgram(input: Readable, holds: boolean): void {
  const act: unknown = Reflect.get(input, holds ? 'ref' : 'unref');
  if (typeof act === 'function') act.call(input);
}

/** Takes one line at a time; between questions the input is paused and does not keep the program running. */
function lineReader(input: Readable): () => Promise<string | undefined> {
  const lines: string[] = [];
  let waiting: ((line: string | undefined) => void) | undefined;
  let reader: ReturnType<typeof createInterface> | undefined;
  let isEnded = false;
  const hand = (line: string | undefined): void => {
    const take = waiting;
    waiting = undefined;
    holdProgram(input, false);
    take?.(line);
  };
  const open = (): ReturnType<typeof createInterface> =>
    createInterface({ input, terminal: false, crlfDelay: Number.POSITIVE_INFINITY })
      .on('line', (line) => {
        if (!waiting) lines.push(line);
        else {
          hand(line);
          reader?.pause();
        }
      })
      .on('close', () => {
        isEnded = true;
        hand(undefined);
      });
  return () => {
    const line = lines.shift();
    if (line !== undefined || isEnded) return Promise.resolve(line);
    return new Promise((resolve) => {
      waiting = resolve;
      holdProgram(input, true);
      if (reader) reader.resume();
      else reader = open();
    });
  };
}
