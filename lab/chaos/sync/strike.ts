import { setTimeout as sleep } from 'node:timers/promises';
import { CmsadmError } from '../../../src/errors.ts';
import { drain, fill } from '../../disk.ts';
import { cut, exec, heal, powerOff, powerOn, slow } from '../../lab.ts';
import { findGuest } from '../../lifecycle.ts';
import { other, type PairServer, pair } from '../standing.ts';
import type { Blow } from './plan.ts';

/** The servers that are meant, as the roles are. */
export const struckServers = ({ target }: Blow, primary: PairServer): readonly PairServer[] =>
  target === 'both' ? pair : [target === 'primary' ? primary : other(primary)];

/** Brings a fault about and mends it when it has lasted its time. What another fault made impossible is left out. */
export async function strike(blow: Blow, primary: PairServer): Promise<void> {
  const mends = await Promise.all(struckServers(blow, primary).map((server) => strikeOne(blow, server)));
  await sleep(blow.lasts);
  await Promise.all(mends.map((mend) => mend()));
}

type Mend = () => Promise<unknown>;

const isOn = (server: PairServer): boolean => findGuest(server) !== undefined;

/** A command in a server that may be losing its power at this moment. */
const attempt = async (server: PairServer, ...argv: readonly string[]): Promise<unknown> => {
  if (!isOn(server)) return undefined;
  return exec(server, argv, { reject: false }).catch((error: unknown) => {
    if (!(error instanceof CmsadmError) || error.code !== 'lab-server-off') throw error;
  });
};

async function strikeOne({ fault, freeKb, shift }: Blow, server: PairServer): Promise<Mend> {
  switch (fault) {
    case 'agent killed':
      await attempt(server, 'sh', '-c', killAgent);
      return async () => undefined;
    case 'agent stopped':
      await attempt(server, 'systemctl', 'stop', 'cmsadm-agent');
      return () => attempt(server, 'systemctl', 'start', 'cmsadm-agent');
    case 'power':
      await powerOff(server);
      return async () => (isOn(server) ? undefined : powerOn(server));
    case 'cable':
      await cut(server);
      return () => heal(server);
    case 'loss':
    case 'delay':
      if (isOn(server)) await slow(server, fault === 'loss' ? { lossPercent: 30 } : { delayMs: 500 });
      return async () => (isOn(server) ? slow(server) : undefined);
    case 'disk':
      await fill(server, freeKb);
      return () => drain(server);
    case 'clock':
      await attempt(server, 'sh', '-c', shiftClock(shift));
      return () => attempt(server, 'sh', '-c', shiftClock(0));
    case 'reverse':
      throw new Error('reverse is no fault');
  }
}

/** Where the agents read how wrong their clock goes; gone with a reboot. */
const shiftFile = '/run/cmsadm/test-clock-shift';

/** One second before the next midnight of its clock, which the agent then lives through. */
const toMidnight = '$(($(date -d "tomorrow 00:00" +%s) - $(date +%s) - 1))';

const shiftClock = (shift: Blow['shift']): string =>
  `echo "${typeof shift === 'number' ? shift : toMidnight}" >${shiftFile}.new && mv ${shiftFile}.new ${shiftFile}`;

/** Has the agents of both servers read it. */
export async function installClock(): Promise<void> {
  const folder = '/etc/systemd/system/cmsadm-agent.service.d';
  const lines = `[Service]\nEnvironment=CMSADM_TEST_CLOCK_SHIFT=${shiftFile}\n`;
  for (const server of pair) {
    await exec(server, ['sh', '-c', `mkdir -p ${folder} && cat >${folder}/test-clock.conf`], { input: lines });
    await exec(server, ['systemctl', 'daemon-reload']);
    await exec(server, ['systemctl', 'restart', 'cmsadm-agent']);
  }
}

// With the program that serves the other server's session, where there is one.
const killAgent = `kill -9 $(ps -eo pid=,args= | awk '/cli\\.js (agent|peer)/ { print $1 }')`;

/** Ends whatever may still last: all on, all in, agents running. */
export async function mendAllOfSync(): Promise<void> {
  for (const server of pair) {
    await drain(server);
    await heal(server);
    if (!isOn(server)) await powerOn(server);
    await slow(server);
    await exec(server, ['sh', '-c', shiftClock(0)]);
    await exec(server, ['systemctl', 'start', 'cmsadm-agent']);
  }
}
