// What the tests of ACDs on real servers share: the switch that is played, the questions, and the commands' flags.
import { createServer, type Server as Listener } from 'node:net';
import { expect } from 'vitest';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { argsOf, attempt, cmsadm, objectOf, type Server, told } from './kit.ts';

/** The bridge: this machine, as the servers see it. */
export const here = '10.77.0.1';
export const definition = (number: number): string => `/cms/admin/acd/${number}.yaml`;
export const link = (number: number): string => `/var/lib/cmsadm/own/acd/${number}-link.yaml`;
export const data = (number: number): string => `/cms/data/acd/${number}`;

export type PlayedSwitch = { readonly callers: string[]; readonly end: () => Promise<void> };

/**
 * A TCP listener on this machine that plays the switch, and notes who called.
 * @param onCall hears of each call when it begins (1) and ends (-1)
 */
export async function playSwitch(
  port: number,
  onCall: (from: string, change: 1 | -1) => void = () => {},
): Promise<PlayedSwitch> {
  const callers: string[] = [];
  const listener: Listener = createServer((socket) => {
    const from = socket.remoteAddress ?? '';
    callers.push(from);
    onCall(from, 1);
    socket
      .on('error', () => {})
      .once('close', () => onCall(from, -1))
      .resume();
  });
  await new Promise<void>((resolve, reject) => listener.once('error', reject).listen(port, here, resolve));
  return { callers, end: () => new Promise((resolve) => void listener.close(() => resolve())) };
}

type Command = 'acd_create' | 'acd_remove' | 'acd_list' | 'acd_check' | 'acd_link';

/** Runs a command with --json and --yes, holds what it prints against the schema, and returns it. */
export async function acd(server: Server, command: Command, args: readonly string[], exitCode = 0): Promise<unknown> {
  const result = await cmsadm(server, command, ...args, '--json', '--yes');
  expect(result.exitCode, told(result)).toBe(exitCode);
  const printed = objectOf(result);
  if (exitCode === 0) expect(misfits(publishedSchema(command), printed)).toEqual([]);
  return printed;
}

export const flags = (number: number, name: string, more: Readonly<Record<string, string>> = {}): string[] =>
  argsOf({
    ...{ acd: String(number), 'switch-name': name, release: '10.x', vectoring: 'y', eas: 'n', host: here },
    ...{ 'local-port': '1', 'remote-port': '1', 'split-members': '900', 'shift-1-agents': '200', ...more },
  });
export const peerFlags = { 'peer-local-port': '2', 'peer-remote-port': '2', 'peer-host': here, 'peer-port': '5002' };

export const isThere = async (server: Server, path: string): Promise<boolean> =>
  (await attempt(server, 'test', '-e', path)).exitCode === 0;
export const comes = (server: Server, path: string, wanted = true): Promise<void> =>
  expect.poll(() => isThere(server, path), { timeout: 15_000, interval: 200 }).toBe(wanted);

/** The questions at a terminal in their order, an answer that is refused, and one that is taken. */
export const dialogue: readonly (readonly [question: string, wrong: readonly string[], right: string])[] = [
  ['ACD number (1-8), q leaves (default: 1):', ['0', '9', 'x'], ''],
  ['Switch name:', ['', 'a name of more than twenty', 'Zürich'], 'north'],
  ['Switch release (7.x, 8.x, 10.x):', ['9.x', ''], '10.x'],
  ['Vectoring (y/n):', ['', 'yes'], 'y'],
  ['Expert Agent Selection (y/n):', ['', '1'], 'n'],
  ['Does the central office have disconnect supervision (y/n) (default: y):', ['N'], 'n'],
  ['Phantom-abandon call timer, seconds (1-10):', ['0', '11', ''], '5'],
  ['Local port (1-64):', ['0', '65', ''], '1'],
  ['Remote port (1-64):', ['0', '65', '-1'], '64'],
  ['Transport (TCP/IP) (default: TCP/IP):', ['X.25'], ''],
  ['Switch host name or IP address:', ['', '10.77.0', '$(reboot)'], here],
  ['TCP port (5001-5999) (default: 5001):', ['5000', '6000'], ''],
  ['Splits/skills (0-8000) (default: 350):', ['8001', '1.5'], ''],
  ['Total split/skill members (0-99999):', ['', '100000'], '900'],
  ['Shifts (1-4) (default: 1):', ['0', '5'], '2'],
  ['Shift 1: start (default: 8:00 AM):', ['8', '25:00 AM'], ''],
  ['Shift 1: stop (default: 5:00 PM):', ['17:00'], '4:00 pm'],
  ['Shift 1: agents logged in (0-900):', ['901', ''], '300'],
  ['Shift 2: start (default: 8:00 AM):', ['0:00 AM'], '4:00 PM'],
  ['Shift 2: stop (default: 5:00 PM):', ['noon'], '11:59 PM'],
  ['Shift 2: agents logged in (0-900):', ['1000'], '0'],
  ['Trunk groups (0-2000) (default: 350):', ['2001'], ''],
  ['Trunks (0-24000) (default: 1000):', ['24001'], ''],
  ['Unmeasured facilities (0-12000) (default: 500):', ['12001'], ''],
  ['Call work codes (1-1999) (default: 750):', ['0', '2000'], ''],
  ['Vectors (0-8000) (default: 350):', ['8001'], ''],
  ['VDNs (0-30000) (default: 2000):', ['30001'], ''],
];
