import * as fs from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import * as v from 'valibot';
import { parse } from 'yaml';
import { CmsadmError } from '../errors.ts';
import { askToLeave, bootId, endProcess, processStart, processState } from '../host/process-table.ts';
import type { ServiceVerb, System, UnitState } from '../host/system.ts';
import { paths } from '../pair/state.ts';

/** What was recorded of a server: everything that a real system would be asked. */
const recordedSchema = v.strictObject({
  identity: v.strictObject({
    hostname: v.string(),
    osName: v.string(),
    osVersion: v.string(),
    osFamily: v.picklist(['debian', 'rhel']),
    arch: v.string(),
    root: v.boolean(),
    cpus: v.number(),
    memoryMb: v.number(),
    timeZone: v.string(),
    ethernetPorts: v.number(),
  }),
  addresses: v.array(v.strictObject({ interface: v.string(), address: v.string(), static: v.boolean() })),
  disk: v.strictObject({ freeMb: v.number(), totalMb: v.number() }),
  units: v.record(v.string(), v.strictObject({ exists: v.boolean(), active: v.boolean(), enabled: v.boolean() })),
  /** Text of `sshd -T -C …` for root coming from the other server. */
  sshd: v.string(),
  listeners: v.array(v.strictObject({ port: v.number(), protocol: v.picklist(['tcp', 'udp']) })),
  firewall: v.strictObject({ firewalldActive: v.boolean(), nftRuleset: v.string(), iptables: v.string() }),
  /** The other server's address and folder name. */
  other: v.strictObject({ address: v.string(), folder: v.string() }),
});
export type Recorded = v.InferOutput<typeof recordedSchema>;

/** Reads `<folder>.yaml` beside a server's folder. @throws CmsadmError rehearsal-missing */
export function readRecorded(folder: string): Recorded {
  try {
    return v.parse(recordedSchema, parse(fs.readFileSync(recordOf(folder), 'utf8')));
  } catch (cause) {
    throw missing(folder, cause);
  }
}

const recordOf = (folder: string): string => `${folder}.yaml`;

const missing = (folder: string, cause?: unknown): CmsadmError =>
  new CmsadmError('rehearsal-missing', `${recordOf(folder)} does not tell the facts of this root.`, {
    file: recordOf(folder),
    cause,
    remedy: 'A root other than / is for rehearsals; make one with: npm start',
  });

/**
 * A system made of recorded facts: services are not controlled but written down, no program of this machine judges
 * anything, and the other server is a folder beside this one.
 * @param tell gets each action that a real server would have carried out
 * @param portOf the port on loopback where the other server's embedded SSH server listens
 */
export function recordedSystem(
  folder: string,
  tell: (text: string) => void,
  portOf: (folder: string) => Promise<number>,
): System {
  if (!fs.existsSync(recordOf(folder))) throw missing(folder);
  let known: Recorded | undefined;
  // The menu is there before anything of it is needed.
  const recorded = (): Recorded => {
    known ??= readRecorded(folder);
    return known;
  };
  const unitsFile = `${folder}.units.json`;
  const read = (): Record<string, UnitState> =>
    fs.existsSync(unitsFile) ? JSON.parse(fs.readFileSync(unitsFile, 'utf8')) : recorded().units;
  const unknown: UnitState = { exists: false, active: false, enabled: false };
  const record = (verb: ServiceVerb, units: readonly string[]): void => {
    const states = { ...read() };
    for (const unit of units) {
      const state = states[unit] ?? { ...unknown, exists: true };
      const active = verb === 'restart' || verb === 'start' || (state.active && verb !== 'stop');
      const enabled = verb === 'enable' || (state.enabled && verb !== 'disable');
      states[unit] = { exists: true, active, enabled };
    }
    fs.writeFileSync(unitsFile, JSON.stringify(states));
  };
  const hostname = (): string => recorded().identity.hostname;
  return {
    real: false,
    osFamily: () => recorded().identity.osFamily,
    identity: async () => recorded().identity,
    clock: () => Date.now(),
    elapsed: () => Math.trunc(performance.now()),
    addresses: async () => recorded().addresses,
    routeSource: async () => recorded().addresses[0]?.address,
    disk: async () => recorded().disk,
    units: async (names) => {
      const states = read();
      return Object.fromEntries(names.map((name) => [name, states[name] ?? unknown]));
    },
    control: async (verb, units) => {
      if (units.length === 0) return;
      record(verb, units);
      tell(`recorded on ${hostname()}: systemctl ${verb} ${units.join(' ')}`);
    },
    reloadUnitFiles: async () => tell(`recorded on ${hostname()}: systemctl daemon-reload`),
    effectiveSshd: async () => recorded().sshd,
    judge: async () => ({ ran: false }),
    cloneAttributes: async () => undefined, // the folders of a rehearsal have none
    label: async () => undefined,
    listeners: async () => recorded().listeners,
    firewall: async () => recorded().firewall,
    arm: async (unit, seconds) => tell(`recorded on ${hostname()}: way back armed, ${unit} in ${seconds} s`),
    disarm: async (unit) => tell(`recorded on ${hostname()}: way back disarmed, ${unit}`),
    journal: async (line) => tell(`recorded on ${hostname()}: journal, ${line}`),
    connect: async (address) => {
      if (address !== recorded().other.address)
        throw new CmsadmError(
          'unreachable',
          `No connection to ${address}: in this rehearsal only ${recorded().other.address} is there.`,
          {
            server: address,
            remedy: `Give ${recorded().other.address}.`,
          },
        );
      const port = await portOf(recorded().other.folder);
      return new Promise((resolve, reject) => {
        const socket = net.connect({ host: '127.0.0.1', port });
        socket.once('error', reject);
        socket.once('connect', () => resolve(socket.setNoDelay(true)));
      });
    },
    // Those of this machine: another terminal may work on the same pair.
    bootId,
    processStart,
    processState,
    askToLeave,
    endProcess,
    runInstaller: async (_folder, options) => {
      tell(`recorded on ${hostname()}: install ${options.join(' ')}`);
      // Of the program only its mark goes: the practice goes on with it.
      if (options.includes('--remove')) fs.rmSync(join(folder, paths.brought), { force: true });
    },
  };
}
