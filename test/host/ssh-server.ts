// An SSH server in this process that runs what it is told, as sshd would: through `sh -c`, on loopback.
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import * as net from 'node:net';
import ssh2, { type ServerChannel } from 'ssh2';
import { onTestFinished } from 'vitest';
import { makeKeyPair } from '../../src/host/pair-key.ts';
import type { PublicKey } from '../../src/host/ssh-client.ts';

export type HostKeys = { readonly pems: readonly string[]; readonly ed25519: PublicKey; readonly rsa: PublicKey };

/** Host keys of two types, as a usual server has them. */
export function makeHostKeys(): HostKeys {
  const ed25519 = makeKeyPair('host');
  const rsaPem = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
  const parsed = ssh2.utils.parseKey(rsaPem);
  if (parsed instanceof Error) throw parsed;
  return {
    pems: [ed25519.privateKey, rsaPem],
    ed25519: ed25519.publicKey,
    rsa: { type: 'ssh-rsa', base64: parsed.getPublicSSH().toString('base64') },
  };
}

type Options = {
  readonly hostKeys: HostKeys;
  readonly password: string;
  /** As with PAM alone: the password is accepted only as an answer to a question. */
  readonly keyboardOnly?: boolean;
  /** Both are wanted, in this order: as with AuthenticationMethods of sshd_config(5). */
  readonly inTurn?: readonly ['publickey' | 'password', 'publickey' | 'password'];
  /** Changes a command before the shell gets it: what belongs to a real server's folders goes to the test's. */
  readonly rewrite?: (command: string) => string;
  readonly env?: Readonly<Record<string, string>>;
};

export type TestServer = {
  readonly dial: (address: string, port: number) => Promise<net.Socket>;
  readonly commands: string[];
  /** How often somebody tried to log in. */
  readonly logins: string[];
};

export async function startTestServer(options: Options): Promise<TestServer> {
  const commands: string[] = [];
  const logins: string[] = [];
  const server = new ssh2.Server({ hostKeys: [...options.hostKeys.pems] }, (client) => {
    client.on('error', () => client.end());
    let wanted: readonly ('publickey' | 'password')[] = options.inTurn ?? [];
    client.on('authentication', (context) => {
      if (context.method !== 'none') logins.push(context.method);
      if (options.inTurn) {
        const [next, ...rest] = wanted;
        if (context.method !== next) return context.reject(next === undefined ? [] : [next]);
        if (context.method === 'publickey' && !context.signature) return context.accept();
        wanted = rest;
        const [then] = rest;
        return then === undefined ? context.accept() : context.reject([then], true);
      }
      if (context.method === 'password' && !options.keyboardOnly)
        return context.password === options.password ? context.accept() : context.reject();
      if (context.method === 'keyboard-interactive')
        return context.prompt([{ prompt: 'Password: ', echo: false }], (answers) =>
          answers[0] === options.password ? context.accept() : context.reject(),
        );
      return context.reject(options.keyboardOnly ? ['keyboard-interactive'] : ['password']);
    });
    client.on('session', (accept) =>
      accept().on('exec', (acceptExec, _reject, { command }) => {
        commands.push(command);
        runCommand(acceptExec(), options.rewrite?.(command) ?? command, options.env ?? {});
      }),
    );
  });
  const listener = net.createServer({ noDelay: true }, (socket) => server.injectSocket(socket));
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void listener.close());
  const address = listener.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return {
    commands,
    logins,
    dial: () =>
      new Promise((resolve, reject) => {
        const socket = net.connect({ host: '127.0.0.1', port, noDelay: true });
        socket.once('connect', () => resolve(socket)).once('error', reject);
      }),
  };
}

function runCommand(channel: ServerChannel, command: string, env: Readonly<Record<string, string>>): void {
  const child = spawn('sh', ['-c', command], { env: { PATH: '/usr/bin:/bin', ...env }, detached: true });
  child.stdin.on('error', () => {}); // it ended before it had read everything
  channel.pipe(child.stdin);
  child.stdout.pipe(channel, { end: false });
  child.stderr.pipe(channel.stderr, { end: false });
  child.on('close', (code) => {
    channel.exit(code ?? 129);
    channel.end();
  });
  channel.on('close', () => {
    // sshd hangs up on the whole session when the line is cut.
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGHUP');
  });
}
