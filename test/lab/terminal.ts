import { execa } from 'execa';
import { sshArgv } from '../../lab/ssh.ts';
import type { Server } from './kit.ts';

/** A root shell on a server in a real terminal of 80 columns: tmux on this machine, ssh in it. */
export type Terminal = {
  /** Types a line, without waiting for anything. */
  type(text: string): Promise<void>;
  /** Presses one key, by tmux's name for it. */
  press(key: string): Promise<void>;
  /** Waits for an open question with this text, and answers it. */
  answer(question: string, text: string): Promise<void>;
  /** Waits until this text shows at or below the line that was typed last; however it is laid out. */
  see(text: string, seconds?: number): Promise<void>;
  /** Waits until a command that was typed in the shell has ended. @returns its exit code */
  exitCode(seconds?: number): Promise<number>;
  /** Every line since the terminal was opened. */
  lines(): Promise<string[]>;
  close(): Promise<void>;
};

const columns = 80;
// One socket for each terminal: tmux may still be leaving the last one.
let opened = 0;
// The layout breaks lines where it must: texts are compared without white space.
const squeezed = (text: string): string => text.replaceAll(/\s+/g, '');

/** Opens a terminal; the program's name is the socket's, so that only this one is ever closed. */
export async function openTerminal(server: Server, name: string): Promise<Terminal> {
  opened += 1;
  const socket = `cmsadm-${name}-${process.pid}-${opened}`;
  const tmux = (...args: string[]) => execa('tmux', ['-u', '-L', socket, '-f', '/dev/null', ...args]);
  const size = ['-x', String(columns), '-y', '50'];
  const history = ['set-option', '-g', 'history-limit', '20000'];
  await tmux('start-server', ';', ...history, ';', 'new-session', '-d', ...size, '--', ...sshArgv(server, []));
  let typedAt = 0;

  const lines = async (): Promise<string[]> => {
    // -J joins what the terminal itself had to wrap: such a line was wider than the terminal.
    const { stdout } = await tmux('capture-pane', '-p', '-J', '-S', '-');
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.trimEnd());
  };
  const until = async (what: string, seconds: number, holds: (all: string[]) => boolean): Promise<void> => {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const all = await lines();
      if (holds(all)) return;
      if (Date.now() > end)
        throw new Error(`The terminal does not show "${what}". Its last lines:\n${all.slice(-45).join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
  };
  const keys = (...args: string[]) => tmux('send-keys', ...args);
  const type = async (text: string): Promise<void> => {
    typedAt = (await lines()).length - 1;
    if (text !== '') await keys('-l', '--', text);
    await keys('Enter');
  };
  const see = (text: string, seconds = 30): Promise<void> =>
    until(text, seconds, (all) => squeezed(all.slice(typedAt).join('')).includes(squeezed(text)));

  await until('root@', 20, (all) => /root@\S+[#$]$/.test(squeezed(all.join(''))));
  await type('unset HISTFILE; clear');
  return {
    type,
    see,
    lines,
    press: async (key) => {
      await keys(key);
    },
    answer: async (question, text) => {
      await until(question, 30, (all) => {
        const tail = squeezed(all.slice(Math.max(typedAt + 1, all.length - 4)).join(''));
        return tail.includes(squeezed(question)) && tail.endsWith(':');
      });
      await type(text);
    },
    exitCode: async (seconds = 60) => {
      await until('a shell prompt', seconds, (all) => /^root@\S+[#$]$/.test((all.at(-1) ?? '').replaceAll(' ', '')));
      await type('echo "left with $?"');
      await until('left with', 10, (all) => /^left with \d+$/m.test(all.slice(typedAt + 1).join('\n')));
      return Number(/^left with (\d+)$/m.exec((await lines()).slice(typedAt + 1).join('\n'))?.[1]);
    },
    close: async () => {
      await tmux('kill-server');
    },
  };
}

/** The lines that were wider than a terminal of 80 columns. */
export const tooWide = (lines: readonly string[]): string[] => lines.filter((line) => line.length > columns);
