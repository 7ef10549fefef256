import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { packageCheck } from '../../src/commands/package-build.ts';
import { pkgInstall } from '../../src/commands/pkg-install.ts';
import { standAsWanted } from '../../src/features/stand.ts';
import { printWanted } from '../../src/features/wanted-package.ts';
import { sha256 } from '../../src/packages/manifest.ts';
import { sign } from '../../src/packages/signature.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { keyPair } from '../packages/tiny-package.ts';
import type { RawEntry } from '../packages/zip-bytes.ts';
import { pairMaker, type RehearsalPair, refusalOf, standing } from '../rehearsal/pair.ts';
import { testKey } from './fixture-packages.ts';
import { type Lies, listed, plainEntries, plainFiles, plainManifest, signedZip } from './signed-zip.ts';

const folder = tempFolder();
let pair: RehearsalPair;
beforeAll(async () => {
  pair = (await pairMaker(folder))('hostile');
}, 60_000);

const zip = '/root/package.zip';
const give = (bytes: Buffer): void => writeFileSync(join(pair.cms1, zip), bytes);
const entry = (name: string, more: Partial<RawEntry> = {}): RawEntry => ({ name, data: Buffer.from('x'), ...more });
/** A file that is in the zip and in the manifest. */
const both = (path: string, mode = '0644', content = 'x'): Lies => ({
  manifest: { files: [...plainFiles, listed(path, content, mode)] },
  more: [entry(path, { data: Buffer.from(content) })],
});
const deflated = (name: string, data: Buffer, size = data.length): RawEntry => ({
  name,
  method: 8,
  data: deflateRawSync(data),
  crc: crc32(data),
  size,
});

test.each([
  ['as it is', {}],
  ['with a further file', both('bin/tool', '0755')],
  [
    'with compressed files',
    { entries: plainEntries.map(({ name, data }) => deflated(String(name), data ?? Buffer.alloc(0))) },
  ],
])('the package that all of these are made of is accepted %s', async (_, lies) => {
  give(signedZip(lies));
  expect((await packageCheck(pair.context(pair.cms1), { file: zip })).result).toMatchObject({
    outcome: 'checked',
    package: { name: 'hostile', version: '1.0.0' },
  });
});

