import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';

/** A mounted file system (proc(5), mountinfo). */
export type Mount = {
  readonly point: string;
  readonly device: string;
  /** The folder of the file system that is mounted there. */
  readonly root: string;
  readonly type: string;
};

/** File systems that hold no files of this server's: the kernel's own, memory, the network, media. */
const notSaved = new Set([
  ...['proc', 'sysfs', 'tmpfs', 'ramfs', 'devtmpfs', 'devpts', 'cgroup', 'cgroup2', 'mqueue', 'hugetlbfs', 'debugfs'],
  ...['tracefs', 'securityfs', 'pstore', 'bpf', 'configfs', 'fusectl', 'autofs', 'binfmt_misc', 'efivarfs', 'nsfs'],
  ...['rpc_pipefs', 'selinuxfs', 'nfs', 'nfs4', 'cifs', 'smb3', 'ceph', 'glusterfs', '9p', 'fuse.sshfs'],
  ...['iso9660', 'udf', 'squashfs'],
]);

/** Reads mountinfo; what it writes in octal (blanks) becomes what it is. */
export function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device, root, point] = left.split(' ');
    if (device === undefined || root === undefined || point === undefined) return [];
    return [{ point: plain(point), device, root: plain(root), type: right.split(' ')[0] ?? '' }];
  });
}

const plain = (field: string): string =>
  field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

export const mountsNow = (): Mount[] => parseMounts(fs.readFileSync('/proc/self/mountinfo', 'latin1'));

export const isWithin = (path: string, folder: string): boolean =>
  path === folder || folder === '/' || path.startsWith(`${folder}/`);

/** The file system that holds a path without links in it: of several mounted over each other the last. */
export function mountOf(path: string, mounts: readonly Mount[]): Mount {
  const holding = mounts.filter(({ point }) => isWithin(path, point));
  const found = holding.reduce<Mount | undefined>(
    (best, one) => (best && best.point.length > one.point.length ? best : one),
    undefined,
  );
  if (found) return found;
  throw new CmsadmError('mounts-unknown', `${path} lies on no mounted file system.`, {
    remedy: 'See /proc/self/mountinfo.',
  });
}

/**
 * Mount points below `folder` (itself not among them) whose file systems are saved with it. One that shows again what is
 * saved already (a bind mount) is not.
 */
export function savedBelow(folder: string, mounts: readonly Mount[]): string[] {
  const saved: Mount[] = [mountOf(folder, mounts)];
  const below = mounts
    .filter(({ point }) => point !== folder && isWithin(point, folder))
    .sort((a, b) => (a.point < b.point ? -1 : 1));
  for (const mount of below) {
    const isAgain = saved.some(({ device, root }) => device === mount.device && isWithin(mount.root, root));
    const isHidden = mountOf(mount.point, mounts) !== mount;
    // What stands below something that is not saved is not reached either.
    const parent = mountOf(mount.point.replace(/\/[^/]*$/, '') || '/', mounts);
    if (!notSaved.has(mount.type) && !isAgain && !isHidden && saved.includes(parent)) saved.push(mount);
  }
  return saved.slice(1).map(({ point }) => point);
}
