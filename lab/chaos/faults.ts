import { setTimeout as sleep } from 'node:timers/promises';
import { drain, fill } from '../disk.ts';
import { cut, exec, freeze, heal, powerOff, powerOn, slow, thaw } from '../lab.ts';
import { findGuest } from '../lifecycle.ts';
import type { Deed } from './operations.ts';
import type { Excuse } from './probe.ts';
import { lineMark } from './references.ts';
import type { Running } from './running.ts';
import type { Fault, FaultKind, Target } from './schedule.ts';
import { other, type PairServer } from './standing.ts';
import { begun, type Usual } from './usual.ts';
import type { Line } from './verdict.ts';

/** What became of a planned fault. */
export type Befallen = {
  readonly kind: FaultKind;
  readonly servers: readonly PairServer[];
  /** Milliseconds after the operation's start; undefined where the operation had ended before its instant. */
  readonly at: number | undefined;
  /** How long it lasted, in milliseconds. */
  readonly lasted: number;
};

/** What the faults of one round know and leave behind. */
export type Scene = {
  readonly deed: Deed;
  readonly running: Running;
  /** How the operation goes without faults. */
  readonly usual: Usual;
  readonly excuses: Excuse[];
  /** Writes down a line that the administrator adds, and returns it with the file that it goes to. */
  readonly newLine: (server: PairServer) => Line;
};

/** Faults that last to the end of an operation that waits for that end are mended after this long. */
const LONGEST_MS = 45_000;

/** Waits for a fault's instant, brings it about, and mends it in time. */
export async function befall(fault: Fault, scene: Scene): Promise<Befallen> {
  const { running } = scene;
  const servers = fault.targets.map((target) => serverOf(target, scene.deed));
  const missed: Befallen = { kind: fault.kind, servers, at: undefined, lasted: 0 };
  if (!(await instantComes(fault, scene))) return missed;
  const at = running.milliseconds();
  const mend = await Promise.all(servers.map((server) => strike(fault, server, scene)));
  if (mend.every((one) => one === undefined)) return missed;
  const longest = sleep(LONGEST_MS, undefined, { ref: false });
  if (fault.until === 'end') await Promise.race([running.ended, longest]);
  else await sleep(fault.until);
  await Promise.all(mend.map((one) => one?.()));
  return { kind: fault.kind, servers, at: Math.round(at), lasted: Math.round(running.milliseconds() - at) };
}

const serverOf = (target: Target, { on }: Deed): PairServer => (target === 'coordinator' ? on : other(on));

/** Resolves at the fault's instant to true, or to false when the operation ends before it. */
async function instantComes({ at }: Fault, { running, usual }: Scene): Promise<boolean> {
  const due = (): number | undefined => {
    if ('share' in at) return at.share * usual.milliseconds;
    const times = usual.said[at.mark];
    // An operation without that step: what chooses among its repetitions chooses a share of the time.
    if (times === 0) return at.which * usual.milliseconds;
    const said = begun(running.said(), at.mark)[Math.floor(at.which * times)];
    return said === undefined ? undefined : said.at + at.afterMs;
  };
  while (!running.hasEnded()) {
    const when = due();
    if (when !== undefined && running.milliseconds() >= when) return true;
    await sleep(5);
  }
  return false;
}

type Mend = () => Promise<void>;

/** Brings a fault about on one server, and returns what mends it; undefined where it can't be: no power, no program. */
async function strike(fault: Fault, server: PairServer, scene: Scene): Promise<Mend | undefined> {
  if (findGuest(server) === undefined) return undefined;
  const from = Date.now();
  const excused = async (): Promise<void> => void scene.excuses.push({ server, from, to: Date.now() });
  const isOn = (): boolean => findGuest(server) !== undefined;
  switch (fault.kind) {
    case 'power':
      await powerOff(server);
      return async () => {
        // Another fault of the round may have booted it.
        if (!isOn()) await powerOn(server);
        await excused();
      };
    case 'cable':
      await cut(server);
      return async () => {
        await heal(server);
        await excused();
      };
    case 'loss':
    case 'delay':
      await slow(server, fault.kind === 'loss' ? { lossPercent: 30 } : { delayMs: 500 });
      return async () => {
        if (isOn()) await slow(server);
        await excused();
      };
    case 'disk':
      await fill(server, fault.freeKb);
      return () => drain(server);
    case 'sshd':
      await exec(server, ['systemctl', 'stop', 'ssh']);
      return async () => {
        if (isOn()) await exec(server, ['systemctl', 'start', 'ssh']);
        await excused();
      };
    case 'frozen server':
      freeze(server);
      return async () => {
        if (isOn()) thaw(server);
        await excused();
      };
    case 'frozen program':
    case 'killed program':
      return signalProgram(fault.kind, server, isOn, scene.running);
    case 'edit': {
      await addLine(scene.newLine(server));
      return async () => undefined;
    }
  }
}

async function signalProgram(
  kind: 'frozen program' | 'killed program',
  server: PairServer,
  isOn: () => boolean,
  running: Running,
): Promise<Mend | undefined> {
  const found = await exec(server, ['sh', '-c', programs], { reject: false });
  const pids = found.stdout.split('\n').filter((pid) => pid !== '');
  if (pids.length === 0) return undefined;
  const signal = (name: string) => exec(server, ['kill', `-${name}`, ...pids], { reject: false });
  await signal(kind === 'killed program' ? 'KILL' : 'STOP');
  return async () => {
    if (kind === 'frozen program' && isOn()) await signal('CONT');
    running.goOn();
  };
}

// The operation itself, or the program that serves it on the other server; not the agents.
const programs = `ps -eo pid=,args= | awk '/cli\\.js (peer|config_HA)/ { print $1 }'`;

/** Writes an administrator's line at the end of its file, in place, as `>>` does. */
export async function addLine({ server, path, text }: Line): Promise<void> {
  await exec(server, ['sh', '-c', 'printf "%s\\n" "$2" >>"$1"', 'sh', path, text]);
}

/** The line that an administrator adds with a number of its own. */
export const lineNumber = (number: number): string => `# ${lineMark} ${number}.`;
