import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type {
  AuthenticationType,
  AuthHandlerMiddleware,
  Client,
  ClientChannel,
  ConnectConfig,
  ServerHostKeyAlgorithm,
} from 'ssh2';
import { CmsadmError } from '../errors.ts';
import { openSession, type Session } from './session.ts';
import type { System } from './system.ts';

/** A public key as OpenSSH writes it. */
export type PublicKey = { readonly type: string; readonly base64: string };

/** Where to connect, and the only host keys that are accepted. */
export type Target = {
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly pins: readonly PublicKey[];
  /** Seconds between two signs of life, and of silence after which the connection is given up. */
  readonly keepalive?: { readonly seconds: number; readonly reconnect: number };
};

/** How to prove who we are; tried in this order, each where given. */
export type Credentials = {
  readonly privateKey?: string;
  readonly passphrase?: string;
  readonly agentSocket?: string;
  readonly password?: string;
};

/** SHA256:… as `ssh-keygen -l` prints it. */
export const fingerprint = (key: PublicKey): string =>
  `SHA256:${createHash('sha256').update(Buffer.from(key.base64, 'base64')).digest('base64').replace(/=+$/, '')}`;

/** Host-key algorithms by key type; ssh2 takes the first that both sides know, so the pinned type must stand first. */
const algorithmsOf: Readonly<Record<string, readonly ServerHostKeyAlgorithm[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
};

const keyOf = (blob: Buffer): PublicKey => ({
  type: blob.subarray(4, 4 + blob.readUInt32BE(0)).toString('latin1'),
  base64: blob.toString('base64'),
});

/**
 * Which way in ssh2 tries next. Its own list is walked once; a server that wants a key and a password (sshd_config(5),
 * AuthenticationMethods) refuses the second before the first is there, and takes it afterwards.
 */
function waysIn({ privateKey, password, agentSocket }: Credentials): AuthHandlerMiddleware {
  const ways: AuthenticationType[] = [
    ...(privateKey === undefined ? [] : ['publickey' as const]),
    ...(password === undefined ? [] : ['password' as const, 'keyboard-interactive' as const]),
    ...(agentSocket === undefined ? [] : ['agent' as const]),
  ];
  let untried: AuthenticationType[] = ['none', ...ways];
  return (_left, isPart): AuthenticationType | false => {
    if (isPart) untried = [...ways];
    const [way, ...rest] = untried;
    untried = rest;
    return way ?? false;
  };
}

const usualKeepalive = { seconds: 5, reconnect: 20 };

type Dial = (address: string, port: number) => Promise<Duplex>;

/** Wakes with the client once it is logged in; every failure is a CmsadmError that names the server. */
async function logIn(socket: Duplex, target: Target, credentials: Credentials): Promise<Client> {
  const { Client } = (await import('ssh2')).default;
  const client = new Client();
  const { keepalive = usualKeepalive } = target;
  const offered = target.pins.flatMap((pin) => algorithmsOf[pin.type] ?? []);
  let seen: PublicKey | undefined;
  const config: ConnectConfig = {
    sock: socket,
    username: target.user,
    readyTimeout: 20_000,
    keepaliveInterval: keepalive.seconds * 1000,
    // Given up one interval after the last of so many stayed without an answer.
    keepaliveCountMax: Math.max(1, Math.ceil(keepalive.reconnect / keepalive.seconds) - 1),
    algorithms: { serverHostKey: [...offered] },
    hostVerifier: (blob: Buffer) => {
      seen = keyOf(blob);
      return target.pins.some((pin) => pin.base64 === seen?.base64);
    },
    tryKeyboard: credentials.password !== undefined,
    authHandler: waysIn(credentials),
    ...(credentials.privateKey === undefined ? {} : { privateKey: credentials.privateKey }),
    ...(credentials.passphrase === undefined ? {} : { passphrase: credentials.passphrase }),
    ...(credentials.agentSocket === undefined ? {} : { agent: credentials.agentSocket }),
    ...(credentials.password === undefined ? {} : { password: credentials.password }),
  };
  return new Promise((resolve, reject) => {
    client.on('keyboard-interactive', (_name, _instructions, _language, prompts, finish) =>
      finish(prompts.map(() => credentials.password ?? '')),
    );
    client.once('ready', () => resolve(client));
    // ssh2 tells no error where the other end closes in the middle of the handshake.
    client.once('close', () => reject(explain(new Error('the connection was closed'), target, seen)));
    client.on('error', (error) => {
      // An agent that is gone is one way less to log in; ssh2 goes on with the others.
      if (error.level === 'agent') return;
      client.end();
      socket.destroy();
      reject(explain(error, target, seen));
    });
    try {
      client.connect(config);
    } catch (cause) {
      socket.destroy();
      reject(
        new CmsadmError('key-unreadable', 'The private key cannot be read.', {
          cause,
          remedy: 'Give an OpenSSH or PEM private key, and its passphrase if it has one.',
        }),
      );
    }
  });
}

