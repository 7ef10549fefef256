import * as fs from 'node:fs';
import { join } from 'node:path';
import { dialAgent, pipe } from '../agent/socket.ts';
import { servePeer } from '../commands/peer.ts';
import { CmsadmError } from '../errors.ts';
import { makeKeyPair } from '../host/pair-key.ts';
import type { Root } from '../host/root.ts';
import { peerCommands } from '../host/ssh-client.ts';
import type { Host } from '../host/system.ts';
import { buildLicence } from '../licence/build-licence.ts';
import { buildHaPackage } from '../packages/build-ha-package.ts';
import { readZip } from '../packages/zip.ts';
import { profileOfServer } from '../profile/load.ts';
import { readRecorded, recordedSystem } from './recorded-system.ts';
import { startSshServer } from './ssh-server.ts';

/** Where the licence and the HA package of a rehearsal lie, as paths of the server cms1. */
export const rehearsalPackages = { licence: '/root/licence.zip', haPackage: '/root/HAcms.zip' } as const;

/** What tells a folder with a pair in it from any other; the last is there when all is. */
const ofPair = ['cms1', 'cms2', 'cms1.yaml', 'cms2.yaml', 'cms2/opt/cmsadm/current/manifest.json'] as const;

/** Whether a pair was made there. */
export const isPairFolder = (folder: string): boolean => ofPair.every((name) => fs.existsSync(join(folder, name)));

/** A pair is made where nothing is, and taken again where one is. @throws CmsadmError folder-unusable */
export function refuseForeignFolder(folder: string): void {
  const stat = fs.statSync(folder, { throwIfNoEntry: false });
  if (!stat || isPairFolder(folder)) return;
  if (stat.isDirectory() && fs.readdirSync(folder).length === 0) return;
  throw new CmsadmError(
    'folder-unusable',
    `${folder} is ${stat.isDirectory() ? 'neither empty nor a practice pair' : 'no folder'}.`,
    { file: folder, remedy: 'Give a folder that is not there yet, an empty one, or one in which a pair was kept.' },
  );
}

/**
 * Makes a pair of two server folders from the fixtures: host keys, a licence and an HA package without runtime, signed
 * by the test key that only the rehearsal's profile trusts.
 */
export async function makePairFolder(folder: string, programRoot: string): Promise<void> {
  fs.cpSync(join(programRoot, 'fixtures/rehearsal'), folder, { recursive: true });
  const privateKeyPem = fs.readFileSync(join(programRoot, 'fixtures/keys/test-signing.pem'), 'utf8');
  const publicKey = fs.readFileSync(join(programRoot, 'fixtures/keys/test-signing.pub.pem'), 'utf8');
  const zip = join(folder, 'cms1', rehearsalPackages.haPackage);
  await buildHaPackage({ programRoot, nodeArchive: undefined, privateKeyPem, out: zip });
  await buildLicence({
    licence: {
      serial: 'REHEARSAL-1',
      holder: 'Rehearsal',
      product: 'cms',
      issued: '2026-01-01',
      expires: 'never',
      features: { OT_CONN: { name: 'Other Connector', count: 1 } },
    },
    privateKeyPem,
    out: join(folder, 'cms1', rehearsalPackages.licence),
  });
  const manifest = (await readZip(zip)).read('manifest.json');
  for (const server of ['cms1', 'cms2']) {
    const root = join(folder, server);
    const put = (path: string, content: string | Buffer, mode: number): void => {
      fs.mkdirSync(join(root, path, '..'), { recursive: true });
      fs.writeFileSync(join(root, path), content, { mode });
    };
    const key = makeKeyPair(`root@${server}`);
    put('etc/ssh/ssh_host_ed25519_key', key.privateKey, 0o600);
    put('etc/ssh/ssh_host_ed25519_key.pub', key.publicLine, 0o644);
    put('etc/cmsadm/settings.yaml', 'profile: rehearsal\n', 0o644);
    const trust = publicKey
      .trim()
      .split('\n')
      .map((line) => `      ${line}\n`)
      .join('');
    put(
      'etc/cmsadm/profiles/rehearsal.yaml',
      `extends: cms\ntrust:\n  - name: test key of rehearsals\n    publicKey: |\n${trust}`,
      0o644,
    );
    put('opt/cmsadm/current/manifest.json', manifest, 0o644);
    // Git keeps no empty folders.
    for (const empty of ['cms/admin', 'cms/db']) fs.mkdirSync(join(root, empty), { recursive: true });
  }
}

const ports = new Map<string, Promise<number>>();

/** One server of a rehearsal as a host; its peer's SSH server starts when it is first called. */
export function rehearsalHost(folder: string, programRoot: string, tell: (text: string) => void): Host {
  const root: Root = { prefix: folder, ownersCount: false };
  const portOf = (other: string): Promise<number> => {
    const otherFolder = join(folder, '..', other);
    const running = ports.get(otherFolder) ?? serveFolder(otherFolder, programRoot, tell);
    ports.set(otherFolder, running);
    return running;
  };
  return { root, programRoot, system: recordedSystem(folder, tell, portOf) };
}

async function serveFolder(folder: string, programRoot: string, tell: (text: string) => void): Promise<number> {
  const rootAllowed = !/^permitrootlogin no$/m.test(readRecorded(folder).sshd);
  return startSshServer(folder, rootAllowed, async (channel, asked) => {
    const host = rehearsalHost(folder, programRoot, tell);
    if (asked === peerCommands.agent) {
      const socket = await dialAgent(host.root).catch(() => undefined); // the channel ends without a greeting
      return socket && pipe(socket, channel, channel);
    }
    return servePeer(host, profileOfServer(folder, programRoot), { carriedIn: undefined }, channel, channel);
  });
}
