import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { type Root, readText } from '../host/root.ts';
import { writeState } from '../host/writing.ts';

/** Where we keep what we know, below a server's root. */
export const paths = {
  settings: '/etc/cmsadm/settings.yaml',
  siteProfiles: '/etc/cmsadm/profiles',
  state: '/var/lib/cmsadm',
  link: '/var/lib/cmsadm/link.json',
  pair: '/var/lib/cmsadm/pair.json',
  epoch: '/var/lib/cmsadm/epoch',
  journal: '/var/lib/cmsadm/journal',
  alarms: '/var/lib/cmsadm/alarms.jsonl',
  kept: '/var/lib/cmsadm/kept',
  /** What admin-sync knows: agreed states, guards, conflicts, the pause. */
  sync: '/var/lib/cmsadm/sync',
  /** What rsync may do here while a bulk transfer is open. */
  bulkConfig: '/run/cmsadm/rsyncd.conf',
  agentSocket: '/run/cmsadm/agent.sock',
  syncLog: '/var/log/cmsadm/sync.log',
  lock: '/run/cmsadm/lock',
  /** Held while one process confirms or puts back: a run and its way back may come at the same moment. */
  turn: '/run/cmsadm/turn',
  adminLog: '/var/log/cmsadm/admin.log',
  program: '/opt/cmsadm/current',
  brought: '/opt/cmsadm/brought',
  releases: '/opt/cmsadm/releases',
  /** Names the old release while a new one is not confirmed. */
  wayBackProgram: '/opt/cmsadm/way-back',
  command: '/usr/local/sbin/cmsadm',
  pairKey: '/root/.ssh/id_cmsadm',
  sshdDropIns: '/etc/ssh/sshd_config.d',
  sshdDropIn: '/etc/ssh/sshd_config.d/00-00-cmsadm.conf',
  recoverUnit: '/etc/systemd/system/cmsadm-recover.service',
  agentUnit: '/etc/systemd/system/cmsadm-agent.service',
  knownHosts: '/root/.ssh/known_hosts',
  authorizedKeys: '/root/.ssh/authorized_keys',
} as const;

/** As systemd calls the unit of this file. */
export const unitName = (file: string): string => file.slice(file.lastIndexOf('/') + 1);

const server = v.strictObject({ address: v.string(), fqdn: v.string(), hostname: v.string() });
const publicKey = v.strictObject({ type: v.string(), base64: v.string() });

const linkSchema = v.strictObject({
  self: server,
  peer: v.strictObject({ ...server.entries, port: v.number(), hostKeys: v.array(publicKey) }),
  /** The tag under which the link was made. */
  tag: v.string(),
  /** True where the link brought the program; disable then takes it away. */
  broughtProgram: v.boolean(),
  /** Settings files that the link brought; disable takes them away again. */
  broughtFiles: v.array(v.string()),
});
/** What a server knows of the other one, from the link until disable. */
export type Link = v.InferOutput<typeof linkSchema>;

const pairSchema = v.strictObject({
  /** Grows at every role change, set-up and restore. */
  epoch: v.number(),
  primary: server,
  secondary: server,
  /** What was answered at set-up; the defaults of the next one. */
  ntpServer: v.nullable(v.string()),
  rhosts: v.boolean(),
  licencePackage: v.string(),
  haPackage: v.string(),
  profile: v.string(),
});
export type Pair = v.InferOutput<typeof pairSchema>;

const read = <Schema extends v.GenericSchema>(schema: Schema, path: string, text: string): v.InferOutput<Schema> => {
  try {
    return v.parse(schema, JSON.parse(text));
  } catch (cause) {
    throw new CmsadmError('state-unreadable', `${path} is damaged.`, {
      file: path,
      cause,
      remedy: 'Compare it with the one on the other server; `cmsadm config_HA show` there tells the pair.',
    });
  }
};

const written = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const parseLink = (text: string): Link => read(linkSchema, paths.link, text);
export const parsePair = (text: string): Pair => read(pairSchema, paths.pair, text);
export const printLink = (link: Link): string => written(link);
export const printPair = (pair: Pair): string => written(pair);

/** The link, or undefined on a server that has none. @throws CmsadmError state-unreadable */
export function readLink(root: Root): Link | undefined {
  const text = readText(root, paths.link);
  return text === undefined ? undefined : parseLink(text);
}

/** The saved pair, or undefined on a single server. @throws CmsadmError state-unreadable */
export function readPair(root: Root): Pair | undefined {
  const text = readText(root, paths.pair);
  return text === undefined ? undefined : parsePair(text);
}

/** The highest epoch that this server ever saw; 0 before the first. */
export const readEpoch = (root: Root): number => Number(readText(root, paths.epoch)?.trim() ?? '0');

/** Raises the high-water mark; never lowers it. */
export function raiseEpoch(root: Root, epoch: number): void {
  if (epoch > readEpoch(root)) writeState(root, paths.epoch, `${epoch}\n`);
}

/** The configured role of the server with this address. */
export const roleOf = (pair: Pair, address: string): 'primary' | 'secondary' =>
  pair.primary.address === address ? 'primary' : 'secondary';