const zeros = Buffer.alloc(40_000_000);
const hostile: Readonly<Record<string, Lies | Buffer | (() => Buffer)>> = {
  'a name that climbs out': both('../../etc/cron.d/evil'),
  'a name that climbs out in its middle': both('bin/../../../../etc/evil'),
  'an absolute name': both('/etc/cron.d/evil'),
  'a name with a backslash': both('..\\evil'),
  'a name with a line feed': both('bin/a\nb'),
  'a name with an escape sequence': both('bin/\u001b[2J'),
  'a hidden name': both('.ssh/authorized_keys'),
  'a symbolic link': { ...both('link'), more: [entry('link', { mode: 0o120777, data: Buffer.from('x') })] },
  'a link that its manifest does not list': {
    more: [entry('link', { mode: 0o120777, data: Buffer.from('/etc/passwd') })],
  },
  'a device': { ...both('device'), more: [entry('device', { mode: 0o020666 })] },
  'a block device': { ...both('device'), more: [entry('device', { mode: 0o060666 })] },
  'a pipe': { ...both('pipe'), more: [entry('pipe', { mode: 0o010666 })] },
  'a set-user-id bit in the zip': { ...both('bin/su', '0755'), more: [entry('bin/su', { mode: 0o104755 })] },
  'a set-group-id bit in the zip': { ...both('bin/su', '0755'), more: [entry('bin/su', { mode: 0o102755 })] },
  'a set-user-id mode in the manifest': both('bin/su', '4755'),
  'a mode for everybody to write': both('bin/tool', '0777'),
  'a name twice': { ...both('twice'), more: [entry('twice'), entry('twice')] },
  'a name twice in its manifest': { manifest: { files: [...plainFiles, plainFiles[0]] } },
  'a name in other letters': {
    manifest: { files: [...plainFiles, listed('BIN/Program', 'x')] },
    more: [entry('BIN/Program')],
  },
  'a file that is a folder too': {
    manifest: { files: [...plainFiles, listed('bin', 'x')] },
    more: [entry('bin')],
  },
  'a manifest of another case': { ...both('MANIFEST.json') },
  'a file that the manifest does not list': { more: [entry('bin/extra')] },
  'a file that is missing': { entries: plainEntries.slice(1) },
  'a content with another digest': {
    entries: plainEntries.map((one) => ({ ...one, data: Buffer.from(String(one.data).replace(/[a-z]/, 'X')) })),
  },
  'a size other than the manifest’s': {
    manifest: { files: plainFiles.map((one) => ({ ...one, size: one.size + 1 })) },
  },
  'a bad signature': {
    signature: Buffer.from(JSON.stringify({ keyId: '0'.repeat(16), signature: `${'A'.repeat(86)}==` })),
  },
  'a signature that is none': { signature: Buffer.from('not JSON') },
  'no signature': { signature: null },
  'a signature by a key that nobody trusts': { key: keyPair().privateKey },
  'a manifest that was changed after it was signed': {
    text: `${JSON.stringify({ ...plainManifest, files: plainFiles })} `,
    signature: Buffer.from(
      JSON.stringify(sign(Buffer.from(JSON.stringify({ ...plainManifest, files: plainFiles })), testKey)),
    ),
  },
  'a bomb that tells its 10 GB, in entries of 1 GB': {
    more: Array.from({ length: 10 }, (_, i) => deflated(`bomb${i}`, zeros, 1_000_000_000)),
  },
  'a bomb that tells a small size': {
    manifest: { files: [...plainFiles, { ...listed('bomb', ''), size: 100 }] },
    more: [deflated('bomb', zeros, 100)],
  },
  'a bomb that tells no size': { ...both('bomb', '0644', ''), more: [deflated('bomb', zeros, 0)] },
  'a bomb in the ZIP64 form': () => {
    const bytes = signedZip({ more: [entry('PK\x06\x07aaaaaaaaaaaaaaaa')] });
    return bytes;
  },
  'more files than any package has': {
    manifest: { files: Array.from({ length: 991 }, (_, i) => listed(`f${i}`, 'x')) },
    entries: Array.from({ length: 991 }, (_, i) => entry(`f${i}`)),
  },
  'more than 64 MiB': {
    manifest: { files: [listed('a', zeros), listed('b', zeros)] },
    entries: [deflated('a', zeros), deflated('b', zeros)],
  },
  'an encrypted entry': { more: [entry('bin/x', { flags: 1 })] },
  'another name in the local header': { more: [entry('bin/x', { localName: 'bin/y' })] },
  'something before its start': () => Buffer.concat([Buffer.from('#!/bin/sh\n'), signedZip({})]),
  'something after its end': () => Buffer.concat([signedZip({}), Buffer.from('x')]),
  'two archives in one': () => Buffer.concat([signedZip({}), signedZip({})]),
  'half of it': () => signedZip({}).subarray(0, 700),
  'all but its last byte': () => signedZip({}).subarray(0, -1),
  'nothing in it': Buffer.alloc(0),
  'a manifest that is no JSON': { text: '{"kind":"cmsadm-feature-package"' },
  'a manifest of another kind': { manifest: { kind: 'cmsadm-ha-package' } },
  'a key in its manifest that nobody knows': { manifest: { preinstall: 'rm -rf /' } },
  'a name that is a path': { manifest: { name: '../../etc' } },
  'a name with letters that look like others': { manifest: { name: 'hostil\u0435' } },
  'a version that is a path': { manifest: { version: '../../../tmp' } },
  'a title that moves the cursor': { manifest: { title: 'x\u001b[2J' } },
  'a unit that is another package’s': {
    manifest: {
      units: [{ name: 'cmsadm-pkg-other.service', starts: true }],
      files: [...plainFiles, listed('units/cmsadm-pkg-other.service', 'x')],
    },
    more: [entry('units/cmsadm-pkg-other.service')],
  },
  'a unit that is a service of the system': {
    manifest: {
      units: [{ name: 'sshd.service', starts: true }],
      files: [...plainFiles, listed('units/sshd.service', 'x')],
    },
    more: [entry('units/sshd.service')],
  },
  'a unit whose name is a path': { manifest: { units: [{ name: '../cmsadm-pkg-hostile.service', starts: true }] } },
  'a unit that is no file of it': { manifest: { units: [{ name: 'cmsadm-pkg-hostile-x.service', starts: true }] } },
  'a hook outside': { manifest: { hooks: { install: { file: '../../../bin/sh', seconds: 5 } } } },
  'a hook that may not be executed': {
    manifest: { hooks: { install: { file: 'units/cmsadm-pkg-hostile.service', seconds: 5 } } },
  },
  'a hook without an end': { manifest: { hooks: { install: { file: 'bin/program', seconds: 1e9 } } } },
  'a setting with a pattern that takes for ever': {
    manifest: {
      settings: [{ name: 'a', question: 'A', kind: 'text', pattern: '(a+)+b', example: 'ab', default: 'ab' }],
    },
  },
  'a setting with a default that a shell would obey': {
    manifest: {
      settings: [{ name: 'a', question: 'A', kind: 'text', pattern: '[^x]+', example: 'a', default: '$(id)' }],
    },
  },
  'a setting that would be another variable': {
    manifest: { settings: [{ name: 'x=1\nPATH', question: 'A', kind: 'yes-no', default: true }] },
  },
};

