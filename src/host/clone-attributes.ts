import { CmsadmError } from '../errors.ts';
import { lastLines, run } from './processes.ts';

type Clone = {
  readonly from: string;
  readonly to: string;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
};

let waiting: Clone[] = [];

/**
 * Gives a file owner, mode, times, access lists, attributes and security label of another one (cp(1)). What is asked
 * for in one turn is done by one program for all: xargs(1) starts cp far more cheaply than we do.
 * @throws CmsadmError attributes-lost, naming what cp said
 */
export const cloneAttributes = (from: string, to: string): Promise<void> =>
  new Promise((done, failed) => {
    waiting.push({ from, to, done, failed });
    if (waiting.length === 1) setImmediate(() => void cloneAll());
  });

async function cloneAll(): Promise<void> {
  const clones = waiting;
  waiting = [];
  const copy = ['cp', '--attributes-only', '--preserve=all', '--'];
  const { exitCode, stderr } = await run(['xargs', '--null', '--max-args=2', ...copy], {
    input: clones.map(({ from, to }) => `${from}\0${to}\0`).join(''),
  });
  for (const { done, failed } of clones)
    if (exitCode === 0) done();
    else
      failed(
        new CmsadmError('attributes-lost', 'Access lists, attributes or labels of a file could not be carried over.', {
          details: lastLines(stderr),
          remedy: 'Look at what these lines name; nothing was changed.',
        }),
      );
}
