import type { Duplex } from 'node:stream';
import type { OsFamily } from '../profile/schema.ts';
import type { run } from './processes.ts';
import type { Root } from './root.ts';
import type { Session } from './session.ts';
import type { Target } from './ssh-client.ts';

/** One address of a server. */
export type Address = {
  readonly interface: string;
  readonly address: string;
  /** False where the kernel says that the address was leased (DHCP, router advertisement). */
  readonly static: boolean;
};

export type UnitState = {
  readonly exists: boolean;
  /** Up; also while it reloads. */
  readonly active: boolean;
  /** Not active, and not down either: on its way, or about to be tried again. A program that is older tells none of it. */
  readonly changing?: 'starting' | 'stopping';
  readonly enabled: boolean;
  /** Down, and systemd will not try again by itself. */
  readonly failed?: boolean;
  /** Down because it has nothing to do: a condition of its unit file is not met (systemd.unit(5), ConditionFileNotEmpty=…). */
  readonly idle?: boolean;
  /** It has a main process: a daemon, and no unit that only once did something. */
  readonly daemon?: boolean;
  /** When it was started, reloaded or ended last, in milliseconds since 1970; not told where that never happened. */
  readonly changedAt?: number;
  /** What a socket unit listens on, as `systemctl show --property=Listen` tells it. */
  readonly listens?: readonly string[];
};

/** A connection to judge with `sshd -T -C` (sshd(8)). */
export type SshConnection = {
  readonly user: string;
  readonly host: string;
  readonly addr: string;
  readonly laddr: string;
  readonly lport: number;
};

/** Who judges a file: `keys` is ssh-keygen(1), for key files, authorized_keys and known_hosts. */
export type Judge = 'sshd' | 'chrony' | 'nftables' | 'iptables' | 'keepalived' | 'keys';

/** What a program that was asked says; `ran: false` where no program of this machine may judge (rehearsal). */
export type Verdict = { readonly ran: false } | { readonly ran: true; readonly problem: string | undefined };

export type Identity = {
  readonly hostname: string;
  readonly osName: string;
  readonly osVersion: string;
  readonly osFamily: OsFamily | 'other';
  readonly arch: string;
  readonly root: boolean;
  readonly cpus: number;
  readonly memoryMb: number;
  readonly timeZone: string;
  readonly ethernetPorts: number;
};

export type Disk = { readonly freeMb: number; readonly totalMb: number };

/** A file whose reload can be tried out, by the program that reads it. */
export type FirewallFile = { readonly adapter: 'nftables' | 'iptables'; readonly path: string };

/** The firewall as it is in force, read from the kernel. */
export type FirewallInForce = {
  readonly firewalldActive: boolean;
  /** `nft list ruleset` without the tables that firewalld or iptables own. */
  readonly nftRuleset: string;
  /** `iptables-save` of the filter table. */
  readonly iptables: string;
  /** What `nftRuleset` or `iptables` would be after a reload of the file that was named; absent where that can't be found out. */
  readonly afterReload?: string;
  /** firewalld's settings in force, and those of its files, which a reload brings; absent where it does not tell both. */
  readonly firewalld?: { readonly now: string; readonly afterReload: string };
};

export type ServiceVerb =
  | 'try-restart'
  | 'try-reload-or-restart'
  | 'enable'
  | 'disable'
  | 'restart'
  | 'stop'
  | 'start'
  | 'reset-failed';

/** What a process is doing (proc(5), field 3): `stopped` by a signal, or `waiting` in the kernel where no signal reaches it. */
export type ProcessState = 'running' | 'stopped' | 'waiting';

/** What a server offers besides its files: facts, processes, services, the network. */
export type System = {
  /** True where services are really controlled and judges really run. */
  readonly real: boolean;
  /** By os-release(5) alone: asks no program. */
  osFamily(): Identity['osFamily'];
  identity(): Promise<Identity>;
  /** Milliseconds since 1970. */
  clock(): number;
  /** Whole milliseconds since some instant. Nobody sets this one, so that it alone says how long something has taken. */
  elapsed(): number;
  addresses(): Promise<readonly Address[]>;
  /** The address that this server would use towards `address`; undefined without a route. */
  routeSource(address: string): Promise<string | undefined>;
  disk(path: string): Promise<Disk>;
  units(names: readonly string[]): Promise<Readonly<Record<string, UnitState>>>;
  /**
   * @param seconds waits so long until systemd has done it; without it for minutes, and `start` not at all
   * @throws CmsadmError service-failed, with the journal's last lines
   */
  control(verb: ServiceVerb, units: readonly string[], seconds?: number): Promise<void>;
  reloadUnitFiles(): Promise<void>;
  /** Text of `sshd -T -C …`; undefined where it can't be had. */
  effectiveSshd(connection: SshConnection): Promise<string | undefined>;
  /** Judges a staged file with the program that reads it, or (`sshd`) the whole configuration in place. */
  judge(judge: Judge, file: string): Promise<Verdict>;
  /** Gives the empty file `to` owner, mode, access lists, attributes and security label of `from` (cp(1)). */
  cloneAttributes(from: string, to: string): Promise<void>;
  /** Gives new files the security label of their place, where this server has labels (restorecon(8)). */
  label(files: readonly string[]): Promise<void>;
  /** TCP and UDP ports that something listens on. */
  listeners(): Promise<readonly { readonly port: number; readonly protocol: 'tcp' | 'udp' }[]>;
  /** @param file what nft(8) or iptables-restore(8) reads, where its reload is asked for */
  firewall(file: FirewallFile | undefined): Promise<FirewallInForce>;
  /** Runs `argv` once after `seconds`, whatever happens to this process. */
  arm(unit: string, seconds: number, argv: readonly string[]): Promise<void>;
  disarm(unit: string): Promise<void>;
  /** Writes a line to the journal under this program's name, whatever becomes of standard output; never throws. */
  journal(line: string): Promise<void>;
  /** Opens a TCP connection. @throws CmsadmError unreachable */
  connect(address: string, port: number): Promise<Duplex>;
  /** How a session with the other server's program is opened; SSH over `connect` unless said otherwise. */
  login?(target: Target, privateKey: string): Promise<Session>;
  bootId(): string;
  /** Start time of a process in clock ticks (proc(5), field 22); undefined if there is none, or only its remains. */
  processStart(pid: number): string | undefined;
  processState(pid: number): ProcessState | undefined;
  /** Asks a process to leave (SIGTERM); does nothing where there is none. */
  askToLeave(pid: number): void;
  /** Ends a process at once, one that stands still too, and waits until it is gone. @throws CmsadmError process-stays */
  endProcess(pid: number): Promise<void>;
  /** Runs the program's own installer from an unpacked release. */
  runInstaller(folder: string, options: readonly string[]): Promise<void>;
};

/** One server: its files and its system. */
export type Host = {
  readonly root: Root;
  readonly system: System;
  readonly programRoot: string /** Answers for the admin-sync service of a server that runs none; without it the service's socket is asked. */;
  readonly callAgent?: (verb: string, args: unknown) => Promise<unknown>;
  /** Stands for the programs of a server that this machine does not have. */
  readonly runProgram?: typeof run;
};
