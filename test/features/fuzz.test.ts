import { lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { CmsadmError } from '../../src/errors.ts';
import { standAsWanted } from '../../src/features/stand.ts';
import { printWanted } from '../../src/features/wanted-package.ts';
import type { Host } from '../../src/host/system.ts';
import { openFeaturePackage } from '../../src/packages/feature-package.ts';
import { sha256 } from '../../src/packages/manifest.ts';
import type { Profile } from '../../src/profile/schema.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import type { RawEntry } from '../packages/zip-bytes.ts';
import { pairMaker, type RehearsalPair } from '../rehearsal/pair.ts';
import { testTrust } from './fixture-packages.ts';
import { listed, plainEntries, plainFiles, plainManifest, signedZip } from './signed-zip.ts';

const folder = tempFolder();
let pair: RehearsalPair;
let host: Host;
let profile: Profile;
beforeAll(async () => {
  pair = (await pairMaker(folder))('fuzz');
  ({ host, profile } = pair.context(pair.cms1));
}, 60_000);

const good = signedZip({});
/** Milliseconds that a package may take, on a busy machine. */
const PATIENCE = 2_000;

type Mutation = (bytes: Buffer) => Buffer;
const position = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const at = (bytes: Buffer, where: number): number => Math.floor(where * bytes.length);
/** What a damaged or forged archive may look like. */
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(position, fc.nat(255)).map(
    ([where, value]): Mutation =>
      (bytes) => {
        const changed = Buffer.from(bytes);
        if (changed.length > 0) changed[at(changed, where)] = value;
        return changed;
      },
  ),
  // Fields of four bytes at their extremes: sizes, offsets, counts.
  fc.tuple(position, fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff)).map(
    ([where, value]): Mutation =>
      (bytes) => {
        const changed = Buffer.from(bytes);
        if (changed.length > 4) changed.writeUInt32LE(value, Math.min(at(changed, where), changed.length - 4));
        return changed;
      },
  ),
  position.map(
    (where): Mutation =>
      (bytes) =>
        bytes.subarray(0, at(bytes, where)),
  ),
  fc.tuple(position, position).map(
    ([from, to]): Mutation =>
      (bytes) => {
        const [a, b] = [at(bytes, Math.min(from, to)), at(bytes, Math.max(from, to))];
        return Buffer.concat([bytes.subarray(0, b), bytes.subarray(a)]);
      },
  ),
  fc.tuple(position, position).map(
    ([from, to]): Mutation =>
      (bytes) => {
        const [a, b] = [at(bytes, Math.min(from, to)), at(bytes, Math.max(from, to))];
        return Buffer.concat([bytes.subarray(0, a), bytes.subarray(b)]);
      },
  ),
  fc.tuple(position, fc.uint8Array({ minLength: 1, maxLength: 64 })).map(
    ([where, some]): Mutation =>
      (bytes) => {
        const a = at(bytes, where);
        return Buffer.concat([bytes.subarray(0, a), Buffer.from(some), bytes.subarray(a)]);
      },
  ),
  // A name that somebody writes over.
  fc.constantFrom('../../../../x', '/etc/passwd', 'BIN/program', '..\\..\\..\\..').map(
    (name): Mutation =>
      (bytes) =>
        Buffer.from(bytes.toString('latin1').replaceAll('bin/program', name.slice(0, 11).padEnd(11, 'x')), 'latin1'),
  ),
);
const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });
const mutated = (all: readonly Mutation[]): Buffer => all.reduce((bytes, mutate) => mutate(bytes), good);

/** Every name below a folder, with what it is and how long. */
function namesBelow(place: string, skip: string): string[] {
  const found: string[] = [];
  const walk = (within: string): void => {
    for (const name of readdirSync(join(place, within)).sort()) {
      const path = `${within}/${name}`;
      if (path.startsWith(skip)) continue;
      const stat = lstatSync(join(place, path));
      found.push(`${path} ${stat.mode.toString(8)} ${stat.isDirectory() ? '' : stat.size}`);
      if (stat.isDirectory()) walk(path);
    }
  };
  walk('');
  return found;
}

const wantedFolder = 'cms/admin/packages/hostile';
/** Puts a package where both servers look for it, with the right digest, and has this server apply it. */
async function applied(bytes: Buffer, name = 'hostile', version = '1.0.0'): Promise<'installed' | 'refused'> {
  const place = join(pair.cms1, wantedFolder);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'package.zip'), bytes);
  const wanted = { name, title: 'x', version, package: sha256(bytes), licence: null, on: true, settings: {} };
  writeFileSync(join(place, 'wanted.yaml'), printWanted(wanted), 'latin1');
  try {
    await standAsWanted(host, profile);
    return 'installed';
  } catch (error) {
    if (error instanceof CmsadmError) return 'refused';
    throw error;
  }
}

async function cleared(): Promise<void> {
  rmSync(join(pair.cms1, wantedFolder), { recursive: true, force: true });
  await standAsWanted(host, profile);
}

/** What a package may bring to a server; everything else is outside. */
const ours =
  /^\/fuzz\/cms1(\.units\.json|\/(opt\/cmsadm-packages|var\/lib\/cmsadm|run|etc\/systemd\/system(\/cmsadm-pkg-hostile[.-][a-z.]*)?|cms\/admin\/packages)(\/| |$))/;
