// Agents of which a test says what they answer, on the socket of a server in a folder of its own.
import * as fs from 'node:fs';
import * as net from 'node:net';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { onTestFinished } from 'vitest';
import type { CommandContext } from '../../src/commands/context.ts';
import { CmsadmError } from '../../src/errors.ts';
import { realSystem } from '../../src/host/real-system.ts';
import { openSession, type Session, serveSession } from '../../src/host/session.ts';
import { type Link, paths, printLink } from '../../src/pair/state.ts';
import type { SyncStatus } from '../../src/pair/sync-status.ts';
import type { Profile } from '../../src/profile/schema.ts';
import type { Asker, Report, Screen } from '../../src/report.ts';
import { makePaint } from '../../src/screen/paint.ts';
import { screenLines } from '../../src/screen/screens.ts';
import { profile } from '../agent/two-servers.ts';

type Verbs = Record<string, (args: unknown) => Promise<unknown>>;

const link: Link = {
  self: { address: '192.0.2.1', fqdn: 'cms1.example.org', hostname: 'cms1' },
  peer: { address: '192.0.2.2', fqdn: 'cms2.example.org', hostname: 'cms2', port: 22, hostKeys: [] },
  tag: 'zdt_1_1700000000',
  broughtProgram: false,
  broughtFiles: [],
};

export const status: SyncStatus = {
  role: 'primary',
  epoch: 3,
  state: 'in step',
  lastPass: '2026-11-21T03:00:00.000Z',
  lag: 4,
  queue: 0,
  passPercent: null,
  paused: null,
  seq: 12,
  acked: 12,
  conflicts: 0,
  sets: [
    {
      name: 'administration',
      state: 'in step',
      why: '',
      queue: 0,
      oldest: null,
      names: 40,
      sent: 12,
      lastMinute: 2,
    },
  ],
  pid: 77,
  at: '2026-11-21T08:00:00.000Z',
};

export type Stub = {
  readonly context: CommandContext;
  readonly folder: string;
  /** What was told, screens as lines of 80 columns. */
  readonly told: string[];
  readonly log: string[];
  /** The verbs that this server's agent was asked for, with what was given. */
  readonly asked: (readonly [string, unknown])[];
  /** Ends this server's agent in the middle of whatever it does. */
  kill(): void;
};

/**
 * A server whose agent answers with `own`, linked with one whose agent answers with `other`; without verbs the agent
 * does not run.
 */
export async function stubServer(
  folder: string,
  own: Verbs | undefined,
  other: Verbs | undefined,
  more: { readonly answer?: string; readonly sets?: Profile['dataSets'] } & Partial<CommandContext> = {},
): Promise<Stub> {
  const asked: (readonly [string, unknown])[] = [];
  const put = (path: string, text: string): void => {
    fs.mkdirSync(dirname(join(folder, path)), { recursive: true });
    fs.writeFileSync(join(folder, path), text);
  };
  put(paths.link, printLink(link));
  put(paths.agentSocket, '');
  fs.rmSync(join(folder, paths.agentSocket));
  const kill = own ? await listen(join(folder, paths.agentSocket), noting(own, asked)) : () => undefined;
  const told: string[] = [];
  const log: string[] = [];
  const { answer, sets = [], ...rest } = more;
  const context: CommandContext = {
    host: {
      root: { prefix: folder, ownersCount: false },
      system: { ...realSystem(), real: false, login: () => sessionWith(other) },
      programRoot: join(import.meta.dirname, '../..'),
    },
    profile: { ...profile, dataSets: sets },
    report: reportTo(told),
    ask: answer === undefined ? undefined : answering(answer),
    yes: false,
    dryRun: false,
    log: { choice: (text) => void log.push(`choice: ${text}`), outcome: (text) => void log.push(`outcome: ${text}`) },
    pid: 1,
    operator: 'alice',
    stop: { requested: false },
    asked: {},
    ...rest,
  };
  return { context, folder, told, log, asked, kill };
}

const noting = (verbs: Verbs, asked: (readonly [string, unknown])[]): Verbs =>
  Object.fromEntries(
    Object.entries(verbs).map(([name, verb]) => [
      name,
      async (args: unknown) => {
        asked.push([name, args]);
        return verb(args);
      },
    ]),
  );

/** An agent's socket that answers so. @returns ends it */
export async function listen(path: string, verbs: Verbs): Promise<() => void> {
  const open = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    void serveSession(socket, socket, verbs, 'test').finally(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const kill = (): void => {
    for (const socket of open) socket.destroy();
    server.close();
  };
  onTestFinished(kill);
  return kill;
}

async function sessionWith(verbs: Verbs | undefined): Promise<Session> {
  if (!verbs) throw new CmsadmError('no-greeting', 'cmsadm on 192.0.2.2 did not greet: the connection closed.');
  const [there, back] = [new PassThrough(), new PassThrough()];
  void serveSession(there, back, verbs, 'test');
  return openSession(back, there, '192.0.2.2', () => {
    there.end();
    back.end();
  });
}

const answering = (answer: string): Asker => ({
  text: async ({ check }) => check(answer),
  secret: async () => answer,
  choose: async () => answer,
});

function reportTo(told: string[]): Report {
  const lines = (screen: Screen): string[] => screenLines(screen, { width: 80, paint: makePaint(false) });
  return {
    step: (text) => (outcome) => void told.push(`${text}: ${outcome}`),
    progress: (text) => void told.push(`~ ${text}`),
    line: (text) => void told.push(text),
    warn: (text) => void told.push(`! ${text}`),
    show: (screen) => void told.push(...lines(screen)),
    live: (screen) => told.push(...lines(screen)) < 40,
  };
}
