import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildLicence } from '../../src/licence/build-licence.ts';
import { type LicenceData, openLicence, requireFeature } from '../../src/licence/licence.ts';
import { writeZip } from '../../src/packages/archive.ts';
import { buildHaPackage } from '../../src/packages/build-ha-package.ts';
import { sign } from '../../src/packages/signature.ts';
import { readZip } from '../../src/packages/zip.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { keyPair, tinyProgram } from '../packages/tiny-package.ts';

const folder = tempFolder();
const { privateKey, publicKey } = keyPair();
const trust = [{ name: 'issuer', publicKey }];
const now = new Date('2026-06-15T12:00:00Z');
const base: Omit<LicenceData, 'kind'> = {
  serial: 'L-1',
  holder: 'Example Ltd',
  product: 'cms',
  issued: '2026-01-01',
  expires: 'never',
  features: { OT_CONN: { name: 'Other Connector', count: 1 }, OLD: { name: 'No more', count: 0 } },
};
let files = 0;

async function made(change: Partial<typeof base> = {}, privateKeyPem = privateKey): Promise<string> {
  files += 1;
  const out = join(folder, `licence-${files}.zip`);
  await buildLicence({ licence: { ...base, ...change }, privateKeyPem, out });
  return out;
}

/** A licence package whose text nobody checked, signed all the same. */
async function signedText(text: string): Promise<string> {
  files += 1;
  const out = join(folder, `licence-${files}.zip`);
  const data = Buffer.from(text);
  const signature = Buffer.from(JSON.stringify(sign(data, privateKey)));
  await writeZip(out, [
    { name: 'licence.json', data, mode: 0o644 },
    { name: 'licence.sig', data: signature, mode: 0o644 },
  ]);
  return out;
}

describe('openLicence', () => {
  it('gives what the licence says and who signed it', async () => {
    const path = await made();
    expect(await openLicence(path, trust, now)).toEqual({ kind: 'cmsadm-licence', ...base, path, signer: 'issuer' });
  });

  it.each([
    ['never', '2126-01-01T00:00:00Z', true],
    ['2026-06-15', '2026-06-15T23:59:59Z', true],
    ['2026-06-15', '2026-06-16T00:00:00Z', false],
    ['2024-02-29', '2026-06-15T00:00:00Z', false],
  ])('with the last day %s is, at %s, valid: %s', async (expires, time, valid) => {
    const opened = openLicence(await made({ expires }), trust, new Date(time));
    if (valid) await expect(opened).resolves.toMatchObject({ expires });
    else
      await expect(opened).rejects.toMatchObject({
        code: 'licence-expired',
        message: expect.stringContaining(expires),
      });
  });

  it('refuses a licence of another signer, and says which keys are trusted', async () => {
    const path = await made({}, keyPair().privateKey);
    await expect(openLicence(path, trust, now)).rejects.toMatchObject({
      code: 'licence-badly-signed',
      file: path,
      details: [expect.stringContaining('issuer')],
      cause: expect.objectContaining({ code: 'signer-unknown' }),
    });
  });

  it('refuses a licence that was changed after signing', async () => {
    const zip = await readZip(await made());
    const path = join(folder, 'changed.zip');
    const text = zip.read('licence.json').toString().replace('Example', 'Another');
    await writeZip(path, [
      { name: 'licence.json', data: Buffer.from(text), mode: 0o644 },
      { name: 'licence.sig', data: zip.read('licence.sig'), mode: 0o644 },
    ]);
    await expect(openLicence(path, trust, now)).rejects.toMatchObject({
      code: 'licence-badly-signed',
      cause: expect.objectContaining({ code: 'signature-invalid' }),
    });
  });

  it('refuses a licence without a signature', async () => {
    const path = join(folder, 'unsigned.zip');
    const data = (await readZip(await made())).read('licence.json');
    await writeZip(path, [{ name: 'licence.json', data, mode: 0o644 }]);
    await expect(openLicence(path, trust, now)).rejects.toMatchObject({ code: 'licence-badly-signed' });
  });

  const data = { kind: 'cmsadm-licence', ...base };
  const unreadable = {
    'no features': { ...data, features: undefined },
    'a day that does not exist': { ...data, expires: '2026-02-30' },
    'a date with a time': { ...data, expires: '2026-02-20T00:00:00Z' },
    'a terminal escape in the holder': { ...data, holder: 'a\u001b[2Jb' },
    'a feature code in small letters': { ...data, features: { ot_conn: { name: 'x', count: 1 } } },
    'a count below zero': { ...data, features: { OT_CONN: { name: 'x', count: -1 } } },
  };
  it.each(Object.entries(unreadable))('refuses a well signed licence with %s', async (_, content) => {
    const path = await signedText(JSON.stringify(content));
    await expect(openLicence(path, trust, now)).rejects.toMatchObject({ code: 'licence-unreadable', file: path });
  });

  it('says that it was given the HA package', async () => {
    const out = join(folder, 'HAcms.zip');
    const programRoot = tinyProgram(join(folder, 'program'));
    await buildHaPackage({ programRoot, nodeArchive: undefined, privateKeyPem: privateKey, out });
    await expect(openLicence(out, trust, now)).rejects.toMatchObject({
      code: 'licence-foreign',
      message: expect.stringContaining('HA package'),
    });
  });

  it('refuses a zip of something else, and what is no zip', async () => {
    await expect(openLicence(await signedText('{"kind":"other"}'), trust, now)).rejects.toMatchObject({
      code: 'licence-foreign',
    });
    await expect(openLicence(await signedText('no JSON'), trust, now)).rejects.toMatchObject({
      code: 'licence-foreign',
    });
    const cut = join(folder, 'cut.zip');
    writeFileSync(cut, readFileSync(await made()).subarray(0, 100));
    await expect(openLicence(cut, trust, now)).rejects.toMatchObject({ code: 'licence-unreadable', file: cut });
  });
});

describe('requireFeature', () => {
  it('accepts a feature that the licence holds', async () => {
    const licence = await openLicence(await made(), trust, now);
    expect(() => requireFeature(licence, 'OT_CONN')).not.toThrow();
  });

  it.each(['CALL_HISTORY', 'OLD', 'toString', '__proto__'])(
    'refuses %s and lists what the licence holds',
    async (feature) => {
      const licence = await openLicence(await made(), trust, now);
      expect(() => requireFeature(licence, feature)).toThrowError(
        expect.objectContaining({ code: 'licence-lacks-feature', details: ['It holds OT_CONN (Other Connector).'] }),
      );
    },
  );
});
