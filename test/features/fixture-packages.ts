// Feature packages and licences for tests: those of fixtures/packages and changed ones, signed by the rehearsal's key.
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { buildLicence } from '../../src/licence/build-licence.ts';
import { prepareFeaturePackage } from '../../src/packages/build-feature-package.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
export const testKey = readFileSync(join(repository, 'fixtures/keys/test-signing.pem'), 'utf8');
export const testTrust = [
  { name: 'test', publicKey: readFileSync(join(repository, 'fixtures/keys/test-signing.pub.pem'), 'utf8') },
];
export const fixtureNames = ['external_call_history', 'forecasting', 'multi_tenancy', 'dual_ip'] as const;
export type FixtureName = (typeof fixtureNames)[number];

export type Changes = {
  /** Keys of package.yaml. */
  readonly source?: Readonly<Record<string, unknown>>;
  /** Files by path, below files/; programs begin with #!. */
  readonly files?: Readonly<Record<string, string>>;
};

/** Builds a fixture's package into `out`, with changes. */
export async function buildFixture(name: FixtureName, out: string, { source = {}, files = {} }: Changes = {}) {
  mkdirSync(dirname(out), { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'cmsadm-package-source-'));
  cpSync(join(repository, 'fixtures/packages', name), folder, { recursive: true });
  const yaml = join(folder, 'package.yaml');
  writeFileSync(yaml, stringify({ ...parse(readFileSync(yaml, 'utf8')), ...source }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, 'files', path)), { recursive: true });
    writeFileSync(join(folder, 'files', path), text);
    if (text.startsWith('#!')) chmodSync(join(folder, 'files', path), 0o755);
  }
  const prepared = await prepareFeaturePackage(folder, testKey).finally(() => rmSync(folder, { recursive: true }));
  await prepared.write(out);
  return prepared.manifest;
}

const features = {
  OT_CONN: { name: 'Other Connector', count: 1 },
  ECHI: { name: 'External Call History', count: 1 },
  FORECASTING: { name: 'Forecasting', count: 1 },
  MULTI_TENANCY: { name: 'Multi-Tenancy', count: 1 },
  DUAL_IP: { name: 'Dual IP', count: 1 },
};

/** A licence for all fixtures, or for these features. */
export async function licenceFor(out: string, codes: readonly string[] = Object.keys(features), expires = 'never') {
  if (existsSync(out)) throw new Error(`${out} is there`);
  await buildLicence({
    licence: {
      serial: 'FEATURES-1',
      holder: 'Test',
      product: 'cms',
      issued: '2026-01-01',
      expires,
      features: Object.fromEntries(Object.entries(features).filter(([code]) => codes.includes(code))),
    },
    privateKeyPem: testKey,
    out,
  });
}