function explain(error: Error & { level?: string }, target: Target, seen: PublicKey | undefined): CmsadmError {
  const server = target.address;
  if (seen && !target.pins.some((pin) => pin.base64 === seen.base64))
    return new CmsadmError(
      'host-key-changed',
      `${server} showed another host key than the one that is pinned: ${fingerprint(seen)}.`,
      {
        server,
        details: target.pins.map((pin) => `pinned: ${pin.type} ${fingerprint(pin)}`),
        remedy: `If ${server} was replaced or reinstalled, compare the key at its console; else somebody is in between. Nothing was sent.`,
      },
    );
  if (error.level === 'client-authentication')
    return new CmsadmError('login-refused', `${server} refused the login of ${target.user}.`, {
      server,
      remedy: 'Check user and password or key, and whether sshd there lets this user in.',
    });
  return new CmsadmError('ssh-failed', `SSH to ${server} port ${target.port} failed: ${error.message}.`, {
    server,
    remedy: `Try \`ssh -p ${target.port} ${target.user}@${server}\`.`,
  });
}

/**
 * Logs in once, and runs commands over that connection.
 * @throws CmsadmError unreachable, host-key-changed, login-refused, ssh-failed
 */
export async function connect(dial: Dial, target: Target, credentials: Credentials): Promise<Connection> {
  if (target.pins.length === 0)
    throw new CmsadmError('host-key-unknown', `No host key of ${target.address} is pinned.`, {
      server: target.address,
      remedy: 'Set up the roles first, or give --peer-fingerprint.',
    });
  const client = await logIn(await dial(target.address, target.port), target, credentials);
  client.on('error', () => client.end()); // a broken line after log-in ends the channels; they report it
  return {
    exec: (command) =>
      new Promise((resolve, reject) => {
        const refuse = (error: unknown): void =>
          reject(error instanceof Error ? explain(error, target, undefined) : error);
        try {
          client.exec(command, (error, channel) => (error ? refuse(error) : resolve(channel)));
        } catch (error) {
          refuse(error); // thrown where the connection went away since the login
        }
      }),
    end: () => void client.end(),
  };
}

export type Connection = {
  /** `command` goes to the user's login shell: a fixed text, never with input in it. */
  exec(command: string): Promise<ClientChannel>;
  end(): void;
};

/** What the pair's key may ask for: a session of the program, or the way to the agent there. */
export const peerCommands = { session: 'cmsadm peer', agent: 'cmsadm peer sync' } as const;

/**
 * A session with `cmsadm peer` on the other server, or with its agent, over the pair's own key.
 * @throws CmsadmError unreachable, host-key-changed, login-refused, ssh-failed, no-greeting, protocol-refused
 */
export async function connectPeer(
  system: Pick<System, 'connect' | 'login'>,
  target: Target,
  privateKey: string,
  command: (typeof peerCommands)[keyof typeof peerCommands] = peerCommands.session,
): Promise<Session> {
  if (system.login) return system.login(target, privateKey);
  const connection = await connect(system.connect, target, { privateKey });
  try {
    const channel = await connection.exec(command);
    channel.stderr.resume();
    return await openSession(channel, channel, target.address, connection.end);
  } catch (error) {
    connection.end();
    throw error;
  }
}

/**
 * Asks a server for its host keys without logging in: one connection per key type.
 * @param enough stops at the first key it accepts
 * @returns the keys seen, in the order in which they were asked for
 */
export async function scanHostKeys(
  dial: Dial,
  address: string,
  port: number,
  enough: (key: PublicKey) => boolean,
): Promise<PublicKey[]> {
  const { Client } = (await import('ssh2')).default;
  const keys: PublicKey[] = [];
  let reached: Error | undefined;
  for (const type of ['ssh-ed25519', 'ssh-rsa', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521']) {
    const socket = await dial(address, port);
    const key = await new Promise<PublicKey | undefined>((resolve) => {
      const client = new Client();
      client.once('error', (error) => {
        reached = error;
        resolve(undefined);
      });
      client.once('close', () => resolve(undefined));
      client.connect({
        sock: socket,
        username: 'cmsadm',
        readyTimeout: 10_000,
        algorithms: { serverHostKey: [...(algorithmsOf[type] ?? [])] },
        hostVerifier: (blob: Buffer) => {
          resolve(keyOf(blob));
          return false;
        },
      });
    });
    socket.destroy();
    if (!key) continue;
    keys.push(key);
    if (enough(key)) break;
  }
  if (keys.length > 0) return keys;
  throw new CmsadmError(
    'ssh-failed',
    `${address} port ${port} showed no host key: ${reached?.message ?? 'no SSH server'}.`,
    {
      server: address,
      remedy: `Try \`ssh -p ${port} ${address}\`.`,
    },
  );
}
