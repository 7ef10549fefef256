// Builds dist/HAcms_<version>.zip. See docs/release.md.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import * as v from 'valibot';
import { buildHaPackage } from '../src/packages/build-ha-package.ts';
import { readSigningKey } from './signing-key.ts';

const programRoot = fileURLToPath(new URL('..', import.meta.url));

function readJson<const S extends v.GenericSchema>(name: string, schema: S): v.InferOutput<S> {
  return v.parse(v.pipe(v.string(), v.parseJson(), schema), readFileSync(join(programRoot, name), 'utf8'));
}

async function digest(file: string, algorithm: 'sha256' | 'sha512', encoding: 'hex' | 'base64'): Promise<string> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(file), hash);
  return hash.digest(encoding);
}

/** npm's own archive of the runtime, from the cache or the registry, checked against the pinned integrity. */
async function fetchRuntime(): Promise<string> {
  const runtime = readJson(
    'scripts/node-runtime.json',
    v.object({ package: v.string(), version: v.string(), integrity: v.string() }),
  );
  const cache = process.env['CMSADM_CACHE'] ?? join(homedir(), '.cache', 'cmsadm');
  const archive = join(cache, `${runtime.package}-${runtime.version}.tgz`);
  const intact = async () => `sha512-${await digest(archive, 'sha512', 'base64')}` === runtime.integrity;
  if (existsSync(archive) && (await intact())) return archive;
  mkdirSync(cache, { recursive: true });
  rmSync(archive, { force: true });
  await execa(
    'npm',
    ['pack', `${runtime.package}@${runtime.version}`, '--pack-destination', cache, '--loglevel', 'error'],
    {
      stdout: 'ignore',
      stderr: 'inherit',
    },
  );
  if (await intact()) return archive;
  rmSync(archive, { force: true });
  throw new Error(`${runtime.package}@${runtime.version} is not the archive that scripts/node-runtime.json pins`);
}

await execa(process.execPath, ['scripts/build.js'], { cwd: programRoot, stdio: 'inherit' });
const { version } = readJson('package.json', v.object({ version: v.string() }));
const out = join(programRoot, 'dist', `HAcms_${version}.zip`);
const built = await buildHaPackage({
  programRoot,
  nodeArchive: await fetchRuntime(),
  privateKeyPem: readSigningKey(process.env['CMSADM_SIGNING_KEY']),
  out,
});
console.log(`${out}: ${built.size} bytes`);
console.log(`sha256  ${await digest(out, 'sha256', 'hex')}`);
console.log(`package ${built.digest}`);
