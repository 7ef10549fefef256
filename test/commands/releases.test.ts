import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { localReleases, releaseVerbs, remoteReleases } from '../../src/commands/releases.ts';
import { CmsadmError } from '../../src/errors.ts';
import { openSession, type Session, serveSession } from '../../src/host/session.ts';
import { buildHaPackage } from '../../src/packages/build-ha-package.ts';
import { type HaPackage, openHaPackage } from '../../src/packages/ha-package.ts';
import { PROTOCOL } from '../../src/protocol.ts';
import { profile as shipped, type TestHost, testHost } from '../change/test-host.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { keyPair, tinyProgram, tinyRuntime } from '../packages/tiny-package.ts';

const folder = tempFolder();
const keys = keyPair();
const trust = [{ name: 'us', publicKey: keys.publicKey }];
let number = 0;

async function packageOf(version: string): Promise<HaPackage> {
  const out = join(folder, `${version}.zip`);
  const programRoot = tinyProgram(join(folder, `program ${version}`), version);
  // Longer than one message.
  writeFileSync(join(programRoot, 'dist/large.js'), 'x'.repeat(2_500_000));
  await buildHaPackage({
    programRoot,
    nodeArchive: await tinyRuntime(folder),
    privateKeyPem: keys.privateKey,
    out,
  });
  return openHaPackage(out, trust);
}

/** A server whose installer really runs, below the server's own folder. */
function server(): TestHost {
  number += 1;
  const prefix = join(folder, `server-${number}`);
  return testHost(prefix, {
    identity: async () => ({
      ...{ hostname: 'cms2', osName: 'Debian', osVersion: '12', osFamily: 'debian', arch: 'x86_64', root: true },
      ...{ cpus: 2, memoryMb: 2000, timeZone: 'UTC', ethernetPorts: 1 },
    }),
    runInstaller: async (from, options) => {
      const env = { PATH: process.env['PATH'] ?? '', DESTDIR: prefix };
      execFileSync('sh', [join(from, 'install'), ...options], { env, stdio: 'pipe' });
    },
  });
}

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('the releases of a server', () => {
  let haPackage: HaPackage;
  let host: TestHost;
  let session: Session;
  const releases = (): string[] => readdirSync(join(host.root.prefix, 'opt/cmsadm/releases')).sort();
  const there = (pause = () => {}) => remoteReleases(session, pause);

  beforeAll(async () => {
    haPackage = await packageOf('2.0.0');
  });
  beforeEach(async () => {
    host = server();
    mkdirSync(join(host.root.prefix, 'opt/cmsadm/releases/1.0.0'), { recursive: true });
    symlinkSync('releases/1.0.0', join(host.root.prefix, 'opt/cmsadm/current'));
    session = await sessionWith(trust);
  });

  async function sessionWith(keysThere: typeof trust): Promise<Session> {
    const [toPeer, toUs] = [new PassThrough(), new PassThrough()];
    const verbs = releaseVerbs(host, { ...shipped, trust: keysThere });
    void serveSession(toPeer, toUs, verbs, '1.0.0').then(() => toUs.end());
    return openSession(toUs, toPeer, 'cms2.example.com', () => toPeer.end());
  }

  test('tell the version in use, its protocol and the room', async () => {
    expect(await there().facts()).toEqual({
      ...{ version: '1.0.0', digest: undefined, protocol: PROTOCOL, arch: 'x86_64', freeMb: 1000 },
      releases: [],
    });
    await there().stage(haPackage);
    expect(await there().facts()).toMatchObject({
      version: '1.0.0',
      releases: [{ version: '2.0.0', digest: haPackage.digest, protocol: PROTOCOL, node: '24.21.0' }],
    });
  });

  test('take a package in parts and unpack it beside the version in use, leaving nothing else', async () => {
    await there().stage(haPackage);
    expect(releases()).toEqual(['1.0.0', '2.0.0']);
    expect(readdirSync(join(host.root.prefix, 'opt/cmsadm')).sort()).toEqual(['current', 'releases']);
    expect(existsSync(join(host.root.prefix, 'usr/local/sbin/cmsadm')), 'no link is made').toBe(false);
    await there().stage(haPackage);
    expect(releases(), 'a second time as well').toEqual(['1.0.0', '2.0.0']);
  });

  test('are staged here just as there', async () => {
    await localReleases(host).stage(haPackage);
    expect(releases()).toEqual(['1.0.0', '2.0.0']);
  });

  test('judge the signature there, before anything is unpacked', async () => {
    session = await sessionWith([]);
    await expect(there().stage(haPackage)).rejects.toMatchObject({
      code: 'signer-unknown',
      server: 'cms2.example.com',
    });
    expect(releases()).toEqual(['.incoming', '1.0.0']);
    await there().keep(['1.0.0']);
    expect(releases(), 'what arrived is removed').toEqual(['1.0.0']);
  });

  test('refuse what was cut short on its way', async () => {
    const copy = join(folder, 'short.zip');
    cpSync(haPackage.path, copy);
    truncateSync(copy, 1_500_000);
    await expect(there().stage({ ...haPackage, path: copy })).rejects.toMatchObject({ code: 'ha-package-unreadable' });
    expect(releases()).toEqual(['.incoming', '1.0.0']);
  });

  test('refuse another package than the one that was announced', async () => {
    const other = await packageOf('2.0.1');
    await expect(there().stage({ ...haPackage, path: other.path })).rejects.toMatchObject({ code: 'package-other' });
  });

  test('refuse a part out of order', async () => {
    const data = Buffer.from('x').toString('base64');
    await session.call('takePackage', { offset: 0, data });
    await expect(session.call('takePackage', { offset: 5, data })).rejects.toMatchObject({ code: 'arguments-refused' });
  });

  test('end a transfer where the operator interrupts it', async () => {
    let parts = 0;
    const pause = () => {
      parts += 1;
      if (parts === 2) throw new CmsadmError('interrupted', 'Interrupted.');
    };
    await expect(there(pause).stage(haPackage)).rejects.toMatchObject({ code: 'interrupted' });
    expect(releases()).toEqual(['.incoming', '1.0.0']);
  });

  test('are removed but for those to keep, and never the one in use', async () => {
    for (const name of ['0.8.0', '0.9.0']) mkdirSync(join(host.root.prefix, 'opt/cmsadm/releases', name));
    await there().keep(['0.9.0']);
    expect(releases()).toEqual(['0.9.0', '1.0.0']);
  });
});
