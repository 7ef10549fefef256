import { execFile } from 'node:child_process';
import { childEnvironment } from './processes.ts';

/** What a service tells the service manager (sd_notify(3)). */
export type Notifier = {
  /** It has started up: what waits for it may go on. */
  ready(): void;
  /** One line for `systemctl status`. */
  status(text: string): void;
  /** It still works; without this it is started again after WatchdogSec (systemd.service(5)). */
  alive(): void;
};

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Tells the service manager that started this process; nobody where there is none (no NOTIFY_SOCKET). Node has no
 * datagram sockets: systemd-notify(1) sends, and its unit needs NotifyAccess=all. What can't be sent is left: the
 * manager acts on what it does not hear.
 */
export function makeNotifier(environment: Environment, program = 'systemd-notify'): Notifier {
  const { NOTIFY_SOCKET = '' } = environment;
  if (NOTIFY_SOCKET === '') return { ready: () => {}, status: () => {}, alive: () => {} };
  // One after the other: `ready` must not overtake a status, and a stuck one must not pile up others.
  let last: Promise<unknown> = Promise.resolve();
  const send = (words: readonly string[]): void => {
    last = last.then(() => run(program, words, { ...childEnvironment, NOTIFY_SOCKET }));
  };
  return {
    ready: () => send(['--ready']),
    status: (text) => send([`--status=${text.replaceAll(/[\r\n]+/g, ' ')}`]),
    alive: () => send(['WATCHDOG=1']),
  };
}

// Every quarter of a minute, for years: Node's own means take less memory and time than execa.
const run = (program: string, words: readonly string[], env: Environment): Promise<void> =>
  new Promise((resolve) => {
    execFile(program, words, { env, timeout: 5_000 }, () => resolve()).stdin?.end();
  });
