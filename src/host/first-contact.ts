import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ClientChannel } from 'ssh2';
import { CmsadmError } from '../errors.ts';
import { openSession, type Session } from './session.ts';
import type { Connection } from './ssh-client.ts';

/** What the first look at a peer tells. */
export type Probe = {
  readonly uid: number;
  readonly arch: string;
  /** SHA-256 of the installed release's manifest; empty without one. */
  readonly installed: string;
  readonly missing: readonly string[];
};

// Fixed texts for a POSIX shell; no input ever gets into them but a number.
const quoted = (script: string): string => `'${script.replaceAll("'", `'\\''`)}'`;
const shell = (script: string): string => `exec sh -c ${quoted(script)}`;

/** Sudo asks with this prompt; so the password is sent only when it is asked for. */
const SUDO_PROMPT = 'cmsadm-sudo-password:';

export const PROBE_COMMAND = shell(`
  echo cmsadm-probe-begin
  echo "uid=$(id -u)"
  echo "arch=$(uname -m)"
  for tool in tar gzip sha256sum df mktemp head; do command -v $tool >/dev/null 2>&1 || echo "missing=$tool"; done
  if [ -r /opt/cmsadm/current/manifest.json ]; then echo "installed=$(sha256sum < /opt/cmsadm/current/manifest.json | cut -c1-64)"; fi
  echo cmsadm-probe-end
`);

const INSTALLED_PEER = '/opt/cmsadm/current/bin/cmsadm peer';

/** The command that starts the peer's program where it is installed. */
export const installedPeerCommand = (asRoot: boolean): string =>
  asRoot ? shell(`exec ${INSTALLED_PEER}`) : sudo(`exec ${INSTALLED_PEER}`);

// Sudo clears the environment: where the caller comes from is handed on as the script's first argument.
const sudo = (script: string): string =>
  shell(
    `exec sudo -k -S -p ${SUDO_PROMPT} sh -c ${quoted(`CMSADM_SSH_CONNECTION=$1; export CMSADM_SSH_CONNECTION; ${script}`)} cmsadm "$SSH_CONNECTION"`,
  );

/**
 * Unpacks the package from standard input into a private folder on a file system that may execute,
 * serves one session from it, and removes it whatever ends the session.
 */
const carriedPeerScript = (bytes: number): string => `
  set -eu
  umask 077
  dir=
  for base in /run /var/tmp /tmp /root; do
    [ -d "$base" ] && [ -w "$base" ] || continue
    free=$(df -Pk "$base" | tail -n 1 | tr -s ' ' | cut -d' ' -f4)
    [ "$free" -gt 307200 ] || continue
    dir=$(mktemp -d "$base/cmsadm-first.XXXXXXXX") || continue
    printf '#!/bin/sh\\nexit 0\\n' > "$dir/try"
    chmod 700 "$dir/try"
    if "$dir/try" 2>/dev/null; then rm "$dir/try"; break; fi
    rm -rf "$dir"
    dir=
  done
  if [ -z "$dir" ]; then echo "cmsadm-nowhere"; exit 3; fi
  trap 'trap "" HUP INT TERM; cd /; rm -rf "$dir"' EXIT
  trap 'exit 129' HUP
  trap 'exit 143' TERM
  echo "cmsadm-folder $dir"
  head -c ${Math.trunc(bytes)} | tar -xf - -C "$dir"
  sh "$dir/install" --unpack "$dir/release" 1>&2
  "$dir/release/bin/cmsadm" peer --first-contact "$dir"
`;

const carriedPeerCommand = (asRoot: boolean, bytes: number): string =>
  asRoot ? shell(carriedPeerScript(bytes)) : sudo(carriedPeerScript(bytes));

const text = async (stream: Readable): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString('latin1');
};

/** Looks at the peer before anything is sent there. @throws CmsadmError peer-unfit */
export async function probe(connection: Connection, server: string): Promise<Probe> {
  const channel = await connection.exec(PROBE_COMMAND);
  channel.stderr.resume();
  channel.end();
  const said = /cmsadm-probe-begin\r?\n([\s\S]*)cmsadm-probe-end/.exec(await text(channel))?.[1];
  if (said === undefined)
    throw new CmsadmError(
      'peer-unfit',
      `${server} let us in but ran no command: it needs sshd, sh, tar and sha256sum.`,
      {
        server,
        remedy: `Check the login shell of the user there (\`ssh ${server} id\`).`,
      },
    );
  const field = (name: string): string[] =>
    [...said.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map((found) => (found[1] ?? '').trim());
  return {
    uid: Number(field('uid')[0] ?? -1),
    arch: field('arch')[0] ?? '',
    installed: field('installed')[0] ?? '',
    missing: field('missing'),
  };
}

