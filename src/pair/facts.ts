import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { type Place, placeOf } from '../host/held-folder.ts';
import {
  type FileFact,
  list,
  type Ownership,
  ownershipOf,
  type Root,
  readFact,
  readText,
  whyNotWritable,
} from '../host/root.ts';
import type { PublicKey } from '../host/ssh-client.ts';
import { type SshListener, sshListenersOf, sshPortAt, sshSockets } from '../host/ssh-listeners.ts';
import { type SshdFile, sshdFiles } from '../host/sshd-files.ts';
import type { Address, Disk, FirewallInForce, Host, Identity, SshConnection, UnitState } from '../host/system.ts';
import { forFamily, type OsFamily, type Profile } from '../profile/schema.ts';
import { type FileRow, managedFiles } from './managed-files.ts';
import { type Link, type Pair, paths, readEpoch, readLink, readPair, unitName } from './state.ts';

/** Which server the facts are asked for: the other one, as seen from here. */
export type About = { readonly address: string; readonly fqdn: string };

/** A managed file as it is, with its row of the table. */
export type ManagedFact = {
  readonly row: FileRow;
  readonly fact: FileFact;
  readonly notWritable: string | undefined;
  /** Where its folder really is; undefined where that cannot be told. */
  readonly folder?: Place | undefined;
};

/** Everything that plans and preflight may know of one server: plain data, carried as JSON. */
export type Facts = {
  readonly profile: string;
  readonly identity: Identity;
  readonly family: OsFamily;
  /** Milliseconds since 1970 when these facts were read. */
  readonly clock: number;
  readonly addresses: readonly Address[];
  /** The address that this server uses towards the other one. */
  readonly routeSource: string | undefined;
  /** The address that the asking server is seen to come from; undefined where nobody asked over the network. */
  readonly seenFrom: string | undefined;
  readonly disk: Disk;
  readonly release: string | undefined;
  readonly load: string | undefined;
  readonly storage: Readonly<Record<string, string>>;
  readonly hostKeys: readonly PublicKey[];
  /** Where the other server reaches sshd here. */
  readonly sshPort: number;
  /** Where sshd, or systemd for it, takes connections; undefined from a program that does not tell it. */
  readonly sshListeners: readonly SshListener[] | undefined;
  /** Modes and owners of the folders above root's authorized_keys, which sshd looks at; undefined in a rehearsal. */
  readonly keyFolders: readonly ({ readonly path: string } & Ownership)[] | undefined;
  /** `sshd -T -C` text for root coming from the other server; undefined if sshd could not be asked. */
  readonly sshd: string | undefined;
  readonly sshdProblem: string | undefined;
  /** The files that sshd reads; not told by a program that is older. */
  readonly sshdFiles?: readonly SshdFile[];
  readonly units: Readonly<Record<string, UnitState>>;
  readonly servicesReachable: string | undefined;
  readonly listeners: readonly { readonly port: number; readonly protocol: 'tcp' | 'udp' }[];
  readonly firewall: FirewallInForce;
  readonly files: readonly ManagedFact[];
  readonly pairKey: PublicKey | undefined;
  readonly link: Link | undefined;
  readonly pair: Pair | undefined;
  readonly epoch: number;
  /** SHA-256 of the installed release's manifest. */
  readonly programDigest: string | undefined;
  /** True where an earlier first contact brought the program and came to no link. */
  readonly programBrought: boolean;
};

/** The unit names that the profile speaks of, on this family. */
const unitsOf = (profile: Profile, family: OsFamily): string[] => [
  ...Object.values(profile.services).map((service) => forFamily(service.unit, family)),
  profile.agentUnit,
  unitName(paths.recoverUnit),
  ...sshSockets,
];

/** Reads KEY=VALUE lines; # starts a comment. */
export const parseKeyValues = (text: string): Record<string, string> =>
  Object.fromEntries(
    text.split(/\r?\n/).flatMap((line) => {
      const found = /^\s*([A-Za-z_][\w.-]*)\s*=\s*(.*?)\s*$/.exec(line);
      return found?.[1] === undefined ? [] : [[found[1], found[2] ?? '']];
    }),
  );

/** Reads one public key line of OpenSSH. */
export function parsePublicKey(text: string): PublicKey | undefined {
  const [type, base64] = text.trim().split(/\s+/);
  return type && base64 ? { type, base64 } : undefined;
}

function hostKeys(host: Host): PublicKey[] {
  return list(host.root, '/etc/ssh')
    .filter((name) => /^ssh_host_.*_key\.pub$/.test(name))
    .flatMap((name) => parsePublicKey(readText(host.root, `/etc/ssh/${name}`) ?? '') ?? []);
}

/** Whose paths and unit names hold here; what is unknown is taken for the nearest we know. */
export function familyOf({ system }: Host): OsFamily {
  const family = system.osFamily();
  return family === 'other' ? 'debian' : family;
}

/**
 * Reads the facts of one server; nothing is changed.
 * @param about the other server, as far as it is known yet
 * @param cameTo where it came in, if it is the one that asks
 */
