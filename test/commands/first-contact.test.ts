// The first meeting of two servers when something is wrong: a dead agent, a revoked host key, a link that fails.
import { appendFileSync, mkdirSync } from 'node:fs';
import * as net from 'node:net';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { CommandContext } from '../../src/commands/context.ts';
import { servePeer } from '../../src/commands/peer.ts';
import { setUp } from '../../src/commands/setup.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { connect, fingerprint } from '../../src/host/ssh-client.ts';
import { readLink } from '../../src/pair/state.ts';
import { rehearsalHost } from '../../src/rehearsal/pair-folder.ts';
import { rehearsalLogin, startSshServer } from '../../src/rehearsal/ssh-server.ts';
import { makeHostKeys, startTestServer } from '../host/ssh-server.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, standing } from '../rehearsal/pair.ts';

const folder = tempFolder();
let newPair: NewPair;
beforeAll(async () => {
  newPair = await pairMaker(folder);
});
/** The context, with another way to the other server. */
const dialling = (context: CommandContext, dial: CommandContext['host']['system']['connect']): CommandContext => ({
  ...context,
  host: { ...context.host, system: { ...context.host.system, connect: dial } },
});

describe('an SSH agent whose socket is dead', () => {
  const nowhere = join(folder, 'no-agent');

  test('is one way less to log in: the password is still used', async () => {
    const hostKeys = makeHostKeys();
    const { dial, logins } = await startTestServer({ hostKeys, password: 'right', keyboardOnly: true });
    const target = { address: '192.0.2.12', port: 22, user: 'ops', pins: [hostKeys.ed25519] };
    const connection = await connect(dial, target, { agentSocket: nowhere, password: 'right' });
    connection.end();
    expect(logins).toContain('keyboard-interactive');
  });

  test('with a wrong password it is a refused login, and nothing else', async () => {
    const hostKeys = makeHostKeys();
    const { dial } = await startTestServer({ hostKeys, password: 'right' });
    const target = { address: '192.0.2.12', port: 22, user: 'ops', pins: [hostKeys.ed25519] };
    const refused = connect(dial, target, { agentSocket: nowhere, password: 'wrong' });
    await expect(refused).rejects.toMatchObject({ code: 'login-refused' });
  });

  test('and nothing else to log in with: set up asks for the password', async () => {
    vi.stubEnv('SSH_AUTH_SOCK', nowhere);
    try {
      const pair = newPair('dead-agent');
      const { 'peer-password-file': _, ...answers } = pair.answers;
      const ask = answering({ 'Password of operator': rehearsalLogin.password });
      const done = await setUp(pair.context(pair.cms1, { ask }), answers);
      expect(done).toMatchObject({ exitCode: exitCodes.done, result: { outcome: 'done' } });
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('a host key that known_hosts marks as revoked', () => {
  test.each([
    { name: 'it alone', beside: '' },
    { name: 'it, and pins all the same', beside: 'pin' },
  ])('is refused before any login, where known_hosts holds $name', async ({ name, beside }) => {
    const pair = newPair(`revoked-${name.length}`);
    const hostKeys = makeHostKeys();
    const { type, base64 } = hostKeys.ed25519;
    const known = join(pair.cms1, 'root/.ssh/known_hosts');
    mkdirSync(dirname(known), { recursive: true });
    appendFileSync(known, `@revoked 192.0.2.12 ${type} ${base64}\n`);
    if (beside === 'pin') appendFileSync(known, `192.0.2.12 ${type} ${base64}\n`);
    const { dial, logins } = await startTestServer({
      ...{ hostKeys, password: rehearsalLogin.password },
      rewrite: () => 'exit 1', // nothing of a first contact is for this machine
    });
    const before = standing(pair);
    for (const given of [
      { ...pair.answers, 'peer-fingerprint': fingerprint(hostKeys.ed25519) },
      ...(beside === 'pin' ? [{ ...pair.answers, 'peer-fingerprint': undefined }] : []),
    ])
      await expect(setUp(dialling(pair.context(pair.cms1), dial), given)).rejects.toMatchObject({
        code: 'host-key-revoked',
        file: '/root/.ssh/known_hosts',
      });
    expect(logins).toEqual([]);
    expect(standing(pair)).toEqual(before);
  });
});

describe('a link that fails', () => {
  /** cms2 as a server to which the program was carried; what its installer is told stands in `installed`. */
  async function carriedTo(
    pair: RehearsalPair,
    remove: () => void,
  ): Promise<{ context: CommandContext; installed: string[] }> {
    const installed: string[] = [];
    const { profile, host } = pair.context(pair.cms1);
    const port = await startSshServer(pair.cms2, true, (channel) => {
      const two = rehearsalHost(pair.cms2, host.programRoot, () => {});
      const runInstaller = async (carried: string, options: readonly string[]): Promise<void> => {
        installed.push([carried, ...options].join(' '));
        if (options.includes('--remove')) remove();
      };
      const noWayBack = (): Promise<never> => Promise.reject(new CmsadmError('unreachable', 'No way back.'));
      const system = { ...two.system, runInstaller, connect: noWayBack };
      const origin = { carriedIn: '/run/cmsadm-first.x' };
      return servePeer({ ...two, system }, profile, origin, channel, channel);
    });
    const dial = (): Promise<net.Socket> =>
      new Promise((resolve, reject) => {
        const socket = net.connect({ host: '127.0.0.1', port, noDelay: true });
        socket.once('connect', () => resolve(socket)).once('error', reject);
      });
    return { context: dialling(pair.context(pair.cms1), dial), installed };
  }

  test('takes the carried program away again, and leaves both unlinked', async () => {
    const pair = newPair('failed-link');
    const { context, installed } = await carriedTo(pair, () => {});
    await expect(setUp(context, pair.answers)).rejects.toMatchObject({
      code: 'unreachable',
      exitCode: exitCodes.putBack,
    });
    expect(installed).toEqual(['/run/cmsadm-first.x --brought', '/run/cmsadm-first.x --remove']);
    for (const prefix of [pair.cms1, pair.cms2]) expect(readLink({ prefix, ownersCount: false })).toBeUndefined();
  });

  test('is told even if the program cannot be taken away, which is told as well', async () => {
    const pair = newPair('failed-removal');
    const { context } = await carriedTo(pair, () => {
      throw new CmsadmError('install-failed', 'It stays.');
    });
    await expect(setUp(context, pair.answers)).rejects.toMatchObject({ code: 'unreachable' });
    expect(pair.lines).toContain('! The program stays in /opt/cmsadm on cms2.example.com.');
  });
});

describe('a pair whose link does not answer', () => {
  const silent = 'cmsadm on 192.0.2.12 did not greet: no answer within 20 s.';

  /** A pair, and cms1 whose logins with the pair's key all end like this. */
  async function silentPair(name: string): Promise<{ pair: RehearsalPair; context: CommandContext }> {
    const pair = newPair(name);
    await setUp(pair.context(pair.cms1), pair.answers);
    const context = pair.context(pair.cms1);
    const login = (): Promise<never> =>
      Promise.reject(new CmsadmError('no-greeting', silent, { server: '192.0.2.12' }));
    return { pair, context: { ...context, host: { ...context.host, system: { ...context.host.system, login } } } };
  }

  test('is told by that, where there is nothing else to log in with', async () => {
    const { pair, context } = await silentPair('silent-link');
    const { 'peer-password-file': _, ...answers } = pair.answers;
    const before = standing(pair);
    await expect(setUp(context, answers)).rejects.toMatchObject({
      code: 'no-greeting',
      message: silent,
      server: '192.0.2.12',
      exitCode: exitCodes.refused,
      remedy: expect.stringContaining('--peer-password-file'),
    });
    expect(standing(pair)).toEqual(before);
  });

  test('meets anew with a login of its own, and says why', async () => {
    const { pair, context } = await silentPair('silent-link-anew');
    const done = await setUp(context, pair.answers);
    expect(done).toMatchObject({ exitCode: exitCodes.done });
    expect(pair.lines).toContain(`! ${silent} The two meet anew, with your own login.`);
  });
});