/** A carried program is checked and unpacked before it greets: on a slow disk or a busy server that takes a while. */
const UNPACKING_SECONDS = 120;

/**
 * Starts the peer's program: the installed one if it is ours byte for byte, else the one that the package carries.
 * @param carried the package as a tar stream and its length; undefined if the peer has the same release
 * @param onFolder told the private folder's name
 * @throws CmsadmError sudo-refused, peer-nowhere, no-greeting
 */
export async function startPeer(
  connection: Connection,
  server: string,
  options: {
    readonly asRoot: boolean;
    readonly sudoPassword?: string;
    readonly carried?: { readonly stream: Readable; readonly bytes: number };
    readonly onFolder: (folder: string) => void;
  },
): Promise<Session> {
  const { carried, asRoot } = options;
  const channel = await connection.exec(
    carried ? carriedPeerCommand(asRoot, carried.bytes) : installedPeerCommand(asRoot),
  );
  const complaints = answerSudo(channel, options.sudoPassword);
  if (carried) {
    const folder = await folderNamed(channel, server, complaints);
    options.onFolder(folder);
    await pipeline(carried.stream, channel, { end: false });
  }
  try {
    const end = (): void => {
      channel.end();
      connection.end();
    };
    return await openSession(channel, channel, server, end, undefined, carried ? UNPACKING_SECONDS : undefined);
  } catch (error) {
    throw complaints.length === 0 ? error : refused(server, complaints);
  }
}

/** Sends the password when sudo asks for it, once; collects everything else that comes on standard error. */
function answerSudo(channel: ClientChannel, password: string | undefined): string[] {
  const complaints: string[] = [];
  let asked = 0;
  let said = '';
  channel.stderr.on('data', (data: Buffer) => {
    said += data.toString('latin1'); // the prompt may come in pieces
    if (said.length < SUDO_PROMPT.length && SUDO_PROMPT.startsWith(said)) return;
    if (!said.includes(SUDO_PROMPT)) {
      if (said.trim() !== '') complaints.push(said.trim());
      said = '';
      return;
    }
    said = '';
    asked += 1;
    if (asked === 1 && password !== undefined) channel.write(`${password}\n`);
    else {
      complaints.push(password === undefined ? 'sudo asks for a password.' : 'sudo did not accept the password.');
      channel.close();
    }
  });
  return complaints;
}

const refused = (server: string, complaints: readonly string[]): CmsadmError =>
  new CmsadmError('peer-start-failed', `The program could not be started on ${server}.`, {
    server,
    details: complaints.slice(-5),
    remedy: 'Log in there as root, or as a user whom sudo lets run `sh`, and give that user’s password.',
  });

async function folderNamed(channel: ClientChannel, server: string, complaints: readonly string[]): Promise<string> {
  let said = '';
  return new Promise((resolve, reject) => {
    const look = (data: Buffer): void => {
      said += data.toString('latin1');
      const folder = /^cmsadm-folder (\/\S+)$/m.exec(said)?.[1];
      if (folder !== undefined && said.includes('\n')) {
        channel.removeListener('data', look);
        channel.pause();
        resolve(folder);
      } else if (/^cmsadm-nowhere$/m.test(said)) {
        channel.removeListener('data', look);
        reject(
          new CmsadmError('peer-nowhere', `${server} has no folder that may execute programs and has 300 MB free.`, {
            server,
            remedy: 'Make room in /run, /var/tmp, /tmp or /root there, on a file system mounted without noexec.',
          }),
        );
      }
    };
    channel.on('data', look);
    channel.once('close', () => reject(refused(server, [...complaints])));
    const limit = setTimeout(() => reject(refused(server, [...complaints, 'It said nothing for 60 s.'])), 60_000);
    channel.once('data', () => clearTimeout(limit)).once('close', () => clearTimeout(limit));
  });
}
