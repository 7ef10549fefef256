import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CmsadmError } from '../src/errors.ts';
import { buildLicence } from '../src/licence/build-licence.ts';
import { copyIn, exec, writeFile } from './lab.ts';
import { run } from './run.ts';
import type { ServerName } from './servers.ts';

const projectRoot = fileURLToPath(new URL('..', import.meta.url));
const fixture = (name: string): string => readFileSync(join(projectRoot, 'fixtures/keys', name), 'utf8');

/** Where an operator of the lab finds what set up asks for, on cms1. */
export const labPackages = { licence: '/root/licence.zip', haPackage: '/root/HAcms.zip' } as const;

/** The HA package that `npm run package` made. Throws `package-missing`. */
export function haPackageFile(): string {
  const folder = join(projectRoot, 'dist');
  const name = existsSync(folder) ? readdirSync(folder).find((entry) => /^HAcms_.*\.zip$/.test(entry)) : undefined;
  if (name !== undefined) return join(folder, name);
  throw new CmsadmError('package-missing', 'There is no HA package in dist/.', { remedy: 'npm run package' });
}

/** A site profile that trusts the test key, as an operator would put it to /etc/cmsadm/profiles. */
const labProfile = (): string => {
  const key = fixture('test-signing.pub.pem')
    .trim()
    .split('\n')
    .map((line) => `      ${line}\n`);
  return `extends: cms\ntrust:\n  - name: test key of the lab\n    publicKey: |\n${key.join('')}`;
};

/** Unpacks an HA package of this machine and runs its installer on a server, which has no unzip. */
export async function installPackage(name: ServerName, zip: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cmsadm-lab-package-'));
  try {
    await run(['unzip', '-q', zip, '-d', folder]);
    await exec(name, ['mkdir', '-p', '/root/ha']);
    for (const entry of readdirSync(folder)) await copyIn(name, join(folder, entry), `/root/ha/${entry}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  await exec(name, ['sh', '/root/ha/install'], { timeoutMs: 60_000 });
  await exec(name, ['rm', '-r', '/root/ha']);
}

/** Installs the product on a server as the guide says: unzipped package, ./install, a site profile, a licence. */
export async function installProduct(
  name: ServerName,
  options: { readonly confirmSeconds?: number } = {},
): Promise<void> {
  const zip = haPackageFile();
  const folder = mkdtempSync(join(tmpdir(), 'cmsadm-lab-product-'));
  try {
    await buildLicence({
      licence: {
        serial: 'LAB-1',
        holder: 'Lab',
        product: 'cms',
        issued: '2026-01-01',
        expires: 'never',
        features: { OT_CONN: { name: 'Other Connector', count: 1 } },
      },
      privateKeyPem: fixture('test-signing.pem'),
      out: join(folder, 'licence.zip'),
    });
    await exec(name, ['mkdir', '-p', '/etc/cmsadm/profiles']);
    await copyIn(name, zip, labPackages.haPackage);
    await copyIn(name, join(folder, 'licence.zip'), labPackages.licence);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const seconds = options.confirmSeconds ?? 60;
  await writeFile(name, '/etc/cmsadm/settings.yaml', `profile: lab\nconfirmSeconds: ${seconds}\n`);
  await writeFile(name, '/etc/cmsadm/profiles/lab.yaml', labProfile());
  await installPackage(name, zip);
}
