import * as fs from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { commandOf, currentRelease } from '../change/program.ts';
import { writing } from '../change/server.ts';
import { CmsadmError } from '../errors.ts';
import type { Release, ReleaseFacts } from '../ha/upgrade.ts';
import { at, list, readText } from '../host/root.ts';
import type { Session } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { makeFolders } from '../host/writing.ts';
import { type HaPackage, openHaPackage } from '../packages/ha-package.ts';
import { readInstalledManifest } from '../packages/manifest.ts';
import { paths } from '../pair/state.ts';
import type { Profile } from '../profile/schema.ts';
import { PROTOCOL } from '../protocol.ts';

/** Where a package arrives and is unpacked; gone when it has become a release. */
const incoming = `${paths.releases}/.incoming`;
const arriving = `${incoming}/HAcms.zip`;

/** Largest part of a package in one message, before it is written as base64. */
const PART = 1_048_576;
const partArgs = v.strictObject({
  offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  data: v.pipe(v.string(), v.maxLength(Math.ceil(PART / 3) * 4)),
});
const stageArgs = v.strictObject({ digest: v.string() });
const keepArgs = v.strictObject({ keep: v.array(v.string()) });

/** What a server does for an upgrade before and after the transaction, here and (as verbs) there. */
export type Releases = {
  facts(): Promise<ReleaseFacts>;
  /** Unpacks the package beside the version in use, which stays in use. */
  stage(haPackage: HaPackage): Promise<void>;
  /** Removes every other release, and what is left of a package. */
  keep(versions: readonly string[]): Promise<void>;
};

/** The releases of this server; a package that was opened was judged here. */
export const localReleases = (host: Host): Releases => ({
  facts: () => releaseFacts(host),
  stage: (haPackage) => stageRelease(host, haPackage),
  keep: async (versions) => keepReleases(host, versions),
});

const factsSchema = v.object({
  version: v.optional(v.string()),
  digest: v.optional(v.string()),
  protocol: v.number(),
  arch: v.string(),
  freeMb: v.number(),
  releases: v.array(v.object({ version: v.string(), digest: v.string(), protocol: v.number(), node: v.string() })),
});

/**
 * The releases of the other server. The package goes there as it is; its signature is judged there again.
 * @param pause called between two parts; may throw to end the transfer
 */
export const remoteReleases = (session: Session, pause: () => void): Releases => ({
  facts: async () => {
    const { version, digest, ...facts } = v.parse(factsSchema, await session.call('release'));
    return { ...facts, version, digest };
  },
  stage: async (haPackage) => {
    const file = await fs.promises.open(haPackage.path);
    try {
      const part = Buffer.alloc(PART);
      for (let offset = 0; ; ) {
        pause();
        const { bytesRead } = await file.read(part, 0, PART, offset);
        if (bytesRead === 0) break;
        await session.call('takePackage', { offset, data: part.toString('base64', 0, bytesRead) });
        offset += bytesRead;
      }
    } finally {
      await file.close();
    }
    await session.call('stageRelease', { digest: haPackage.digest });
  },
  keep: async (versions) => void (await session.call('keepReleases', { keep: versions })),
});

/** The verbs behind `remoteReleases`. */
export const releaseVerbs = (host: Host, profile: Profile): Record<string, (args: unknown) => Promise<unknown>> => ({
  release: () => releaseFacts(host),
  takePackage: async (args) => {
    const { offset, data } = v.parse(partArgs, args);
    await writing(async () => takePart(host, offset, Buffer.from(data, 'base64')));
  },
  stageRelease: async (args) => {
    const { digest } = v.parse(stageArgs, args);
    const haPackage = await openHaPackage(at(host.root, arriving), profile.trust);
    if (haPackage.digest !== digest)
      throw new CmsadmError('package-other', 'Another HA package arrived than the one that was announced.', {
        remedy: 'Run the command again, and leave the package alone meanwhile.',
      });
    await stageRelease(host, haPackage);
  },
  keepReleases: async (args) => keepReleases(host, v.parse(keepArgs, args).keep),
});

async function releaseFacts(host: Host): Promise<ReleaseFacts> {
  const version = currentRelease(host.root);
  const [{ arch }, { freeMb }] = await Promise.all([
    host.system.identity(),
    host.system.disk(version === undefined ? '/' : paths.releases),
  ]);
  const releases = unpacked(host).flatMap((name) => releaseIn(host, name) ?? []);
  const digest = releases.find((release) => release.version === version)?.digest;
  return { version, digest, protocol: PROTOCOL, arch, freeMb, releases };
}

/** What lies unpacked under this name; undefined where that is no whole release. */
function releaseIn(host: Host, name: string): Release | undefined {
  const text = readText(host.root, `${paths.releases}/${name}/manifest.json`);
  if (text === undefined) return undefined;
  const { version, digest, protocol, node } = readInstalledManifest(text);
  return version === name ? { version, digest, protocol, node } : undefined;
}

const unpacked = (host: Host): string[] => list(host.root, paths.releases).filter((name) => !name.startsWith('.'));

function takePart(host: Host, offset: number, data: Buffer): void {
  if (offset === 0) {
    clearIncoming(host);
    makeFolders(host.root, incoming, 0o700);
  }
  const file = fs.openSync(at(host.root, arriving), offset === 0 ? 'wx' : 'a', 0o600);
  try {
    if (fs.fstatSync(file).size !== offset)
      throw new CmsadmError('arguments-refused', 'A part of the package came out of order.');
    fs.writeFileSync(file, data);
  } finally {
    fs.closeSync(file);
  }
}

async function stageRelease(host: Host, haPackage: HaPackage): Promise<void> {
  const folder = `${incoming}/package`;
  await writing(async () => {
    makeFolders(host.root, incoming, 0o700);
    fs.rmSync(at(host.root, folder), { recursive: true, force: true });
    await haPackage.unpackInto(at(host.root, folder));
  });
  await host.system.runInstaller(at(host.root, folder), ['--stage']);
  clearIncoming(host);
  // What was unpacked must start before anything depends on it; the installer has tried the runtime.
  if (readText(host.root, commandOf(haPackage.version)) === undefined)
    throw new CmsadmError('release-missing', `The release ${haPackage.version} was not unpacked.`, {
      file: join(paths.releases, haPackage.version),
      remedy: 'Run the command again.',
    });
}

const clearIncoming = (host: Host): void => fs.rmSync(at(host.root, incoming), { recursive: true, force: true });

function keepReleases(host: Host, keep: readonly string[]): void {
  clearIncoming(host);
  const current = currentRelease(host.root);
  for (const name of unpacked(host))
    if (name !== current && !keep.includes(name))
      fs.rmSync(at(host.root, join(paths.releases, name)), { recursive: true, force: true });
}
