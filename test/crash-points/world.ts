// Two servers in this process: disks and services in memory, a cable that can be cut, and processes that can be killed.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pid } from 'node:process';
import { PassThrough, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { takeAwayTheRest } from '../../src/change/afterwards.ts';
import { lockOwner } from '../../src/change/lock.ts';
import { recover } from '../../src/change/recover.ts';
import { servePeer } from '../../src/commands/peer.ts';
import { CmsadmError } from '../../src/errors.ts';
import { makeKeyPair } from '../../src/host/pair-key.ts';
import { openSession, type Session } from '../../src/host/session.ts';
import type { Target } from '../../src/host/ssh-client.ts';
import type { Host, System, UnitState } from '../../src/host/system.ts';
import { removeTree } from '../../src/host/writing.ts';
import { parsePublicKey } from '../../src/pair/facts.ts';
import { paths } from '../../src/pair/state.ts';
import { loadProfile } from '../../src/profile/load.ts';
import type { Profile } from '../../src/profile/schema.ts';
import { type Recorded, readRecorded } from '../../src/rehearsal/recorded-system.ts';
import { testTrust } from '../features/fixture-packages.ts';
import { type MemoryDisk, memoryDisk, systemError, watched } from './memory-disk.ts';
import { copyOfProduct, freshProduct, type Product, programOf, refused } from './programs.ts';

export const repository = fileURLToPath(new URL('../..', import.meta.url));
export const names = ['cms1', 'cms2'] as const;
export type Name = (typeof names)[number];

/** One thing that a server does to the world outside its program, in the order in which it does them. */
export type Point = {
  readonly what: 'file' | 'service' | 'program' | 'message';
  /** A reading call changes nothing that a crash could leave behind. */
  readonly kind: 'read' | 'write';
  readonly call: string;
  readonly path: string;
};

export const killings = ['killed', 'power cut', 'power cut, unsynced writes lost'] as const;
export const fileErrors = ['ENOSPC', 'EIO', 'EROFS', 'EACCES'] as const;
export const cuts = ['cut before the message', 'cut after the message'] as const;
export const failures = ['fails', 'fails, and it was done'] as const;
export type FaultKind =
  | (typeof killings)[number]
  | (typeof fileErrors)[number]
  | (typeof cuts)[number]
  | (typeof failures)[number]
  | 'Ctrl-C';
export type Fault = { readonly server: Name; readonly at: number; readonly kind: FaultKind };

/** What a dead process gets from every port. */
class Killed extends Error {}

export type Process = {
  readonly host: Host;
  readonly kill: () => void;
  readonly onEnd: Set<() => void>;
  /** What Ctrl-C asks for while a change runs. */
  readonly stop: { requested: boolean };
};
type Server = {
  readonly name: Name;
  readonly recorded: Recorded;
  disk: MemoryDisk;
  units: Map<string, UnitState>;
  readonly product: Product;
  readonly timers: Map<string, readonly string[]>;
  readonly processes: Set<Process>;
  readonly points: Point[];
  boots: number;
  up: boolean;
};

export type World = {
  readonly servers: Readonly<Record<Name, Server>>;
  readonly profile: Profile;
  /** A new process on a server, with its own view of the ports. */
  spawn(name: Name): Process;
  /** The operator's own login on the other server, with the program running there: no pair's key yet. */
  firstContact(process: Process): Promise<Session>;
  /** Counts points from now on and makes this fault when its point comes. */
  watch(fault: Fault | undefined): void;
  /** Everything works again: the cable, the disks. Names that hold the pid of what died are those of another process. */
  heal(): void;
  /** Turns a server on again; its boot unit settles first. */
  boot(name: Name): Promise<void>;
  /** Fires what is armed on a server. */
  fireTimers(name: Name): Promise<void>;
  /** Waits until no peer's process works any more. */
  quiet(): Promise<void>;
  copy(): World;
};

const fixtures = join(repository, 'fixtures/rehearsal');
const shipped = loadProfile('cms', [join(repository, 'profiles')]);
// Data sets are the agent's; here only transactions write.
const profile: Profile = { ...shipped, confirmSeconds: 30, trust: testTrust };

/** Two single servers as the fixtures show them, the program installed on both. */
export const freshWorld = (): World => makeWorld({ cms1: freshServer('cms1'), cms2: freshServer('cms2') });

function freshServer(name: Name): Server {
  const recorded = readRecorded(join(fixtures, name));
  const disk = memoryDisk();
  const load = (within: string): void => {
    for (const entry of readdirSync(join(fixtures, name, within)).sort()) {
      const path = `${within}/${entry}`;
      const stat = statSync(join(fixtures, name, path));
      if (stat.isDirectory()) load(path);
      // The checkout's own umask must not matter.
      else disk.put(path, readFileSync(join(fixtures, name, path), 'latin1'), path.startsWith('/root') ? 0o600 : 0o644);
    }
  };
  load('');
  const key = makeKeyPair(`root@${name}`);
  disk.put('/etc/ssh/ssh_host_ed25519_key.pub', key.publicLine);
  disk.put('/etc/cmsadm/settings.yaml', 'profile: cms\n');
  disk.put(`${paths.program}/manifest.json`, '{}\n');
  for (const folder of ['/run', '/etc/systemd/system', '/etc/ssh/sshd_config.d', '/var/lib', '/var/log'])
    disk.makeFolder(folder);
  disk.setAttributes('/etc/hosts', 'user.site="kept"');
  disk.setAttributes('/opt/informix/etc/onconfig.cms', 'acl=user:operator:r--');
  return {
    name,
    recorded,
    disk,
    units: new Map(Object.entries(recorded.units)),
    product: freshProduct(),
    timers: new Map(),
    processes: new Set(),
    points: [],
    boots: 1,
    up: true,
  };
}

const unknownUnit: UnitState = { exists: false, active: false, enabled: false };

function makeWorld(servers: Readonly<Record<Name, Server>>): World {
  let fault: Fault | undefined;
  let counting = false;
  let isDown: FaultKind | undefined;
  let cable = true;
  let now = 1_700_000_000_000;
  let spawned = 0;
  const links = new Set<Line>();
  const working = new Set<Promise<void>>();
  const other = (name: Name): Server => servers[name === 'cms1' ? 'cms2' : 'cms1'];

  /** Numbers what a process is about to do, and makes the fault of this point. Returns what is to happen to a message. */
  function point(server: Server, process: Process, what: Point): Fate {
    if (!server.processes.has(process)) throw new Killed();
    if (!counting) return 'go';
    server.points.push(what);
    if (fault?.server !== server.name) return 'go';
    if (server.points.length - 1 < fault.at) return 'go';
    const isFirst = server.points.length - 1 === fault.at;
    if (isFirst) isDown = fault.kind;
    switch (fault.kind) {
      case 'killed':
        if (!isFirst) return 'go';
        process.kill();
        throw new Killed();
      case 'power cut':
      case 'power cut, unsynced writes lost':
        if (!isFirst) return 'go';
        turnOff(server, fault.kind === 'power cut, unsynced writes lost');
        throw new Killed();
      case 'cut before the message':
      case 'cut after the message':
        if (!isFirst) return 'go';
        return fault.kind === 'cut before the message' ? 'drop' : 'cut after';
      case 'Ctrl-C':
        if (!isFirst) return 'go';
        // As the program's own door does it: without a lock there is nothing to be put back.
        if (lockOwner(unwatched(server, process))?.pid === pid) process.stop.requested = true;
        else process.kill();
        if (!process.stop.requested) throw new Killed();
        return 'go';
      case 'fails, and it was done':
        return isFirst ? 'fail after' : 'go';
      case 'fails':
        if (isFirst) throw new CmsadmError('service-failed', `${what.call} failed.`, { server: server.name });
        return 'go';
      // A full or read-only disk stays so until somebody does something about it; the others are one call's.
      case 'ENOSPC':
        if (isDown === 'ENOSPC' && what.kind === 'write' && what.what === 'file' && needsRoom.has(what.call))
          throw errorOf('ENOSPC', what);
        return 'go';
      case 'EROFS':
        if (isDown === 'EROFS' && what.what === 'file' && what.kind === 'write') throw errorOf('EROFS', what);
        return 'go';
      case 'EIO':
      case 'EACCES':
        if (isFirst) throw errorOf(fault.kind, what);
        return 'go';
    }
  }

  function turnOff(server: Server, lose: boolean): void {
    server.up = false;
    for (const process of [...server.processes]) process.kill();
    server.disk.powerCut(lose, '/run');
    server.timers.clear();
  }

  function cutCable(): void {
    cable = false;
    for (const line of [...links]) line.sever();
  }

  function spawn(name: Name): Process {
    const server = servers[name];
    const number = `${++spawned}`;
    const onEnd = new Set<() => void>();
    const see = (what: Point): Fate => point(server, process, what);
    const disk = watched(server.disk, (call, path, kind) => void see({ what: 'file', kind, call, path }));
    const process: Process = {
      host: {
        root: { prefix: '/', ownersCount: true, disk },
        programRoot: repository,
        system: systemOf(server, number, see, (target, key) => login(name, target, key, see, onEnd)),
        runProgram: async (argv, { input = '' } = {}) => {
          const { call, kind, work } = programOf(argv, String(input));
          try {
            const fate = see({ what: 'program', kind, call, path: '' });
            const outcome = work({ product: server.product, disk, syncDisk: server.disk.sync });
            return fate === 'fail after' ? refused('no answer') : outcome;
          } catch (error) {
            if (error instanceof Killed || !isExpected(error)) throw error;
            return refused(String(error));
          }
        },
      },
      kill: () => {
        server.processes.delete(process);
        for (const end of onEnd) end();
      },
      onEnd,
      stop: { requested: false },
    };
    server.processes.add(process);
    return process;
  }

  function systemOf(
    server: Server,
    number: string,
    see: (what: Point) => unknown,
    login: (target: Target, privateKey: string) => Promise<Session>,
  ): System {
    const { recorded } = server;
    const act = (call: string, path: string, kind: Point['kind'] = 'write'): void =>
      void see({ what: 'service', kind, call, path });
    const stateOf = (unit: string): UnitState => {
      const file = `/etc/systemd/system/${unit}`;
      const state = server.units.get(unit) ?? unknownUnit;
      return { ...state, exists: recorded.units[unit]?.exists ?? server.disk.existsSync(file) };
    };
    return {
      real: true,
      osFamily: () => recorded.identity.osFamily,
      identity: async () => recorded.identity,
      clock: () => {
        now += 10;
        return now;
      },
      elapsed: () => {
        now += 10;
        return now;
      },
      addresses: async () => recorded.addresses,
      routeSource: async () => recorded.addresses[0]?.address,
      disk: async () => recorded.disk,
      units: async (units) => {
        act('units', units.join(' '), 'read');
        return Object.fromEntries(units.map((unit) => [unit, stateOf(unit)]));
      },
      control: async (verb, units) => {
        if (units.length === 0) return;
        act(verb, units.join(' '));
        for (const unit of units) {
          const state = stateOf(unit);
          if (!state.exists) throw new CmsadmError('service-failed', `systemctl ${verb} ${unit} failed.`);
          const active = verb === 'restart' || verb === 'start' || (state.active && verb !== 'stop');
          const enabled = verb === 'enable' || (state.enabled && verb !== 'disable');
          server.units.set(unit, { exists: true, active, enabled });
        }
      },
      reloadUnitFiles: async () => act('daemon-reload', ''),
      effectiveSshd: async ({ user, addr }) => {
        act('sshd -T', `${user} from ${addr}`, 'read');
        const isPair = user === 'root' && addr === recorded.other.address && server.disk.existsSync(paths.sshdDropIn);
        return isPair
          ? recorded.sshd.replace(/^permitrootlogin no$/m, 'permitrootlogin forced-commands-only')
          : recorded.sshd;
      },
      judge: async (kind, file) => {
        act(`judge ${kind}`, file, 'read');
        return { ran: true, problem: undefined };
      },
      cloneAttributes: async (from, to) => {
        act('cp', from);
        server.disk.copyAttributes(from, to);
      },
      label: async () => undefined,
      listeners: async () => recorded.listeners,
      firewall: async () => recorded.firewall,
      arm: async (unit, _seconds, argv) => {
        act('arm', unit);
        server.timers.set(unit, argv);
      },
      disarm: async (unit) => {
        act('disarm', unit);
        for (const armed of server.timers.keys())
          if (armed === unit || armed.startsWith(`${unit}-`)) server.timers.delete(armed);
      },
      journal: async () => undefined,
      connect: () => Promise.reject(new Error('sessions are opened by login here')),
      login,
      bootId: () => `${server.name}-boot-${server.boots}`,
      processStart: (one) => (one === pid ? number : undefined),
      processState: () => 'running',
      askToLeave: () => undefined,
      endProcess: async () => undefined,
      runInstaller: async (_folder, options) => {
        act('install', options.join(' '));
        const root = { prefix: '/', ownersCount: true, disk: server.disk };
        if (options[0] === '--remove') removeTree(root, dirname(paths.program));
      },
    };
  }

  /** What sshd and the pair's key would do: the caller's key must stand in the other one's access line. */
  async function login(
    from: Name,
    target: Target,
    privateKey: string,
    see: (what: Point) => Fate,
    callerEnds: Set<() => void>,
  ): Promise<Session> {
    const callee = other(from);
    const address = callee.recorded.addresses[0]?.address;
    if (!cable || !callee.up || target.address !== address)
      throw new CmsadmError('unreachable', `No connection to ${target.address}.`, { server: target.address });
    const read = (server: Server, path: string): string =>
      server.disk.existsSync(path) ? server.disk.readFileSync(path, 'latin1') : '';
    const hostKey = parsePublicKey(read(callee, '/etc/ssh/ssh_host_ed25519_key.pub'));
    if (!target.pins.some((pin) => pin.base64 === hostKey?.base64))
      throw new CmsadmError('host-key-changed', `${target.address} showed another host key.`);
    const own = parsePublicKey(read(servers[from], `${paths.pairKey}.pub`));
    if (!own || !privateKey.includes('PRIVATE KEY') || !read(callee, paths.authorizedKeys).includes(own.base64))
      throw new CmsadmError('login-refused', `${target.address} refused the login of root.`);
    return openLine(from, callee, see, callerEnds);
  }

  /** A session between a process here and a new one there. Counts every message of both. */
  async function openLine(
    from: Name,
    callee: Server,
    see: (what: Point) => Fate,
    callerEnds: Set<() => void>,
  ): Promise<Session> {
    const there = spawn(callee.name);
    const [toCaller, toCallee] = [new PassThrough(), new PassThrough()];
    const line: Line = {
      sever: () => {
        if (!links.delete(line)) return;
        toCaller.end();
        toCallee.end();
      },
    };
    links.add(line);
    callerEnds.add(line.sever);
    there.onEnd.add(line.sever);
    const send = (into: PassThrough, sees: (what: Point) => Fate): Writable =>
      new Writable({
        decodeStrings: false,
        write: (chunk: string | Buffer, _encoding, done) => {
          try {
            const text = String(chunk);
            const verb = /"verb":"(\w+)"/.exec(text)?.[1] ?? 'answer';
            const fate = links.has(line) ? sees({ what: 'message', kind: 'write', call: verb, path: '' }) : 'drop';
            if (fate !== 'drop' && links.has(line)) into.write(text);
            if ((fate === 'drop' || fate === 'cut after') && links.has(line)) cutCable();
          } catch (error) {
            if (!(error instanceof Killed)) throw error;
          }
          done();
        },
      });
    const served = servePeer(
      there.host,
      profile,
      { carriedIn: undefined, seenFrom: servers[from].recorded.addresses[0]?.address },
      toCallee,
      send(toCaller, (what) => point(callee, there, what)),
    )
      .catch((error: unknown) => {
        if (!isExpected(error)) throw error;
      })
      .finally(() => there.kill());
    working.add(served);
    void served.finally(() => working.delete(served));
    return openSession(toCaller, send(toCallee, see), callee.name, line.sever);
  }

  /** As main.ts does where nobody is there. */
  async function run(name: Name, only: string | undefined): Promise<void> {
    if (!servers[name].disk.existsSync(paths.program)) return; // systemd finds nothing to start
    const process = spawn(name);
    try {
      await recover(process.host, only, 'itself');
      await takeAwayTheRest(process.host);
    } catch (error) {
      if (!isExpected(error)) throw error;
    } finally {
      process.kill();
    }
  }

  return {
    servers,
    profile,
    spawn,
    firstContact: (process) => {
      const server = servers.cms1;
      return openLine(server.name, servers.cms2, (what) => point(server, process, what), process.onEnd);
    },
    watch: (next) => {
      fault = next;
      counting = true;
      for (const name of names) servers[name].points.length = 0;
    },
    heal: () => {
      counting = false;
      fault = undefined;
      cable = true;
      for (const name of names) renumber(servers[name].disk);
    },
    boot: async (name) => {
      const server = servers[name];
      server.boots += 1;
      server.up = true;
      for (const [unit, state] of server.units) server.units.set(unit, { ...state, active: state.enabled });
      const unit = server.units.get('cmsadm-recover.service');
      if (unit?.enabled && server.disk.existsSync(paths.recoverUnit)) await run(name, undefined);
    },
    fireTimers: async (name) => {
      const armed = [...servers[name].timers];
      servers[name].timers.clear();
      for (const [, argv] of armed) await run(name, argv.at(-1));
    },
    quiet: async () => {
      while (working.size > 0) await Promise.allSettled([...working]);
    },
    copy: () => makeWorld({ cms1: copyOf(servers.cms1), cms2: copyOf(servers.cms2) }),
  };
}

/** What becomes of what a process is about to do. */
type Fate = 'go' | 'drop' | 'cut after' | 'fail after';

/** All processes here have one pid; what a dead one left must not be taken for the next one's own. */
function renumber(disk: MemoryDisk): void {
  for (const path of disk.standing().keys())
    for (const end of [`.${pid}.new`, `.decision.${pid}`, `/lock.${pid}`, `/turn.${pid}`])
      if (path.endsWith(end)) disk.renameSync(path, path.replace(`${pid}`, '1'));
  disk.sync();
}

/** A process's view of its server whose looks are no points. */
const unwatched = (server: Server, { host }: Process): Host => ({ ...host, root: { ...host.root, disk: server.disk } });

type Line = { readonly sever: () => void };

/** Calls that need room on the disk. */
const needsRoom = new Set(['open', 'write', 'fsync', 'mkdir', 'link', 'rename']);

const errorOf = (code: string, { call, path }: Point): Error => systemError(code, call, path);

/** What a killed or refused program throws; anything else is a fault of the program. */
export const isExpected = (error: unknown): boolean =>
  error instanceof Killed || error instanceof CmsadmError || (error instanceof Error && 'syscall' in error);

const copyOf = (server: Server): Server => ({
  ...server,
  disk: memoryDisk(server.disk),
  units: new Map(server.units),
  product: copyOfProduct(server.product),
  timers: new Map(),
  processes: new Set(),
  points: [],
});
