import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect as dial, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { readWatched } from '../../src/acd/watched.ts';
import { lookOnce, watchAcdLinks } from '../../src/agent/acd-links.ts';
import { CmsadmError } from '../../src/errors.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type NewPair, pairMaker, type RehearsalPair } from '../rehearsal/pair.ts';

const folder = tempFolder();
let make: NewPair;
beforeAll(async () => {
  make = await pairMaker(folder);
}, 60_000);
const listeners: Server[] = [];
afterAll(() => listeners.forEach((one) => void one.close()));

/** Plays a switch on a port of this machine, and counts its calls. */
async function listening(onPort = 0): Promise<{ readonly port: number; calls: number; end(): Promise<void> }> {
  const end = () => new Promise<void>((resolve) => void server.close(() => resolve()));
  const told = { port: 0, calls: 0, end };
  const server = createServer((socket) => {
    told.calls += 1;
    socket.on('error', () => {}).resume();
  });
  listeners.push(server);
  await new Promise<void>((resolve) => server.listen(onPort, '127.0.0.1', resolve));
  const address = server.address();
  told.port = typeof address === 'object' && address ? address.port : 0;
  return told;
}

const definition =
  'id: 1-1-1\nname: north\nrelease: 10.x\nmaster: true\nvectoring: true\nexpertAgentSelection: false\n' +
  'disconnectSupervision: true\nsplits: 1\nsplitMembers: 1\nshifts: []\ntrunkGroups: 1\ntrunks: 1\n' +
  'unmeasuredFacilities: 1\ncallWorkCodes: 1\nvectors: 1\nvdns: 1\n';

/** A server with one ACD whose two addresses are these ports. */
function server(pair: RehearsalPair, main: number, survivable: number) {
  const put = (path: string, text: string): void => {
    mkdirSync(join(pair.cms1, path, '..'), { recursive: true });
    writeFileSync(join(pair.cms1, path), text);
  };
  put('cms/admin/acd/1.yaml', definition);
  put(
    'var/lib/cmsadm/own/acd/1-link.yaml',
    `id: 1-1-1\nlocalPort: 1\nremotePort: 1\ntransport: TCP/IP\nhost: 127.0.0.1\nport: ${main}\n` +
      `survivable: { host: 127.0.0.1, port: ${survivable} }\n`,
  );
  const { host, profile } = pair.context(pair.cms1);
  const connect = (name: string, port: number) =>
    new Promise<ReturnType<typeof dial>>((resolve, reject) => {
      const socket = dial({ host: name, port });
      socket.once('connect', () => resolve(socket));
      socket.once('error', (error) => reject(new CmsadmError('unreachable', error.message)));
    });
  const known = new Map();
  const agent = { host: { ...host, system: { ...host.system, connect } }, profile };
  const look = async (returnsToMain = false): Promise<string> => {
    await lookOnce(agent, known, returnsToMain);
    return JSON.stringify(readWatched(host.root));
  };
  return { look, put, alarms: () => readAlarms(host.root).map(({ text }) => text) };
}

