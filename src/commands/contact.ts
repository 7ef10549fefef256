import * as fs from 'node:fs';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { remoteServer } from '../change/remote-server.ts';
import type { Server } from '../change/server.ts';
import * as knownHosts from '../config-files/known-hosts.ts';
import { CmsadmError } from '../errors.ts';
import { probe, startPeer } from '../host/first-contact.ts';
import { type Root, readText } from '../host/root.ts';
import type { Session } from '../host/session.ts';
import {
  type Connection,
  type Credentials,
  connect,
  connectPeer,
  fingerprint,
  type PublicKey,
  scanHostKeys,
} from '../host/ssh-client.ts';
import type { HaPackage } from '../packages/ha-package.ts';
import { type Link, paths } from '../pair/state.ts';
import { during } from '../report.ts';
import { checkFingerprint } from './checks.ts';
import { type CommandContext, type Given, settleAnswers, usage } from './context.ts';
import { contactParameters } from './parameters.ts';
import { contactSlots } from './setup-questions.ts';

/** The other server, ready to be asked. */
export type Peer = {
  readonly server: Server;
  readonly session: Session;
  readonly port: number;
  /** True if its program came with us into a private folder and is not installed yet. */
  readonly carried: boolean;
  /** True over the pair's own key; false at a first contact. */
  readonly linked: boolean;
};

const asPeer = (session: Session, port: number, carried: boolean, linked: boolean): Peer => ({
  server: remoteServer(session),
  session,
  port,
  carried,
  linked,
});

/** The peer over the pair's own key. @throws CmsadmError not-linked, unreachable, host-key-changed, login-refused */
export async function linkedPeer(context: CommandContext, link: Link): Promise<Peer> {
  const key = readText(context.host.root, paths.pairKey);
  if (key === undefined)
    throw new CmsadmError('not-linked', `${paths.pairKey} is gone.`, {
      remedy: 'Set up the roles again; it makes a new one.',
    });
  const target = { address: link.peer.address, port: link.peer.port, user: 'root', pins: link.peer.hostKeys };
  return asPeer(await connectPeer(context.host.system, target, key), link.peer.port, false, true);
}

/**
 * Reaches the secondary: over the pair's key if it is linked, else by a first contact with the operator's credentials.
 * @param early the linked server, if it was called before the answers were there
 * @throws CmsadmError third-server for a server that is not the one of the link
 */
export async function reachPeer(
  context: CommandContext,
  given: Given,
  where: { readonly address: string; readonly fqdn: string },
  link: Link | undefined,
  haPackage: HaPackage,
  early: Promise<Peer> | undefined,
): Promise<Peer> {
  if (link) {
    try {
      if (early && where.address === link.peer.address) return await early;
      return await linkedPeer(context, { ...link, peer: { ...link.peer, address: where.address } });
    } catch (error) {
      if (!(error instanceof CmsadmError)) throw error;
      if (error.code === 'host-key-changed' && where.address !== link.peer.address)
        throw thirdServer(where.address, link);
      // The other side may have ended the link by itself (disable --alone): then we meet anew.
      if (!['login-refused', 'no-greeting', 'not-linked'].includes(error.code)) throw error;
      if (!context.ask && !hasLogin(given)) throw withoutLogin(error);
      context.report.warn(`${error.message} The two meet anew, with your own login.`);
    }
  }
  return firstContact(context, given, where, link?.peer.hostKeys ?? [], haPackage);
}

/** Why the link does not do, where there is nothing else to log in with: the line may be down as well as the link gone. */
const withoutLogin = (error: CmsadmError): CmsadmError =>
  new CmsadmError(error.code, error.message, {
    ...(error.server === undefined ? {} : { server: error.server }),
    details: error.details,
    remedy: `Try again once the other server answers. If it no longer has this link, meet it anew: give ${oneOf(logins)}.`,
    cause: error,
  });

const thirdServer = (address: string, link: Link): CmsadmError =>
  new CmsadmError('third-server', `${address} is a third server: this one is linked with ${link.peer.fqdn}.`, {
    server: address,
    remedy: 'A pair has two servers. To pair with another one, disable HA first: cmsadm config_HA disable.',
  });

async function firstContact(
  context: CommandContext,
  given: Given,
  where: { readonly address: string; readonly fqdn: string },
  pinned: readonly PublicKey[],
  haPackage: HaPackage,
): Promise<Peer> {
  const answers = await settleAnswers(contactSlots(context.host.root, 22), given, context);
  const port = Number(answers['ssh-port']);
  const user = answers['peer-user'] ?? 'root';
  const pins = await acceptedKeys(context, given, where, port, pinned);
  const { connection, password } = await logIn(
    context,
    given,
    { ...where, port, user, pins },
    answers['peer-key'] ?? '',
  );
  try {
    return await startProgram(context, connection, where.address, port, password, haPackage);
  } catch (error) {
    connection.end();
    throw error;
  }
}

