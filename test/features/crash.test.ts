import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { tidy } from '../../src/change/tidy.ts';
import { placesOf } from '../../src/features/places.ts';
import { standAsWanted } from '../../src/features/stand.ts';
import { printWanted } from '../../src/features/wanted-package.ts';
import { sha256 } from '../../src/packages/manifest.ts';
import { type Fault, freshWorld, isExpected, killings, type World } from '../crash-points/world.ts';
import { buildFixture, testTrust } from './fixture-packages.ts';

const name = 'external_call_history';
const unit = `cmsadm-pkg-${name}.service`;
const places = placesOf(name);

const kinds = [...killings, 'ENOSPC', 'EIO', 'EROFS'] as const;

let old: Buffer;
let next: Buffer;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cmsadm-crash-'));
  const free = { licenceFeature: null };
  await buildFixture(name, join(folder, 'old.zip'), { source: free });
  await buildFixture(name, join(folder, 'next.zip'), {
    source: {
      ...free,
      version: '2.0.0',
      units: [
        { name: unit, starts: true },
        { name: `cmsadm-pkg-${name}-more.timer`, starts: true },
      ],
    },
    files: { [`units/cmsadm-pkg-${name}-more.timer`]: '[Timer]\nOnCalendar=daily\n', 'lib/deep/er/file': 'x\n' },
  });
  [old, next] = [readFileSync(join(folder, 'old.zip')), readFileSync(join(folder, 'next.zip'))];
  rmSync(folder, { recursive: true });
});

const folder = `/cms/admin/packages/${name}`;
/** What the operator decided, as a transaction or admin-sync left it. */
function want(world: World, zip: Buffer | null, settings: Record<string, number> = {}): void {
  const { disk } = world.servers.cms1;
  disk.makeFolder(folder);
  if (zip === null) {
    disk.unlinkSync(`${folder}/wanted.yaml`);
    disk.fsyncSync(disk.openSync(folder, 'r'));
    return;
  }
  const version = zip === old ? '1.0.0' : '2.0.0';
  const wanted = { name, title: 'x', version, package: sha256(zip), licence: null, on: true, settings };
  disk.put(`${folder}/package.zip`, zip.toString('latin1'));
  disk.put(`${folder}/wanted.yaml`, printWanted(wanted));
}

/** One process that makes the server stand as wanted. */
async function apply(world: World): Promise<void> {
  const process = world.spawn('cms1');
  const { system } = process.host;
  // Nobody waits for a unit here, and hooks have no folder to run in.
  const host = { ...process.host, system: { ...system, real: false } };
  try {
    await standAsWanted(host, { ...world.profile, trust: testTrust }, { run: async () => undefined });
  } finally {
    process.kill();
  }
}

/** `cmsadm recover` takes away what a dead process left under a name of its own. */
function recoverNames(world: World): void {
  const process = world.spawn('cms1');
  tidy(process.host);
  process.kill();
}

/** What the packages brought to the server; the number behind a folder that was taken does not matter. */
function standing({ servers: { cms1 } }: World): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [path, text] of cms1.disk.standing())
    if (/^\/opt\/cmsadm-packages|^\/etc\/systemd\/system\/cmsadm-pkg|^\/var\/lib\/cmsadm\/own\/packages\//.test(path))
      found[path] = text;
  for (const [one, { active, enabled }] of cms1.units)
    if (one.startsWith('cmsadm-pkg')) found[`unit ${one}`] = `${active} ${enabled}`;
  return found;
}

/** Whether the version in use is whole: a program that runs finds all of its files. */
function brokenLink({ servers: { cms1 } }: World): string | undefined {
  const all = cms1.disk.standing();
  const target = all.get(places.current)?.split('\n')[1];
  if (target === undefined) return undefined;
  for (const file of ['bin/export-calls', 'bin/row.awk', `units/${unit}`])
    if (!all.get(`${places.home}/${target}/${file}`)?.includes('\n')) return `${target}/${file}`;
  return undefined;
}

type Case = { readonly prepare: (world: World) => Promise<void>; readonly change: (world: World) => void };
const cases: Readonly<Record<string, Case>> = {
  'a first installation': { prepare: async () => undefined, change: (world) => want(world, old) },
  'another version': {
    prepare: async (world) => {
      want(world, old);
      await apply(world);
    },
    change: (world) => want(world, next),
  },
  'other settings': {
    prepare: async (world) => {
      want(world, old);
      await apply(world);
    },
    change: (world) => want(world, old, { interval: 99 }),
  },
  'a removal': {
    prepare: async (world) => {
      want(world, next);
      await apply(world);
    },
    change: (world) => want(world, null),
  },
};

describe.each(Object.entries(cases))('%s', (_, { prepare, change }) => {
  test('dies or is refused at any point, and is made good by the next run', async () => {
    const before = freshWorld();
    await prepare(before);
    const was = standing(before);
    change(before);
    const done = before.copy();
    done.watch(undefined);
    await apply(done);
    const planned = standing(done);
    expect(planned).not.toEqual(was);
    const points = done.servers.cms1.points.map((point, at) => ({ point, at }));
    const faults = points
      .filter(({ point }) => point.kind === 'write')
      .flatMap(({ point, at }) =>
        kinds
          .filter((kind) => point.what === 'file' || !kind.startsWith('E'))
          .map((kind): Fault => ({ server: 'cms1', at, kind })),
      );
    const wrong: unknown[] = [];
    for (const fault of faults) {
      const world = before.copy();
      const fail = (what: string, more: unknown): void =>
        void wrong.push({ ...fault, point: points[fault.at]?.point, what, more });
      world.watch(fault);
      try {
        await apply(world);
      } catch (error) {
        if (!isExpected(error)) fail('a bug', error);
      }
      world.heal();
      if (!world.servers.cms1.up) await world.boot('cms1');
      const broken = brokenLink(world);
      if (broken !== undefined) fail('in use, and not whole', broken);
      recoverNames(world);
      await apply(world).catch((error: unknown) => fail('is not made good', error));
      const after = standing(world);
      const differs = [...new Set([...Object.keys(after), ...Object.keys(planned)])].filter(
        (path) => after[path] !== planned[path],
      );
      if (differs.length > 0) fail('not as planned', differs);
    }
    expect(faults.length).toBeGreaterThan(60);
    expect(wrong.slice(0, 5)).toEqual([]);
  });
});
