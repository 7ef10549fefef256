// Builds dist/HAcms_<version>.zip. See docs/release.md.
// For tests of an upgrade: npm run package -- --version X [--protocol N] --out FILE
import { createHash } from 'node:crypto';
import {
  cpSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
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

const { values } = parseArgs({
  options: { version: { type: 'string' }, protocol: { type: 'string' }, out: { type: 'string' } },
});
const { version } = readJson('package.json', v.object({ version: v.string() }));

/** The program as it is, or under another version and with another protocol number, in a folder of its own. */
async function builtProgram(): Promise<string> {
  const build = (args: readonly string[]) =>
    execa(process.execPath, ['scripts/build.js', ...args], { cwd: programRoot, stdio: 'inherit' });
  if (values.version === undefined) {
    await build([]);
    return programRoot;
  }
  const folder = mkdtempSync(join(tmpdir(), 'cmsadm-package-'));
  for (const part of ['LICENSE', 'bin', 'docs', 'profiles', 'templates'])
    cpSync(join(programRoot, part), join(folder, part), { recursive: true });
  const text = readFileSync(join(programRoot, 'package.json'), 'utf8');
  writeFileSync(
    join(folder, 'package.json'),
    text.replace(`"version": "${version}"`, `"version": "${values.version}"`),
  );
  await build([join(folder, 'dist'), ...(values.protocol === undefined ? [] : [values.protocol])]);
  return folder;
}

const out = values.out ?? join(programRoot, 'dist', `HAcms_${values.version ?? version}.zip`);
const program = await builtProgram();
try {
  const built = await buildHaPackage({
    programRoot: program,
    nodeArchive: await fetchRuntime(),
    privateKeyPem: readSigningKey(process.env['CMSADM_SIGNING_KEY']),
    ...(values.protocol === undefined ? {} : { protocol: Number(values.protocol) }),
    out,
  });
  console.log(`${out}: ${built.size} bytes`);
  console.log(`sha256  ${await digest(out, 'sha256', 'hex')}`);
  console.log(`package ${built.digest}`);
} finally {
  if (program !== programRoot) rmSync(program, { recursive: true, force: true });
}