async function startProgram(
  context: CommandContext,
  connection: Connection,
  address: string,
  port: number,
  password: string | undefined,
  haPackage: HaPackage,
): Promise<Peer> {
  const found = await probe(connection, address);
  if (found.missing.length > 0)
    throw new CmsadmError('peer-unfit', `${address} lacks ${found.missing.join(', ')}.`, {
      server: address,
      remedy: 'Install these programs there.',
    });
  if (found.arch !== 'x86_64')
    throw new CmsadmError('peer-unfit', `${address} is ${found.arch}; the HA package holds the x86_64 runtime only.`, {
      server: address,
      remedy: 'Use an x86_64 server.',
    });
  const carry = found.installed !== haPackage.digest;
  const bytes = carry ? await buffer(await haPackage.upload()) : undefined;
  const start = (): Promise<Session> =>
    startPeer(connection, address, {
      asRoot: found.uid === 0,
      ...(password === undefined ? {} : { sudoPassword: password }),
      ...(bytes ? { carried: { stream: Readable.from([bytes]), bytes: bytes.length } } : {}),
      onFolder: (folder) =>
        context.report.line(
          `The program runs from ${folder} on ${address} until you decide; it is removed with the session.`,
        ),
    });
  const session = await during(
    context.report,
    carry ? `Carrying the program to ${address}` : `Starting the program on ${address}`,
    start,
  );
  return asPeer(session, port, carry, false);
}

const logins = [contactParameters.peerKey, contactParameters.peerPasswordFile, contactParameters.peerPasswordFd];

const oneOf = (parameters: typeof logins): string => `one of ${parameters.map(({ name }) => `--${name}`).join(', ')}`;

const hasLogin = (given: Given): boolean =>
  logins.some(({ name }) => given[name] !== undefined) || process.env['SSH_AUTH_SOCK'] !== undefined;

/** What a first contact will want, where nobody can be asked for it: one sentence each. */
export function missingForContact(root: Root, given: Given): string[] {
  const text = readText(root, paths.knownHosts) ?? '';
  const hosts = [given['secondary-ip'] ?? '', given['secondary-fqdn'] ?? ''];
  const port = given[contactParameters.sshPort.name] ?? '22';
  const names = port === '22' ? hosts : hosts.map((name) => `[${name}]:${port}`);
  const known = names.some((name) => knownHosts.findKeys(text, name).keys.length > 0);
  return [
    ...(known || given[contactParameters.peerFingerprint.name] !== undefined
      ? []
      : [`--${contactParameters.peerFingerprint.name}: ${contactParameters.peerFingerprint.help}`]),
    ...(hasLogin(given) ? [] : [`${oneOf(logins)}: the first login on the secondary`]),
  ];
}

