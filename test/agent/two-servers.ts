import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { afterEach } from 'vitest';
import type { SetResult } from '../../src/agent/pass.ts';
import type { receiveVerbs } from '../../src/agent/receive.ts';
import { realSystem } from '../../src/host/real-system.ts';
import type { Session } from '../../src/host/session.ts';
import type { Host } from '../../src/host/system.ts';
import { writeState } from '../../src/host/writing.ts';
import { type Pair, paths, printLink, printPair, raiseEpoch } from '../../src/pair/state.ts';
import { type Profile, profileSchema } from '../../src/profile/schema.ts';
import { lonelyAgent, lonelySession, passOver } from './lonely-agent.ts';

export const cms1 = { address: '192.0.2.1', fqdn: 'cms1.example.org', hostname: 'cms1' };
export const cms2 = { address: '192.0.2.2', fqdn: 'cms2.example.org', hostname: 'cms2' };

export const profile: Profile = v.parse(profileSchema, {
  name: 'test',
  title: 'Test',
  authority: 'primary',
  menu: [],
  services: {},
  files: [],
  firewall: { debian: { adapter: 'none' }, rhel: { adapter: 'none' } },
  ports: [],
  dataSets: [{ name: 'admin', path: '/admin', exclude: ['*.log', 'cache/*.tmp'] }],
  release: { path: '/release', release: 'RELEASE', load: 'LOAD' },
  licenceFeature: 'X',
  trust: [],
  confirmSeconds: 60,
  agentUnit: 'cmsadm-agent.service',
});

export const pairAt = (epoch: number, primary = cms1): Pair => ({
  epoch,
  primary,
  secondary: primary === cms1 ? cms2 : cms1,
  ntpServer: null,
  rhosts: false,
  licencePackage: '/root/licence.zip',
  haPackage: '/root/HAcms.zip',
  profile: 'test',
});

/** A server whose files are a folder of their own; clock and processes are this machine's. */
function server(folder: string, self: typeof cms1, peer: typeof cms1): Host {
  const host: Host = {
    root: { prefix: folder, ownersCount: false },
    system: { ...realSystem(), real: false },
    programRoot: fileURLToPath(new URL('../..', import.meta.url)),
  };
  fs.mkdirSync(join(folder, 'admin'), { recursive: true });
  const link = {
    self,
    peer: { ...peer, port: 22, hostKeys: [] },
    tag: 'zdt_1_1700000000',
    broughtProgram: false,
    broughtFiles: [],
  };
  writeState(host.root, paths.link, printLink(link));
  return host;
}

export function savePair(host: Host, pair: Pair): void {
  raiseEpoch(host.root, pair.epoch);
  writeState(host.root, paths.pair, printPair(pair));
}

/** Two linked servers in fresh folders; cms1 is primary at epoch 1. Gone after the test. */
export function twoServers(): { one: Host; two: Host } {
  const folder = fs.mkdtempSync(join(tmpdir(), 'cmsadm-test-'));
  cleanups.push(() => {
    // A test may have shut a folder for everybody but root.
    spawnSync('chmod', ['-R', 'u+rwX', folder]);
    fs.rmSync(folder, { recursive: true, force: true });
  });
  const one = server(join(folder, 'one'), cms1, cms2);
  const two = server(join(folder, 'two'), cms2, cms1);
  for (const host of [one, two]) savePair(host, pairAt(1));
  return { one, two };
}

/** The receiving verbs of a server, of an agent that does nothing by itself; gone after the test. */
export function verbsOf(host: Host, more: Partial<Profile> = {}): ReturnType<typeof receiveVerbs> {
  const { verbs, end } = lonelyAgent(host, { ...profile, ...more });
  cleanups.push(end);
  return verbs;
}

/** The receiving verbs of several sessions with one agent; gone after the test. */
export function verbsOfSessions(host: Host, count: number): { sessions: ReturnType<typeof receiveVerbs>['verbs'][] } {
  const { another, end } = lonelyAgent(host, profile);
  cleanups.push(end);
  return { sessions: Array.from({ length: count }, () => another().verbs) };
}

/** A session with the receiving verbs of a server, over streams in this process. */
export async function sessionWith(host: Host): Promise<Session> {
  const { session, end } = await lonelySession(host, profile);
  cleanups.push(end);
  return session;
}

/** One full pass from a server to the other one, as its agent would make it. */
export async function pass(one: Host, two: Host, over?: Session): Promise<SetResult> {
  const session = over ?? (await sessionWith(two));
  const [result] = await passOver(one, profile, session);
  if (!result) throw new Error('the profile has no data set');
  return result;
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** Names in tests are bytes: text is taken as latin1, so `\xff` is one byte that is no UTF-8. */
export const placeOf = (host: Host, path: string): Buffer =>
  Buffer.concat([Buffer.from(`${host.root.prefix}/admin/`), Buffer.from(path, 'latin1')]);

export function write(host: Host, path: string, content: string | Buffer, mode = 0o640): void {
  const place = placeOf(host, path);
  fs.mkdirSync(Buffer.from(dirname(place.toString('latin1')), 'latin1'), { recursive: true });
  fs.writeFileSync(place, content);
  fs.chmodSync(place, mode);
}

const read = (host: Host, path: string): string => fs.readFileSync(placeOf(host, path), 'latin1');

/** What a data set holds, names to content, `->target` for a link, `/` for a folder. */
export function tree(host: Host, folder = ''): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of fs.readdirSync(placeOf(host, folder), 'buffer').map((bytes) => bytes.toString('latin1'))) {
    const path = folder === '' ? name : `${folder}/${name}`;
    const stat = fs.lstatSync(placeOf(host, path));
    if (stat.isDirectory()) Object.assign(found, { [path]: '/' }, tree(host, path));
    else if (stat.isSymbolicLink()) found[path] = `->${fs.readlinkSync(placeOf(host, path))}`;
    else found[path] = stat.isFile() ? read(host, path) : 'special';
  }
  return found;
}

/** Contents of what was kept on a server, by path. */
export function kept(host: Host): [path: string, content: string][] {
  const folder = join(host.root.prefix, paths.kept, 'admin');
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((item) => !item.isDirectory())
    .map((item): [string, string] => {
      const path = join(item.parentPath, item.name);
      const content = item.isSymbolicLink() ? `->${fs.readlinkSync(path)}` : fs.readFileSync(path, 'latin1');
      return [path.slice(folder.length + 1).replace(/^[^/]+\//, ''), content];
    })
    .sort();
}
