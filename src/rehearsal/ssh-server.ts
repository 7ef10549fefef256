import { timingSafeEqual } from 'node:crypto';
import * as fs from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import type { AuthContext, Connection, ServerChannel } from 'ssh2';
import * as authorizedKeys from '../config-files/authorized-keys.ts';
import { installedPeerCommand, PROBE_COMMAND } from '../host/first-contact.ts';
import { sha256 } from '../host/root.ts';
import { paths } from '../pair/state.ts';

/** The one account besides root on a rehearsal server, whom sudo makes root. */
export const rehearsalLogin = { user: 'operator', password: 'practice' } as const;

const readOr = (file: string): string => (fs.existsSync(file) ? fs.readFileSync(file, 'latin1') : '');

/** root's key, as sshd would find it: the entry of authorized_keys, if sshd lets root in at all. */
function entryOf(
  folder: string,
  context: AuthContext & { method: 'publickey' },
  rootAllowed: boolean,
): string | undefined {
  if (!rootAllowed && readOr(join(folder, paths.sshdDropIn)) === '') return undefined;
  const entries = authorizedKeys.entries(readOr(join(folder, paths.authorizedKeys)));
  const entry = entries.find(({ base64 }) => base64 === context.key.data.toString('base64'));
  return entry?.options.find(({ name }) => name === 'command')?.value;
}

/**
 * The embedded SSH server of a rehearsal: root by the pair's key with its forced command, `operator` by password.
 * Commands are recognised, never run by a shell.
 * @param serve carries one peer session
 * @returns the port on loopback
 */
export async function startSshServer(
  folder: string,
  rootAllowed: boolean,
  serve: (channel: ServerChannel, asked: string) => Promise<void>,
): Promise<number> {
  const { Server, utils } = (await import('ssh2')).default;
  const server = new Server({ hostKeys: [fs.readFileSync(join(folder, 'etc/ssh/ssh_host_ed25519_key'))] }, (client) => {
    let forced = false;
    client.on('error', () => client.end()); // the other end went away
    client.on('authentication', (context) => {
      if (context.method === 'password' && context.username === rehearsalLogin.user)
        return same(context.password, rehearsalLogin.password) ? context.accept() : context.reject();
      if (context.method !== 'publickey' || context.username !== 'root')
        return context.reject(['password', 'publickey']);
      if (entryOf(folder, context, rootAllowed) === undefined) return context.reject();
      const key = utils.parseKey(`${context.key.algo} ${context.key.data.toString('base64')}`);
      const proven =
        context.signature &&
        !(key instanceof Error) &&
        context.blob &&
        key.verify(context.blob, context.signature, context.hashAlgo) === true;
      if (context.signature && !proven) return context.reject();
      forced = true;
      return context.accept();
    });
    client.on('ready', () =>
      onSessions(
        client,
        // A forced command runs whatever is asked for, and may look at it.
        (asked, channel) =>
          void answer(folder, forced ? installedPeerCommand(true) : asked, channel, () => serve(channel, asked)),
      ),
    );
  });
  // Small messages must not wait for each other: ssh2's own listener leaves Nagle's algorithm on, 40 ms for each call.
  const listener = net.createServer({ noDelay: true }, (socket) => server.injectSocket(socket));
  return new Promise((resolve) => {
    listener.listen(0, '127.0.0.1', () => {
      const address = listener.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
    listener.unref();
  });
}

const same = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

const onSessions = (client: Connection, run: (command: string, channel: ServerChannel) => void): void =>
  void client.on('session', (accept) =>
    accept().on('exec', (acceptExec, _reject, info) => run(info.command, acceptExec())),
  );

async function answer(
  folder: string,
  command: string,
  channel: ServerChannel,
  serve: () => Promise<void>,
): Promise<void> {
  const end = (code: number): void => {
    channel.exit(code);
    channel.end();
  };
  if (command === PROBE_COMMAND) {
    const manifest = readOr(join(folder, paths.program, 'manifest.json'));
    channel.write(`cmsadm-probe-begin\nuid=1000\narch=x86_64\ninstalled=${sha256(manifest)}\ncmsadm-probe-end\n`);
    return end(0);
  }
  if (command !== installedPeerCommand(true) && command !== installedPeerCommand(false)) {
    channel.stderr.write('This is a rehearsal: only the program itself can be started.\n');
    return end(127);
  }
  await serve();
  return end(0);
}
