// A rehearsal pair for tests of commands: made once, copied for each test, and what stands in it as one hash.
import { createHash } from 'node:crypto';
import { cpSync, lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CommandContext, CommandOutcome, Given } from '../../src/commands/context.ts';
import { CmsadmError } from '../../src/errors.ts';
import { fingerprint } from '../../src/host/ssh-client.ts';
import { parsePublicKey } from '../../src/pair/facts.ts';
import { profileOfServer } from '../../src/profile/load.ts';
import { makePairFolder, rehearsalHost, rehearsalPackages } from '../../src/rehearsal/pair-folder.ts';
import { rehearsalLogin } from '../../src/rehearsal/ssh-server.ts';
import type { Asker, Report } from '../../src/report.ts';
import { lonelySession, passOver } from '../agent/lonely-agent.ts';
import { programFolder } from './program.ts';

/** A report that keeps its lines. */
export function collected(): { report: Report; lines: string[] } {
  const lines: string[] = [];
  const report: Report = {
    step: (text) => {
      lines.push(`${text} ...`);
      return (outcome) => void lines.push(`${text}: ${outcome}`);
    },
    line: (text) => void lines.push(text),
    warn: (text) => void lines.push(`! ${text}`),
    show: (screen) => void lines.push(`[${screen.kind}]`),
    progress: () => undefined,
    live: (screen) => lines.push(`[${screen.kind}]`) > 0,
  };
  return { report, lines };
}

/** The answers of an operator at a terminal, by the beginning of the question; anything else is a fault of the test. */
export const answering = (answers: Readonly<Record<string, string | readonly string[]>>): Asker => {
  const left = new Map(Object.entries(answers).map(([text, given]) => [text, [given].flat()]));
  const next = (text: string): string => {
    const found = [...left].find(([beginning]) => text.startsWith(beginning));
    const answer = found?.[1].shift();
    if (answer === undefined) throw new Error(`nobody answers "${text}"`);
    return answer;
  };
  return {
    text: async ({ text, preset, check }) =>
      check([...left.keys()].some((key) => text.startsWith(key)) ? next(text) : (preset ?? '')),
    secret: async (text) => next(text),
    choose: async (text) => next(text),
  };
};

/** What was told to the operator: thrown, or beside a result for programs. */
export const refusalOf = (run: Promise<CommandOutcome>): Promise<unknown> =>
  run.then(
    ({ error, ...outcome }) => error ?? outcome,
    (error: unknown) => error,
  );

export type RehearsalPair = {
  readonly cms1: string;
  readonly cms2: string;
  /** A context for the server in this folder, with a run of its own. */
  context(folder: string, more?: Partial<CommandContext>): CommandContext;
  readonly answers: Given;
  readonly lines: string[];
  /** Choices and outcome that went to the administration log. */
  readonly logged: string[];
};

/** Makes a pair by this name: a new one, or a copy of `like` as it stands now. */
export type NewPair = (name: string, like?: RehearsalPair) => RehearsalPair;

/** Makes pairs quickly: one is built, the others are copies. */
export async function pairMaker(folder: string): Promise<NewPair> {
  const program = programFolder(join(folder, 'program'));
  const pattern = join(folder, 'pattern');
  await makePairFolder(pattern, program);
  writeFileSync(join(pattern, 'cms1/root/peer-password'), `${rehearsalLogin.password}\n`, { mode: 0o600 });
  return (name, like) => {
    const place = join(folder, name);
    cpSync(like ? dirname(like.cms1) : pattern, place, { recursive: true });
    const [cms1, cms2] = [join(place, 'cms1'), join(place, 'cms2')];
    const { report, lines } = collected();
    const logged: string[] = [];
    const hostKey = parsePublicKey(readFileSync(join(cms2, 'etc/ssh/ssh_host_ed25519_key.pub'), 'utf8'));
    let runs = 0;
    const other = (where: string): string => (where === cms1 ? cms2 : cms1);
    const drain = (from: string, to: string) => async (): Promise<null> => {
      const [one, two] = [from, to].map((place) => rehearsalHost(place, program, () => {}));
      if (!one || !two) throw new Error('two servers');
      const { session, end } = await lonelySession(two, profileOfServer(to, program));
      try {
        for (const { failure, held, problems } of await passOver(one, profileOfServer(from, program), session))
          if (failure !== undefined || held !== undefined || problems.length > 0)
            throw failure ?? new CmsadmError('not-in-step', held ?? problems.join('; '));
      } finally {
        end();
      }
      return null;
    };
    return {
      cms1,
      cms2,
      lines,
      logged,
      context: (where, more = {}) => ({
        host: { ...rehearsalHost(where, program, (text) => report.line(text)), callAgent: drain(where, other(where)) },
        profile: profileOfServer(where, program),
        report,
        ask: undefined,
        yes: true,
        dryRun: false,
        log: { choice: (text) => void logged.push(text), outcome: (text) => void logged.push(text) },
        // Two runs of one test may fall into one second; on a server each is a process of its own.
        pid: 1000 + runs++,
        operator: 'ops',
        stop: { requested: false },
        asked: {},
        ...more,
      }),
      answers: {
        'ntp-server': '',
        'secondary-ip': '192.0.2.12',
        'secondary-fqdn': 'cms2.example.com',
        'licence-package': rehearsalPackages.licence,
        'ha-package': rehearsalPackages.haPackage,
        'peer-user': rehearsalLogin.user,
        'peer-password-file': join(cms1, 'root/peer-password'),
        'peer-fingerprint': hostKey ? fingerprint(hostKey) : '',
      },
    };
  };
}

/** Every file, folder and link below both servers with mode and content; logs, locks, recorded units and the books of admin-sync are no touch. */
export function standing({ cms1, cms2 }: Pick<RehearsalPair, 'cms1' | 'cms2'>): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (root: string, within: string): void => {
    for (const entry of readdirSync(join(root, within))) {
      const path = `${within}/${entry}`;
      if (path === '/var/log' || path === '/run' || path === '/var/lib/cmsadm/sync') continue;
      const stat = lstatSync(join(root, path));
      const mode = (stat.mode & 0o7777).toString(8);
      const key = `${root.slice(-4)}:${path}`;
      if (stat.isSymbolicLink()) found[key] = `link ${readlinkSync(join(root, path))}`;
      else if (stat.isDirectory()) {
        found[key] = `folder ${mode}`;
        walk(root, path);
      } else
        found[key] = `${mode} ${createHash('sha256')
          .update(readFileSync(join(root, path)))
          .digest('hex')}`;
    }
  };
  walk(cms1, '');
  walk(cms2, '');
  return found;
}
