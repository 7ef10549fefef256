import { Chalk } from 'chalk';

/** What a stretch of text means; each meaning has one look. Painting never changes how wide a text is. */
export type Paint = {
  readonly good: (text: string) => string;
  readonly warning: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly title: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly place: (text: string) => string;
};

/** How wide the lines of a screen may be, and their colours. */
export type Look = { readonly width: number; readonly paint: Paint };

type Environment = Readonly<Record<string, string | undefined>>;

/** A terminal that understands no escape codes at all. */
export const isDumb = (environment: Environment): boolean => environment['TERM'] === 'dumb';

/** Whether colours are welcome on a terminal: not with `NO_COLOR` set to anything (no-color.org), not on a dumb one. */
export const wantsColour = (environment: Environment): boolean =>
  (environment['NO_COLOR'] ?? '') === '' && !isDumb(environment);

/** The looks in the sixteen colours that every terminal has, or none at all. */
export function makePaint(coloured: boolean): Paint {
  const chalk = new Chalk({ level: coloured ? 1 : 0 });
  return {
    good: (text) => chalk.green(text),
    warning: (text) => chalk.yellow(text),
    bad: (text) => chalk.red(text),
    title: (text) => chalk.bold(text),
    faint: (text) => chalk.dim(text),
    place: (text) => chalk.cyan(text),
  };
}