const outside = (): string[] =>
  namesBelow(folder, '/none').filter(
    (line) => !ours.test(line) && !/^\/fuzz\/cms1\/(opt|var|var\/lib|etc\/systemd) /.test(line),
  );
const traces = (): string[] =>
  namesBelow(folder, `/fuzz/cms1/${wantedFolder}`).filter((line) =>
    /cmsadm-packages|cmsadm-pkg|own\/packages/.test(line),
  );

describe('mutated zips', () => {
  test('give the very same package or a foreseen refusal, in no time', async () => {
    const original = await openFeaturePackage(async () => good, 'good', testTrust);
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(mutations, async (all) => {
        const began = performance.now();
        try {
          const found = await openFeaturePackage(async () => mutated(all), 'mutated', testTrust);
          // A date or a version in the headers: what nobody reads.
          expect(found.manifest).toEqual(original.manifest);
          for (const { path } of found.manifest.files) expect(found.read(path)).toEqual(original.read(path));
          accepted += 1;
        } catch (error) {
          expect(error).toMatchObject({ name: 'CmsadmError' });
        }
        expect(performance.now() - began).toBeLessThan(PATIENCE);
      }),
      { numRuns: 4_000, seed: 5 },
    );
    expect(accepted).toBeLessThan(1_000);
  });

  test('write nothing outside, whether they are installed or refused', async () => {
    await applied(good);
    await cleared();
    const before = outside();
    const none = traces();
    await fc.assert(
      fc.asyncProperty(mutations, async (all) => {
        const began = performance.now();
        const outcome = await applied(mutated(all));
        expect(performance.now() - began).toBeLessThan(PATIENCE);
        expect(outside()).toEqual(before);
        if (outcome === 'refused') expect(traces()).toEqual(none);
        else await cleared();
      }),
      { numRuns: 250, seed: 6 },
    );
  });
});

/** Paths that somebody with a trusted key may try. */
const path = fc.oneof(
  fc.constantFrom(
    '../x',
    '/etc/passwd',
    'a/../../x',
    'bin/program',
    'bin',
    'bin/program/x',
    'BIN/PROGRAM',
    'a//b',
    './a',
    'a/',
    '',
  ),
  fc.constantFrom(
    'units/sshd.service',
    'units/cmsadm-pkg-hostile.timer',
    'units',
    'current',
    'settings.env',
    'manifest.json',
    'x.edited',
  ),
  fc.constantFrom(
    'CON',
    'a:b',
    'a\\b',
    '~root/x',
    '-rf',
    '--',
    'a b',
    'é',
    'x'.repeat(200),
    `${'d/'.repeat(9)}x`,
    '\u0000',
    'a\nb',
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
);
const mode = fc.constantFrom('0644', '0755', '4755', '2755', '1777', '0777', '', '9999');
const lies = fc.record(
  {
    name: fc.constantFrom('hostile', '../x', 'a/b', 'hostile-x', ''),
    version: fc.constantFrom('1.0.0', '1.0.0/../..', '..', '1.0', '1.0.0-'),
    runsOn: fc.constantFrom('both', 'none'),
    units: fc.array(
      fc.record({
        name: fc.constantFrom(
          'cmsadm-pkg-hostile.service',
          'sshd.service',
          '../x.service',
          'cmsadm-pkg-hostile-a.timer',
        ),
        starts: fc.boolean(),
      }),
      { maxLength: 3 },
    ),
    hooks: fc.record({ install: fc.record({ file: path, seconds: fc.constantFrom(1, 0, 1e9) }) }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
);

test('signed manifests that lie write nothing outside', async () => {
  await applied(good);
  await cleared();
  const before = outside();
  const none = traces();
  let installed = 0;
  const file = fc.record({
    path,
    mode,
    inZip: fc.boolean(),
    inManifest: fc.boolean(),
    unixMode: fc.constantFrom(0o100644, 0o120777, 0o104755, 0),
  });
  await fc.assert(
    fc.asyncProperty(fc.option(lies, { freq: 3 }), fc.array(file, { maxLength: 2 }), async (manifest, files) => {
      const more: RawEntry[] = files
        .filter((one) => one.inZip)
        .map((one) => ({ name: one.path, data: Buffer.from('x'), mode: one.unixMode }));
      const further = files.filter((one) => one.inManifest).map((one) => listed(one.path, 'x', one.mode));
      const bytes = signedZip({
        manifest: { files: [...plainFiles, ...further], ...manifest },
        entries: plainEntries,
        more,
      });
      const outcome = await applied(bytes);
      expect(outside()).toEqual(before);
      if (outcome === 'refused') expect(traces()).toEqual(none);
      else {
        installed += 1;
        for (const line of traces()) expect(dirname(line.split(' ')[0] ?? '')).not.toContain('..');
        await cleared();
        expect(traces()).toEqual(none);
      }
    }),
    { numRuns: 400, seed: 7 },
  );
  // The run is worth something only if some of them come through.
  expect(installed).toBeGreaterThan(10);
  expect(plainManifest.name).toBe('hostile');
});