describe('before anything is written, a package is refused with', () => {
  test.each(Object.entries(hostile))('%s', async (_, lies) => {
    give(typeof lies === 'function' ? lies() : Buffer.isBuffer(lies) ? lies : signedZip(lies));
    const before = standing(pair);
    const began = performance.now();
    const refusal = await refusalOf(pkgInstall(pair.context(pair.cms1), { package: zip }));
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(refusal).toMatchObject({ code: 'answers-refused', exitCode: 3 });
    expect(standing(pair)).toEqual(before);
  });
});

test('a link, a folder or a pipe in the place of the zip is not read for ever', async () => {
  mkdirSync(join(pair.cms1, 'root/folder'));
  for (const path of ['/root/folder', '/dev/zero', '/root/absent', 'relative', '/root/\0'])
    expect(await refusalOf(pkgInstall(pair.context(pair.cms1), { package: path }))).toMatchObject({
      code: 'answers-refused',
    });
});

describe('what is wrong in the administration folder', () => {
  const put = (root: string, bytes: Buffer, change: Record<string, unknown> = {}): void => {
    mkdirSync(join(root, 'cms/admin/packages/hostile'), { recursive: true });
    writeFileSync(join(root, 'cms/admin/packages/hostile/package.zip'), bytes);
    const wanted = {
      name: 'hostile',
      title: 'Hostile',
      version: '1.0.0',
      package: sha256(bytes),
      licence: null,
      on: true,
      settings: {},
      ...change,
    };
    writeFileSync(join(root, 'cms/admin/packages/hostile/wanted.yaml'), printWanted(wanted), 'latin1');
  };
  const apply = async (): Promise<unknown> => {
    const { host, profile } = pair.context(pair.cms1);
    return refusalOf(standAsWanted(host, profile).then(() => Promise.reject(new Error('applied'))));
  };

  test.each([
    ['a hostile package whose digest is right', () => put(pair.cms1, signedZip(both('../../evil')))],
    [
      'a package of another name',
      () => put(pair.cms1, signedZip({ manifest: { name: 'other', units: [], files: plainFiles } })),
    ],
    ['a package of another version', () => put(pair.cms1, signedZip({}), { version: '2.0.0' })],
    ['settings of no kind', () => put(pair.cms1, signedZip({}), { settings: { 'a\nb': 1 } })],
    [
      'a package that needs a licence, without one',
      () => put(pair.cms1, signedZip({ manifest: { licenceFeature: 'ECHI' } })),
    ],
    ['a package by a key that nobody trusts', () => put(pair.cms1, signedZip({ key: keyPair().privateKey }))],
  ])('installs nothing: %s', async (_, prepare) => {
    prepare();
    const before = standing(pair);
    expect(await apply()).toMatchObject({ name: 'CmsadmError' });
    const after = standing(pair);
    expect(after).toEqual(before);
  });

  test('a unit of that name by somebody else stays as it is', async () => {
    put(pair.cms1, signedZip({}));
    const unit = join(pair.cms1, 'etc/systemd/system/cmsadm-pkg-hostile.service');
    mkdirSync(join(unit, '..'), { recursive: true });
    writeFileSync(unit, 'mine\n');
    const before = standing(pair);
    expect(await apply()).toMatchObject({
      code: 'unit-foreign',
      file: '/etc/systemd/system/cmsadm-pkg-hostile.service',
    });
    expect(standing(pair)).toEqual(before);
    expect(readFileSync(unit, 'utf8')).toBe('mine\n');
  });
});
