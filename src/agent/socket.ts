import * as fs from 'node:fs';
import * as net from 'node:net';
import { dirname } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { CmsadmError } from '../errors.ts';
import { versionOf } from '../host/program-version.ts';
import { at, type Root } from '../host/root.ts';
import { openSession, type Session, serveSession } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { makeFolders } from '../host/writing.ts';
import { paths } from '../pair/state.ts';

type Verbs = Record<string, (args: unknown) => Promise<unknown>>;

/** Opens a bare connection to this server's agent. @throws CmsadmError agent-not-running */
export function dialAgent(root: Root): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(at(root, paths.agentSocket));
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (cause) =>
      reject(
        new CmsadmError('agent-not-running', 'The admin-sync service of this server does not answer.', {
          remedy: 'Start it: systemctl start cmsadm-agent. If it stops again: journalctl -u cmsadm-agent.',
          cause,
        }),
      ),
    );
  });
}

/** Carries bytes both ways between a connection to the agent and a channel, until either ends. */
export async function pipe(socket: net.Socket, input: Readable, output: Writable): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    // Not once: a stream may fail again after it ended, and nobody else listens.
    for (const stream of [input, output, socket])
      for (const event of ['end', 'close', 'error']) stream.on(event, () => resolve());
  });
  input.pipe(socket);
  socket.pipe(output);
  await ended;
  socket.destroy();
}

/** A session with this server's agent. @throws CmsadmError agent-not-running */
export async function openAgent(root: Root): Promise<Session> {
  const socket = await dialAgent(root);
  return openSession(socket, socket, 'the agent of this server', () => socket.destroy());
}

/** One call of this server's agent. @throws CmsadmError agent-not-running, and what the verb throws */
export async function callAgent(host: Host, verb: string, args: unknown = {}): Promise<unknown> {
  if (host.callAgent) return host.callAgent(verb, args);
  const session = await openAgent(host.root);
  try {
    return await session.call(verb, args);
  } finally {
    session.close();
  }
}

/** What still waits of a session that is over is not begun: nobody hears of it, and an agent that stops does not wait for it. */
const whileOpen = (socket: net.Socket, verbs: Verbs): Verbs =>
  Object.fromEntries(
    Object.entries(verbs).map(([name, verb]) => [
      name,
      async (args) => {
        if (socket.destroyed) throw new CmsadmError('session-lost', 'The session is over.');
        return verb(args);
      },
    ]),
  );

/**
 * Serves the agent's verbs on its socket; each connection is a session with verbs of its own.
 * @returns ends it; the connections end too
 * @throws CmsadmError agent-running, if another agent answers there
 */
export async function listen(host: Host, verbs: () => { readonly verbs: Verbs; end(): void }): Promise<() => void> {
  const path = at(host.root, paths.agentSocket);
  await dialAgent(host.root).then(
    (socket) => {
      socket.destroy();
      throw new CmsadmError('agent-running', 'Another agent runs on this server already.', {
        remedy: 'systemctl status cmsadm-agent shows it.',
      });
    },
    () => fs.rmSync(path, { force: true }),
  );
  makeFolders(host.root, dirname(paths.agentSocket), 0o700);
  const open = new Set<net.Socket>();
  const version = versionOf(host.programRoot);
  const server = net.createServer((socket) => {
    open.add(socket);
    const own = verbs();
    const over = (): void => {
      own.end();
      open.delete(socket);
      socket.destroy();
    };
    // What is no message ends its session, not the agent.
    void serveSession(socket, socket, whileOpen(socket, own.verbs), version).then(over, over);
    socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // Nobody but root, from the first moment: the socket is made before `listen` returns.
    const mask = process.umask(0o177);
    server.listen(path, resolve);
    process.umask(mask);
  });
  return () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
}