/** The host keys that we accept: those of known_hosts, the one with the given fingerprint, or what the operator accepts. */
async function acceptedKeys(
  context: CommandContext,
  given: Given,
  where: { address: string; fqdn: string },
  port: number,
  pinned: readonly PublicKey[],
): Promise<readonly PublicKey[]> {
  if (pinned.length > 0) return pinned;
  const text = readText(context.host.root, paths.knownHosts) ?? '';
  const names = port === 22 ? [where.address, where.fqdn] : [`[${where.address}]:${port}`, `[${where.fqdn}]:${port}`];
  const revoked = names.flatMap((name) => knownHosts.findKeys(text, name).revoked);
  const isRevoked = (key: PublicKey): boolean => revoked.some(({ base64 }) => base64 === key.base64);
  // A key may stand there twice; revoked is what counts, as for ssh(1).
  const known = names.flatMap((name) => knownHosts.findKeys(text, name).keys).filter((key) => !isRevoked(key));
  const wanted = given[contactParameters.peerFingerprint.name];
  if (known.length > 0 && wanted === undefined) return known;
  const expected = wanted === undefined ? undefined : checkFingerprint(wanted);
  const seen = await scanHostKeys(
    context.host.system.connect,
    where.address,
    port,
    (key) => expected === undefined || fingerprint(key) === expected,
  );
  const key = expected === undefined ? seen[0] : seen.find((one) => fingerprint(one) === expected);
  if (key && isRevoked(key))
    throw new CmsadmError('host-key-revoked', `${where.address} showed a host key that known_hosts marks as revoked.`, {
      server: where.address,
      file: paths.knownHosts,
      remedy: 'Find out why it was revoked before you go on. Nothing was sent.',
    });
  const contradicted =
    known.length > 0 &&
    key &&
    !known.some((one) => one.base64 === key.base64) &&
    known.some((one) => one.type === key.type);
  if (!key || contradicted)
    throw new CmsadmError(
      'host-key-unknown',
      `${where.address} did not show the host key ${wanted}${contradicted ? ' that known_hosts holds' : ''}.`,
      {
        server: where.address,
        details: seen.map((one) => `shown: ${one.type} ${fingerprint(one)}`),
        remedy: 'Compare at its console: ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub. Nothing was sent.',
      },
    );
  if (expected !== undefined) return [key];
  if (!context.ask)
    throw usage(
      `The host key of ${where.address} is not known.`,
      'Give --peer-fingerprint with the fingerprint from its console.',
      [`shown: ${key.type} ${fingerprint(key)}`],
    );
  context.report.line(`${where.address} shows the host key ${key.type} ${fingerprint(key)}`);
  context.report.line('Compare it at its console: cat /etc/ssh/ssh_host_*_key.pub | ssh-keygen -l -f -');
  const answer = await context.ask.choose('Accept this host key? (y/n):', ['y', 'n']);
  context.log.choice(`accept host key ${fingerprint(key)}=${answer}`);
  if (answer === 'y') return [key];
  throw new CmsadmError('host-key-unknown', 'The host key was not accepted.', {
    server: where.address,
    remedy: 'Nothing was sent and nothing was touched.',
  });
}

type LoginTarget = {
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly pins: readonly PublicKey[];
};

/** Logs in with the key, the agent or a password; a typed password may be wrong twice. */
async function logIn(
  context: CommandContext,
  given: Given,
  target: LoginTarget,
  keyFile: string,
): Promise<{ connection: Connection; password: string | undefined }> {
  const attempt = (credentials: Credentials): Promise<Connection> =>
    connect(context.host.system.connect, target, credentials);
  const agentSocket = process.env['SSH_AUTH_SOCK'];
  const given_ = givenPassword(given);
  const fixed: Credentials = {
    ...(keyFile === '' ? {} : { privateKey: fs.readFileSync(keyFile, 'utf8') }),
    ...(agentSocket === undefined ? {} : { agentSocket }),
    ...(given_ === undefined ? {} : { password: given_ }),
  };
  if (Object.keys(fixed).length > 0) {
    try {
      return { connection: await attempt(fixed), password: given_ };
    } catch (error) {
      if (
        !(error instanceof CmsadmError && error.code === 'login-refused') ||
        !context.ask ||
        given_ !== undefined ||
        keyFile !== ''
      )
        throw error;
    }
  }
  if (!context.ask)
    throw usage(
      'There is nothing to log in with.',
      'Give --peer-password-file, --peer-password-fd or --peer-key, or start an SSH agent.',
    );
  for (let tries = 1; ; tries += 1) {
    const password = await context.ask.secret(`Password of ${target.user} on ${target.address}:`);
    try {
      return { connection: await attempt({ password }), password };
    } catch (error) {
      if (!(error instanceof CmsadmError && error.code === 'login-refused')) throw error;
      if (tries === 3)
        throw new CmsadmError('login-refused', `${target.address} refused ${target.user} three times.`, {
          server: target.address,
          remedy:
            'Check user and password; if root may not log in there, use a user whom sudo makes root. Nothing was touched.',
        });
      context.report.warn(`${target.address} did not accept that. Try again.`);
    }
  }
}

/** The password of a file or descriptor, without its line end; never a flag's value. */
function givenPassword(given: Given): string | undefined {
  const file = given[contactParameters.peerPasswordFile.name];
  const descriptor = given[contactParameters.peerPasswordFd.name];
  if (file === undefined && descriptor === undefined) return undefined;
  try {
    // Number('') would be 0, and a run without a terminal would wait for its standard input.
    if (file === undefined && !/^\d{1,9}$/.test(descriptor ?? '')) throw new Error('no descriptor');
    return fs.readFileSync(file ?? Number(descriptor), 'utf8').replace(/\r?\n[\s\S]*$/, '');
  } catch {
    throw usage(
      `The password cannot be read from ${file === undefined ? 'descriptor ' : ''}${JSON.stringify(file ?? descriptor)}.`,
      'Check the path or the descriptor.',
    );
  }
}
