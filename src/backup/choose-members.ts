import { CmsadmError } from '../errors.ts';
import { ownMembers } from './formats.ts';
import type { ManifestLine } from './manifest.ts';
import { bare } from './stages.ts';

/** Members to take out of an archive. */
export type Chosen = {
  readonly names: readonly string[];
  /** Names that come with them, because they are further names of a chosen file. */
  readonly withThem: readonly string[];
};

/** As the archive has it: `./etc/hosts` for `/etc/hosts`, `etc/hosts/` and `./etc/hosts`; latin1 text. */
const memberName = (typed: string): string => {
  const path = Buffer.from(typed.trim())
    .toString('latin1')
    .replace(/^\.?\/+/, '')
    .replace(/\/+$/, '');
  return path === '' ? '.' : `./${path}`;
};

/**
 * The members that are meant by paths: each itself, and all below it where it is a folder.
 * @throws CmsadmError not-in-backup
 */
export function chooseMembers(lines: readonly ManifestLine[], paths: readonly string[]): Chosen {
  const wanted = paths.map(memberName);
  const isMeant = (name: string): boolean =>
    wanted.some((one) => one === '.' || bare(name) === one || name.startsWith(`${one}/`));
  const missing = wanted.filter((one) => one !== '.' && !lines.some(({ name }) => bare(name) === one));
  if (missing.length > 0)
    throw new CmsadmError('not-in-backup', `The backup has no ${missing.map((name) => name.slice(1)).join(', ')}.`, {
      remedy: 'See what it has: cmsadm backup show NAME --files',
    });
  const usable = lines.filter(({ name }) => !name.startsWith(`${ownMembers.folder}/`));
  const names = new Set(usable.filter(({ name }) => isMeant(name)).map(({ name }) => name));
  const withThem = furtherNames(usable, names);
  return { names: [...names, ...withThem], withThem };
}

/** A hard link alone has no content: tar has it with the first name, cpio with any one of them. */
function furtherNames(lines: readonly ManifestLine[], names: ReadonlySet<string>): string[] {
  const shared = new Set(
    lines.flatMap(({ name, sharedWith }) => (names.has(name) && sharedWith !== undefined ? [sharedWith] : [])),
  );
  return lines
    .filter(({ name, kind, sharedWith }) => {
      if (names.has(name)) return false;
      return shared.has(name) || (kind !== 'hard link' && sharedWith !== undefined && shared.has(sharedWith));
    })
    .map(({ name }) => name);
}

/**
 * Refuses names that would lead out of the folder that they are restored into; no backup of ours has such.
 * @throws CmsadmError archive-hostile
 */
export function refuseHostile(lines: readonly ManifestLine[]): void {
  const links = new Set(lines.filter(({ kind }) => kind === 'link').map(({ name }) => name));
  const isHostile = ({ name }: ManifestLine): boolean => {
    const parts = name.split('/');
    if (parts[0] !== '.' || parts.includes('..')) return true;
    return (
      links.size > 0 &&
      parts.some((_, i) => i > 0 && i < parts.length - 1 && links.has(parts.slice(0, i + 1).join('/')))
    );
  };
  const hostile = lines.find(isHostile);
  if (hostile)
    throw new CmsadmError('archive-hostile', `${JSON.stringify(hostile.name)} would lead out of the folder.`, {
      remedy: 'cmsadm makes no such backup: find out where it comes from.',
    });
}
