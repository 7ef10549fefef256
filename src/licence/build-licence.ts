/** Makes licence packages: for tests, rehearsals, and whoever issues licences with a key of their own. */
import * as v from 'valibot';
import { writeZip } from '../packages/archive.ts';
import { sign } from '../packages/signature.ts';
import { type LicenceData, licenceSchema } from './licence.ts';

export type LicenceRequest = {
  readonly licence: Omit<LicenceData, 'kind'>;
  readonly privateKeyPem: string;
  /** The zip to write. */
  readonly out: string;
};

/** Writes a signed licence package. Throws 'signing-key-unusable'; a wrong field is the caller's bug. */
export async function buildLicence({ licence, privateKeyPem, out }: LicenceRequest): Promise<void> {
  const checked = v.parse(licenceSchema, { kind: 'cmsadm-licence', ...licence });
  const data = Buffer.from(`${JSON.stringify(checked, null, 2)}\n`);
  const signature = Buffer.from(`${JSON.stringify(sign(data, privateKeyPem), null, 2)}\n`);
  await writeZip(out, [
    { name: 'licence.json', data, mode: 0o644 },
    { name: 'licence.sig', data: signature, mode: 0o644 },
  ]);
}
