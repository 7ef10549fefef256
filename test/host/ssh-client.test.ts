import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { makeKeyPair } from '../../src/host/pair-key.ts';
import { connect, fingerprint, type PublicKey, scanHostKeys } from '../../src/host/ssh-client.ts';
import { makeHostKeys, startTestServer, type TestServer } from './ssh-server.ts';

const hostKeys = makeHostKeys();
const start = (
  more: { keyboardOnly?: boolean; inTurn?: readonly ['publickey' | 'password', 'publickey' | 'password'] } = {},
): Promise<TestServer> => startTestServer({ hostKeys, password: 'right', ...more });
const target = (pins: readonly PublicKey[]) => ({ address: '192.0.2.12', port: 22, user: 'ops', pins });
const other = makeKeyPair('other').publicKey;

describe('host keys', () => {
  test('without a pin nothing is even dialled', async () => {
    let dialled = false;
    const dial = async (): Promise<never> => {
      dialled = true;
      throw new Error('dialled');
    };
    await expect(connect(dial, target([]), { password: 'right' })).rejects.toMatchObject({
      code: 'host-key-unknown',
      server: '192.0.2.12',
    });
    expect(dialled).toBe(false);
  });

  test('another key than the pinned one is refused before any password is sent', async () => {
    const { dial, logins } = await start();
    const refused = connect(dial, target([other]), { password: 'right' });
    await expect(refused).rejects.toMatchObject({
      code: 'host-key-changed',
      server: '192.0.2.12',
      message: expect.stringContaining(fingerprint(hostKeys.ed25519)),
      details: [expect.stringContaining(fingerprint(other))],
    });
    expect(logins).toEqual([]);
  });

  test.each([
    { name: 'the ed25519 key', pins: [hostKeys.ed25519] },
    { name: 'the RSA key, although the server has an ed25519 key too', pins: [hostKeys.rsa] },
    { name: 'both', pins: [hostKeys.rsa, hostKeys.ed25519] },
    { name: 'the right key beside an old one of another type', pins: [hostKeys.rsa, other] },
  ])('pinned: $name', async ({ pins }) => {
    const { dial } = await start();
    const connection = await connect(dial, target(pins), { password: 'right' });
    const channel = await connection.exec('echo "in as $((1 + 1))"');
    expect(await text(channel)).toBe('in as 2\n');
    connection.end();
  });

  test('a certificate is no pin: there is no host key type that we accept', async () => {
    const { dial, logins } = await start();
    const pin = { type: 'ssh-ed25519-cert-v01@openssh.com', base64: 'AAAA' };
    await expect(connect(dial, target([pin]), { password: 'right' })).rejects.toMatchObject({
      server: '192.0.2.12',
      code: expect.stringMatching(/^(host-key-changed|ssh-failed)$/),
    });
    expect(logins).toEqual([]);
  });

  test('a scan shows all types, logs in nowhere, and stops at the first that is enough', async () => {
    const { dial, logins } = await start();
    expect(await scanHostKeys(dial, '192.0.2.12', 22, () => false)).toEqual([hostKeys.ed25519, hostKeys.rsa]);
    expect(await scanHostKeys(dial, '192.0.2.12', 22, () => true)).toEqual([hostKeys.ed25519]);
    expect(logins).toEqual([]);
  });

  test('fingerprints are written as ssh-keygen does', () => {
    expect(fingerprint(hostKeys.rsa)).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
    expect(
      fingerprint({
        type: 'ssh-ed25519',
        base64: 'AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl',
      }),
    ).toBe('SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU');
  });
});

describe('logging in', () => {
  test('a wrong password is refused, with user and server', async () => {
    const { dial } = await start();
    await expect(connect(dial, target([hostKeys.ed25519]), { password: 'wrong' })).rejects.toMatchObject({
      code: 'login-refused',
      message: expect.stringContaining('ops'),
      server: '192.0.2.12',
    });
  });

  test.each([
    { password: 'right', code: undefined },
    { password: 'wrong', code: 'login-refused' },
  ])('a server that only asks questions gets the password $password: $code', async ({ password, code }) => {
    const { dial, logins } = await start({ keyboardOnly: true });
    const outcome = await connect(dial, target([hostKeys.ed25519]), { password }).then(
      (connection) => connection.end(),
      (error: unknown) => error,
    );
    if (code === undefined) expect(outcome).toBeUndefined();
    else expect(outcome).toMatchObject({ code });
    expect(logins).toContain('keyboard-interactive');
  });

  test.each([{ inTurn: ['publickey', 'password'] as const }, { inTurn: ['password', 'publickey'] as const }])(
    'a server that wants two ways in gets both in its order: $inTurn',
    async ({ inTurn }) => {
      const { dial, logins } = await start({ inTurn });
      const { privateKey } = makeKeyPair('known');
      const connection = await connect(dial, target([hostKeys.ed25519]), { privateKey, password: 'right' });
      connection.end();
      expect(logins).toContain(inTurn[0]);
      expect(logins.at(-1)).toBe(inTurn[1]);
      await expect(connect(dial, target([hostKeys.ed25519]), { privateKey })).rejects.toMatchObject({
        code: 'login-refused',
      });
    },
  );

  test('a connection that went away since the login is told as such', async () => {
    const { dial } = await start();
    let socket: Awaited<ReturnType<typeof dial>> | undefined;
    const kept = async (address: string, port: number) => {
      socket = await dial(address, port);
      return socket;
    };
    const connection = await connect(kept, target([hostKeys.ed25519]), { password: 'right' });
    socket?.destroy();
    await expect(connection.exec('true')).rejects.toMatchObject({ code: 'ssh-failed', server: '192.0.2.12' });
  });

  test('a key that the server does not know is refused', async () => {
    const { dial, logins } = await start();
    const { privateKey } = makeKeyPair('unknown');
    await expect(connect(dial, target([hostKeys.ed25519]), { privateKey })).rejects.toMatchObject({
      code: 'login-refused',
    });
    expect(logins).toEqual(['publickey']);
  });

  test('a key that is none is told before it is tried', async () => {
    const { dial, logins } = await start();
    const dialled: Awaited<ReturnType<typeof dial>>[] = [];
    const noting: typeof dial = async (...args) => {
      const socket = await dial(...args);
      dialled.push(socket);
      return socket;
    };
    await expect(connect(noting, target([hostKeys.ed25519]), { privateKey: 'no key' })).rejects.toMatchObject({
      code: 'key-unreadable',
    });
    expect(logins).toEqual([]);
    // Nothing keeps the program from ending.
    expect(dialled.map(({ destroyed }) => destroyed)).toEqual([true]);
  });

  test.each([
    ['what is no SSH server', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['a server that goes away in the middle of the handshake', 'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n'],
  ])('%s is told with address and port', async (_what, greeting) => {
    const { createServer, connect: dialTo } = await import('node:net');
    const listener = createServer((socket) => socket.end(greeting));
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const address = listener.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const dial = async () => dialTo(port, '127.0.0.1');
    await expect(connect(dial, target([hostKeys.ed25519]), { password: 'x' })).rejects.toMatchObject({
      code: 'ssh-failed',
      server: '192.0.2.12',
      message: expect.stringContaining('port 22'),
    });
    listener.close();
  });
});
