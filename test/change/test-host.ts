// One server in a temporary folder whose system is a plain object: it writes down what it is asked to do.

import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Change, type FileChange, noServices, nothingAfterwards } from '../../src/change/change.ts';
import { localServer, type Server } from '../../src/change/server.ts';
import { readFact } from '../../src/host/root.ts';
import type { Host, System, UnitState } from '../../src/host/system.ts';
import { managedFiles } from '../../src/pair/managed-files.ts';
import type { Link } from '../../src/pair/state.ts';
import { loadProfile } from '../../src/profile/load.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
export const profile = loadProfile('cms', [join(repository, 'profiles')]);
export const tag = 'zdt_4711_1700000000';
export const changeId = `${tag}.change`;
const server = { address: '192.0.2.11', fqdn: 'cms1.example.com', hostname: 'cms1' };
/** A link, for runs that make one. */
export const link: Link = {
  self: server,
  peer: { ...server, port: 22, hostKeys: [] },
  tag,
  broughtProgram: false,
  broughtFiles: [],
};

export type TestHost = Host & {
  /** What the system was asked to do, one line each. */
  readonly did: string[];
  /** The lines that it wrote to its journal. */
  readonly journal: string[];
  readonly units: Map<string, UnitState>;
};

/** A server with three managed files; `system` replaces parts of its system. */
export function testHost(prefix: string, system: Partial<System> = {}): TestHost {
  const put = (path: string, text: string, mode: number): void => {
    mkdirSync(dirname(join(prefix, path)), { recursive: true });
    writeFileSync(join(prefix, path), text, 'latin1');
    chmodSync(join(prefix, path), mode);
  };
  put('etc/hosts', '127.0.0.1 localhost\n', 0o664);
  put('etc/services', 'ssh 22/tcp\n', 0o644);
  put('root/.rhosts', 'old root\n', 0o600);
  put('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n', 0o644);
  const did: string[] = [];
  const journal: string[] = [];
  const running: UnitState = { exists: true, active: true, enabled: true };
  const units = new Map([
    ['ids.service', running],
    ['cms.service', running],
    ['ssh.service', running],
  ]);
  let now = 1_700_000_000_000;
  return {
    root: { prefix, ownersCount: false },
    programRoot: repository,
    did,
    journal,
    units,
    system: {
      real: false,
      osFamily: () => 'debian',
      identity: () => Promise.reject(new Error('not asked in these tests')),
      clock: () => {
        now += 10;
        return now;
      },
      elapsed: () => {
        now += 10;
        return now;
      },
      addresses: async () => [],
      routeSource: async () => undefined,
      disk: async () => ({ freeMb: 1000, totalMb: 2000 }),
      units: async (names) =>
        Object.fromEntries(
          names.map((name) => [name, units.get(name) ?? { exists: false, active: false, enabled: false }]),
        ),
      control: async (verb, names) => {
        if (names.length === 0) return;
        did.push(`${verb} ${names.join(' ')}`);
        for (const name of names) {
          const was = units.get(name);
          const active = verb === 'stop' ? false : verb === 'start' || verb === 'restart' || !!was?.active;
          const enabled = verb === 'disable' ? false : verb === 'enable' || !!was?.enabled;
          units.set(name, { exists: true, active, enabled });
        }
      },
      reloadUnitFiles: async () => void did.push('daemon-reload'),
      effectiveSshd: async () => undefined,
      judge: async () => ({ ran: false }),
      cloneAttributes: async () => undefined,
      label: async () => undefined,
      listeners: async () => [],
      firewall: async () => ({ firewalldActive: false, nftRuleset: '', iptables: '' }),
      arm: async (_unit, seconds, argv) => void did.push(`arm ${seconds} ${argv.slice(1).join(' ')}`),
      disarm: async () => void did.push('disarm'),
      journal: async (line) => void journal.push(line),
      connect: () => Promise.reject(new Error('not asked in these tests')),
      bootId: () => 'boot-1',
      processStart: (pid) => (pid === process.pid ? '100' : undefined),
      processState: (pid) => (pid === process.pid ? 'running' : undefined),
      askToLeave: (pid) => void did.push(`ask ${pid}`),
      endProcess: async (pid) => void did.push(`end ${pid}`),
      runInstaller: async (folder, options) => void did.push(`install ${folder} ${options.join(' ')}`),
      ...system,
    },
  };
}

export const serverOf = (host: Host): Server => localServer({ host, profile, family: 'debian', carriedIn: undefined });

/** path → new text, or null for a file that goes. */
type NewTexts = Readonly<Record<string, string | null>>;

/** A change of these files as a plan would make it from what stands there now. */
export function changeOf(host: Host, texts: NewTexts, more: Partial<Change> = {}): Change {
  const rows = managedFiles(profile, 'debian');
  const files = Object.entries(texts).map(([path, text]): FileChange => {
    const row = rows.find((one) => one.path === path);
    const fact = readFact(host.root, path);
    const present = fact.state === 'file' ? fact : undefined;
    return {
      path,
      kind: row?.kind ?? 'hosts',
      before: present?.sha256 ?? null,
      after:
        text === null
          ? null
          : { content: text, mode: present?.mode ?? row?.mode ?? 0o644, owner: 'root', group: 'root' },
      secret: row?.secret ?? false,
      generated: false,
    };
  });
  return {
    tag,
    step: 'change',
    operation: 'set up roles',
    operator: 'ops',
    server: 'cms1.example.com',
    files,
    services: noServices,
    epoch: null,
    confirmSeconds: 300,
    sshWatch: null,
    afterwards: nothingAfterwards,
    ...more,
  };
}

/** Everything below a server's folder except journal, epoch, logs and locks: mode and content, or what else it is. */
export function tree({ root }: Host): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (within: string): void => {
    for (const name of readdirSync(join(root.prefix, within))) {
      const path = `${within}/${name}`;
      if (['/var/lib/cmsadm', '/var/log', '/run'].includes(path)) continue;
      const stat = lstatSync(join(root.prefix, path));
      const mode = (stat.mode & 0o7777).toString(8);
      found[path] = stat.isFile() ? `${mode} ${readFileSync(join(root.prefix, path), 'latin1')}` : mode;
      if (stat.isDirectory()) walk(path);
    }
  };
  for (const folder of ['var/lib', 'run']) mkdirSync(join(root.prefix, folder), { recursive: true });
  walk('');
  return found;
}

export const textAt = (host: Host, path: string): string | undefined =>
  existsSync(join(host.root.prefix, path)) ? readFileSync(join(host.root.prefix, path), 'latin1') : undefined;