export async function readFacts(host: Host, profile: Profile, about: About, cameTo?: SshListener): Promise<Facts> {
  const { system, root } = host;
  const family = familyOf(host);
  const route = system.routeSource(about.address);
  const effective = async (port: number) => {
    const laddr = cameTo?.address ?? (await route) ?? '0.0.0.0';
    return problemOr(() => system.effectiveSshd(rootFrom(about, laddr, port)));
  };
  const { adapter, path: firewallFile } = profile.firewall[family];
  const [identity, addresses, routeSource, asked, disk, listeners, firewall, units] = await Promise.all([
    system.identity(),
    system.addresses(),
    route,
    effective(cameTo?.port ?? 22),
    system.disk('/'),
    system.listeners(),
    system.firewall(
      firewallFile !== undefined && (adapter === 'nftables' || adapter === 'iptables')
        ? { adapter, path: firewallFile }
        : undefined,
    ),
    problemOr(() => system.units(unitsOf(profile, family))),
  ]);
  const sshListeners = sshListenersOf(asked.value, units.value ?? {});
  const sshPort = cameTo?.port ?? sshPortAt(sshListeners, routeSource);
  // What holds at another port may differ: Match LocalPort.
  const sshd = sshPort === (cameTo?.port ?? 22) ? asked : await effective(sshPort);
  const storage = profile.storage ? parseKeyValues(readText(root, profile.storage.path) ?? '') : {};
  const release = parseKeyValues(readText(root, profile.release.path) ?? '');
  const files = managedFiles(profile, family).map((row) => managedFact(root, row));
  const manifest = readText(root, `${paths.program}/manifest.json`);
  return {
    profile: profile.name,
    identity,
    family,
    clock: system.clock(),
    addresses,
    routeSource,
    seenFrom: undefined,
    disk,
    release: release[profile.release.release],
    load: release[profile.release.load],
    storage,
    hostKeys: hostKeys(host),
    sshPort,
    sshListeners,
    keyFolders: system.real ? keyFolders(root) : undefined,
    sshd: sshd.value,
    sshdProblem: sshd.problem,
    // Files that cannot be read sshd itself refuses.
    sshdFiles: problemIn(() => sshdFiles(root)).value ?? [],
    units: units.value ?? {},
    servicesReachable: units.problem,
    listeners,
    firewall,
    files: await tellFull(host, files),
    pairKey: parsePublicKey(readText(root, `${paths.pairKey}.pub`) ?? ''),
    link: readLink(root),
    pair: readPair(root),
    epoch: readEpoch(root),
    programBrought: readText(root, paths.brought) !== undefined,
    programDigest: manifest === undefined ? undefined : createHash('sha256').update(manifest, 'latin1').digest('hex'),
  };
}

/** One file as it is now; nothing is changed. */
export function managedFact(root: Root, row: FileRow): ManagedFact {
  const place = problemIn(() => placeOf(root, dirname(row.path)));
  return {
    row,
    fact:
      place.problem === undefined
        ? withoutSecret(row, readFact(root, row.path))
        : { state: 'refused', why: `cannot be reached: ${place.problem}` },
    notWritable: row.kind === 'untouched' ? undefined : whyNotWritable(root, row.path),
    folder: place.value,
  };
}

/** Files on a file system without room can't be replaced. A folder that has to be made is judged by `/` alone. */
async function tellFull({ system }: Host, files: readonly ManagedFact[]): Promise<ManagedFact[]> {
  const places = new Set(files.flatMap(({ folder }) => (folder?.id === undefined ? [] : [folder.real])));
  const full = new Set<string>();
  await Promise.all(
    [...places].map(async (place) => {
      if ((await system.disk(place)).freeMb < 1) full.add(place);
    }),
  );
  return files.map((file) =>
    file.notWritable === undefined && full.has(file.folder?.real ?? '') && file.row.kind !== 'untouched'
      ? { ...file, notWritable: `the file system of ${file.folder?.real} is full` }
      : file,
  );
}

function problemIn<T>(read: () => T): { value: T | undefined; problem: string | undefined } {
  try {
    return { value: read(), problem: undefined };
  } catch (error) {
    return { value: undefined, problem: error instanceof Error ? error.message : String(error) };
  }
}

const keyFolders = (root: Root): NonNullable<Facts['keyFolders']> =>
  ['/root/.ssh', '/root'].flatMap((path) => {
    const own = ownershipOf(root, path);
    return own ? [{ path, ...own }] : [];
  });

/** root, coming from the other server. */
const rootFrom = (about: About, laddr: string, lport: number): SshConnection => ({
  user: 'root',
  host: about.fqdn || about.address,
  addr: about.address,
  laddr,
  lport,
});

async function problemOr<T>(read: () => Promise<T>): Promise<{ value: T | undefined; problem: string | undefined }> {
  try {
    return { value: await read(), problem: undefined };
  } catch (error) {
    // Preflight tells it to the operator as a failed check.
    return { value: undefined, problem: error instanceof Error ? error.message : String(error) };
  }
}

// A private key's content never leaves its server, not even as a fact.
const withoutSecret = (row: FileRow, fact: FileFact): FileFact =>
  row.secret && fact.state === 'file' ? { ...fact, content: '' } : fact;

/** The row and fact of the (first) managed file of a kind. */
export const fileOf = (facts: Facts, kind: FileRow['kind']): ManagedFact | undefined =>
  facts.files.find((file) => file.row.kind === kind);