describe('the agent watches the links to the ACDs', () => {
  test('goes to the survivable address after five tries, one address at a time, and stays with what answers', async () => {
    const survivable = await listening();
    const { look, alarms } = server(make('moves'), 1, survivable.port);
    for (let tries = 1; tries <= 4; tries += 1) expect(await look()).toContain(`${tries} of 5 tries failed`);
    await look();
    expect(survivable.calls).toBe(0);
    expect(await look()).toContain(`127.0.0.1 port ${survivable.port} (survivable) answers`);
    expect(survivable.calls).toBe(1);
    expect(alarms()).toEqual([]);
  });

  test('goes back to the main address once it answers where it is told to, and only then', async () => {
    const survivable = await listening();
    const main = await listening();
    await main.end();
    const { look, alarms } = server(make('returns'), main.port, survivable.port);
    for (let tries = 1; tries <= 6; tries += 1) await look(true);
    const at = (port: number, which: string): string => `127.0.0.1 port ${port} (${which}) answers`;
    // Every second try looks back; the survivable address is the one in use meanwhile.
    for (let tries = 1; tries <= 4; tries += 1) expect(await look(true)).toContain(at(survivable.port, 'survivable'));
    expect(survivable.calls).toBe(3);
    const back = await listening(main.port);
    for (let tries = 1; tries <= 3; tries += 1) expect(await look(false)).toContain(at(survivable.port, 'survivable'));
    expect([survivable.calls, back.calls]).toEqual([6, 0]);
    expect(await look(true)).toContain(at(survivable.port, 'survivable'));
    expect(await look(true)).toContain(at(main.port, 'main'));
    expect(await look(true)).toContain(at(main.port, 'main'));
    expect([survivable.calls, back.calls]).toEqual([7, 2]);
    expect(alarms()).toEqual([]);
  });

  test('raises one alarm after a whole round without an answer, and settles it when the switch is back', async () => {
    const main = await listening();
    const { look, put, alarms } = server(make('alarm'), 1, 2);
    for (let tries = 1; tries <= 6; tries += 1) await look();
    expect(alarms()).toEqual([]);
    for (let tries = 1; tries <= 4; tries += 1) await look();
    expect(alarms()).toEqual(['ACD 1 (north): no address of the switch answers this server.']);
    put(
      'var/lib/cmsadm/own/acd/1-link.yaml',
      `id: 1-1-1\nlocalPort: 1\nremotePort: 1\ntransport: TCP/IP\nhost: 127.0.0.1\nport: ${main.port}\n`,
    );
    expect(await look()).toContain('answers');
    expect(alarms()).toEqual([]);
  });

  test('an ACD that is removed takes its alarm along', async () => {
    const pair = make('gone');
    const { look, alarms } = server(pair, 1, 2);
    for (let tries = 1; tries <= 7; tries += 1) await look();
    expect(alarms()).toHaveLength(1);
    rmSync(join(pair.cms1, 'cms/admin/acd/1.yaml'));
    expect(await look()).toBe('{}');
    expect(existsSync(join(pair.cms1, 'run/cmsadm/acd-links.json'))).toBe(false);
    expect(alarms()).toEqual([]);
  });

  test('calls no link that is busied out, or that the product says is up', async () => {
    const main = await listening();
    const { look, put } = server(make('busy'), main.port, 2);
    const says = (state: string): void => {
      put('cms/bin/acd-link', `#!/bin/sh\necho collection=on\necho link=${state}\n`);
    };
    says('busy');
    const { chmodSync } = await import('node:fs');
    chmodSync(join(folder, 'busy/cms1/cms/bin/acd-link'), 0o755);
    expect(await look()).toContain('busied out');
    says('up');
    expect(await look()).toContain('the product holds it');
    expect(main.calls).toBe(0);
    says('down');
    expect(await look()).toContain('answers');
    expect(main.calls).toBe(1);
  });

  test.each([
    { name: 'switches that swallow packets', connectSeconds: 10, stateSeconds: 0, starts: [0, 30, 60, 90] },
    { name: 'programs that take longer than that', connectSeconds: 10, stateSeconds: 50, starts: [0, 61, 122] },
  ])('tries every link every 30 s, side by side: $name', async ({ name, connectSeconds, stateSeconds, starts }) => {
    const pair = make(name);
    const { put } = server(pair, 5001, 5002);
    put('cms/admin/acd/2.yaml', definition.replace('1-1-1', '2-1-1').replace('north', 'south'));
    put(
      'var/lib/cmsadm/own/acd/2-link.yaml',
      'id: 2-1-1\nlocalPort: 1\nremotePort: 1\ntransport: TCP/IP\nhost: 127.0.0.2\nport: 5001\n',
    );
    const { host, profile } = pair.context(pair.cms1);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const began = performance.now();
    const waited = (seconds: number) => new Promise<void>((resolve) => void setTimeout(resolve, seconds * 1000));
    const looks: Record<string, number[]> = { '1': [], '2': [] };
    const tries: Record<string, number> = {};
    const runProgram = async (argv: readonly string[]) => {
      looks[argv.at(-1) ?? '']?.push((performance.now() - began) / 1000);
      await waited(stateSeconds);
      return { stdout: 'collection=on\nlink=down\n', stderr: '', exitCode: 0 };
    };
    const connect = async (address: string): Promise<never> => {
      tries[address] = (tries[address] ?? 0) + 1;
      await waited(connectSeconds);
      throw new CmsadmError('unreachable', 'no answer within 10 s');
    };
    const system = { ...host.system, real: true, connect };
    const end = new AbortController();
    const watching = watchAcdLinks({ host: { ...host, system, runProgram }, profile }, end.signal, () => false);
    await vi.advanceTimersByTimeAsync((starts.at(-1) ?? 0) * 1000 + 500);
    end.abort();
    // The last round comes to its end.
    await vi.advanceTimersByTimeAsync(100_000);
    await watching;
    expect(looks).toEqual({ '1': starts, '2': starts });
    expect(tries).toEqual({ '127.0.0.1': starts.length, '127.0.0.2': starts.length });
  });
});
