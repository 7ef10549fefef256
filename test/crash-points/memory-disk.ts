// A file system in memory that knows which writes have reached the disk: for a power cut at any instant.
import { constants } from 'node:fs';
import type { Disk } from '../../src/host/root.ts';

type Meta = { mode: number; uid: number; gid: number; attributes: string };
type FileNode = {
  readonly kind: 'file';
  readonly ino: number;
  data: Buffer;
  meta: Meta;
  kept: { data: Buffer; meta: Meta };
  /** Of a symbolic link, which nothing here follows. */
  readonly target?: string;
};
type FolderNode = {
  readonly kind: 'folder';
  readonly ino: number;
  meta: Meta;
  names: Map<string, Node>;
  kept: Map<string, Node>;
};
type Node = FileNode | FolderNode;

let inodes = 1;

const { O_CREAT, O_EXCL, O_DIRECTORY, O_WRONLY, O_RDWR, O_APPEND } = constants;

/** A system error as node:fs throws it. */
export function systemError(code: string, syscall: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${syscall} '${path}'`), { code, syscall, path });
}

const partsOf = (path: string): string[] => path.split('/').filter((part) => part !== '' && part !== '.');

type Way = { readonly handle: number | undefined; readonly parts: readonly string[] };
// The same few hundred paths come again in every trial.
const ways = new Map<string, Way>();

function wayOf(path: string): Way {
  const known = ways.get(path);
  if (known) return known;
  const [, handle, rest] = /^\/proc\/(?:self|\d+)\/fd\/(\d+)(.*)$/.exec(path) ?? [];
  const way =
    handle === undefined ? { handle, parts: partsOf(path) } : { handle: Number(handle), parts: partsOf(rest ?? '') };
  ways.set(path, way);
  return way;
}

/** One entry of what stands on a disk: mode, owner, attributes and content; of a folder no content. */
type Standing = ReadonlyMap<string, string>;

export type MemoryDisk = Disk & {
  readonly top: FolderNode;
  put(path: string, content: string, mode?: number): void;
  makeFolder(path: string, mode?: number): void;
  setAttributes(path: string, attributes: string): void;
  copyAttributes(from: string, to: string): void;
  /** The machine stops: open handles are gone, below `volatile` everything; `lose`: what was not fsynced as well. */
  powerCut(lose: boolean, volatile: string): void;
  /** All that is written is on the disk. (sync(2)) */
  sync(): void;
  standing(): Standing;
};

/** Makes an empty disk, or a copy of another one as it stands. */
export function memoryDisk(like?: MemoryDisk): MemoryDisk {
  const newFolder = (mode: number): FolderNode => ({
    kind: 'folder',
    ino: inodes++,
    meta: { mode, uid: 0, gid: 0, attributes: '' },
    names: new Map(),
    kept: new Map(),
  });
  const top = like ? copyOf(like.top) : newFolder(0o755);
  const handles = new Map<number, { node: Node; append: boolean }>();
  let nextHandle = 10;

  const failed = (code: string, call: string, path: string): Error => systemError(code, call, path);

  /** `/proc/self/fd/N/rest` starts at an open handle (proc(5)). */
  function start(path: string): { node: Node; rest: readonly string[] } {
    const { handle, parts } = wayOf(path);
    if (handle === undefined) return { node: top, rest: parts };
    const open = handles.get(handle);
    if (!open) throw failed('ENOENT', 'open', path);
    return { node: open.node, rest: parts };
  }

  function find(path: string, call: string): Node {
    let { node, rest } = start(path);
    for (const part of rest) {
      if (node.kind !== 'folder') throw failed('ENOTDIR', call, path);
      const next = node.names.get(part);
      if (!next) throw failed('ENOENT', call, path);
      node = next;
    }
    return node;
  }
  function parentOf(path: string, call: string): { folder: FolderNode; name: string } {
    const { node, rest } = start(path);
    const name = rest.at(-1);
    if (name === undefined) throw failed('EBUSY', call, path);
    let folder = node;
    for (const part of rest.slice(0, -1)) {
      const next = folder.kind === 'folder' ? folder.names.get(part) : undefined;
      if (!next) throw failed('ENOENT', call, path);
      folder = next;
    }
    if (folder.kind !== 'folder') throw failed('ENOTDIR', call, path);
    return { folder, name };
  }
  const fileOf = (node: Node, call: string, path: string): FileNode => {
    if (node.kind === 'file' && node.target === undefined) return node;
    throw failed(node.kind === 'file' ? 'ELOOP' : 'EISDIR', call, path);
  };
  const handleOf = (handle: number, call: string): { node: Node; append: boolean } => {
    const open = handles.get(handle);
    if (!open) throw failed('EBADF', call, `${handle}`);
    return open;
  };
  const statOf = (node: Node) => ({
    isFile: () => node.kind === 'file' && node.target === undefined,
    isSymbolicLink: () => node.kind === 'file' && node.target !== undefined,
    mode: node.meta.mode,
    uid: node.meta.uid,
    gid: node.meta.gid,
    dev: 1,
    nlink: 1,
    ctimeMs: 0,
    ino: node.ino,
    size: node.kind === 'file' ? node.data.length : 0,
  });
  const newFile = (mode: number): FileNode => {
    const meta = { mode, uid: 0, gid: 0, attributes: '' };
    return {
      kind: 'file',
      ino: inodes++,
      data: Buffer.alloc(0),
      meta,
      kept: { data: Buffer.alloc(0), meta: { ...meta } },
    };
  };

  const disk: Disk = {
    openSync(path, flags, mode = 0o666) {
      const bits = typeof flags === 'number' ? flags : 0;
      const isWrite = (bits & (O_WRONLY | O_RDWR)) !== 0;
      const open = (node: Node): number => {
        handles.set(nextHandle, { node, append: (bits & O_APPEND) !== 0 });
        return nextHandle++;
      };
      if (!(bits & O_CREAT)) {
        const node = find(path, 'open');
        if (bits & O_DIRECTORY && node.kind !== 'folder') throw failed('ENOTDIR', 'open', path);
        if (isWrite && node.kind === 'folder') throw failed('EISDIR', 'open', path);
        return open(node);
      }
      const { folder, name } = parentOf(path, 'open');
      const there = folder.names.get(name);
      if (there && bits & O_EXCL) throw failed('EEXIST', 'open', path);
      if (there) return open(there);
      const made = newFile(mode);
      folder.names.set(name, made);
      return open(made);
    },
    closeSync: (handle) => void handles.delete(handle),
    fsyncSync(handle) {
      const { node } = handleOf(handle, 'fsync');
      if (node.kind === 'folder') node.kept = new Map(node.names);
      else node.kept = { data: node.data, meta: { ...node.meta } };
    },
    fchownSync: (handle, uid, gid) => void Object.assign(handleOf(handle, 'fchown').node.meta, { uid, gid }),
    fchmodSync: (handle, mode) => void Object.assign(handleOf(handle, 'fchmod').node.meta, { mode }),
    writeFileSync(handle, data) {
      const { node, append } = handleOf(handle, 'write');
      const file = fileOf(node, 'write', `${handle}`);
      file.data = append ? Buffer.concat([file.data, data]) : Buffer.from(data);
    },
    readSync(handle, into, offset, length, position) {
      const { data } = fileOf(handleOf(handle, 'read').node, 'read', `${handle}`);
      return data.copy(into, offset, position, position + length);
    },
    readFileSync: (path) => fileOf(find(path, 'open'), 'read', path).data.toString('latin1'),
    readlinkSync: (path) => {
      const node = find(path, 'readlink');
      if (node.kind === 'file' && node.target !== undefined) return node.target;
      throw failed('EINVAL', 'readlink', path);
    },
    symlinkSync: (target, path) => {
      const { folder, name } = parentOf(path, 'symlink');
      if (folder.names.has(name)) throw failed('EEXIST', 'symlink', path);
      folder.names.set(name, { ...newFile(0o777), target });
    },
    realpathSync: (path) => {
      find(path, 'realpath');
      return `/${partsOf(path).join('/')}`;
    },
    lstatSync: (path) => statOf(find(path, 'lstat')),
    fstatSync: (handle) => statOf(handleOf(handle, 'fstat').node),
    existsSync(path) {
      try {
        const node = find(path, 'stat');
        return node.kind === 'folder' || !path.endsWith('/.');
      } catch {
        return false;
      }
    },
    accessSync: (path) => void find(path, 'access'),
    mkdirSync(path, { mode }) {
      const { folder, name } = parentOf(path, 'mkdir');
      if (folder.names.has(name)) throw failed('EEXIST', 'mkdir', path);
      folder.names.set(name, newFolder(mode));
    },
    rmdirSync(path) {
      const { folder, name } = parentOf(path, 'rmdir');
      const node = folder.names.get(name);
      if (!node) throw failed('ENOENT', 'rmdir', path);
      if (node.kind !== 'folder') throw failed('ENOTDIR', 'rmdir', path);
      if (node.names.size > 0) throw failed('ENOTEMPTY', 'rmdir', path);
      folder.names.delete(name);
    },
    readdirSync(path) {
      const node = find(path, 'scandir');
      if (node.kind !== 'folder') throw failed('ENOTDIR', 'scandir', path);
      return [...node.names.keys()];
    },
    linkSync(from, to) {
      const node = find(from, 'link');
      const { folder, name } = parentOf(to, 'link');
      if (folder.names.has(name)) throw failed('EEXIST', 'link', to);
      folder.names.set(name, node);
    },
    renameSync(from, to) {
      const source = parentOf(from, 'rename');
      const node = source.folder.names.get(source.name);
      if (!node) throw failed('ENOENT', 'rename', from);
      const target = parentOf(to, 'rename');
      // Two names of one file: rename(2) does nothing at all.
      if (target.folder.names.get(target.name) === node) return;
      source.folder.names.delete(source.name);
      target.folder.names.set(target.name, node);
    },
    unlinkSync(path) {
      const { folder, name } = parentOf(path, 'unlink');
      if (!folder.names.has(name)) throw failed('ENOENT', 'unlink', path);
      folder.names.delete(name);
    },
  };

  const makeFolder = (path: string, mode = 0o755): void => {
    let folder = top;
    for (const part of partsOf(path)) {
      const next = folder.names.get(part) ?? newFolder(mode);
      if (next.kind !== 'folder') throw failed('ENOTDIR', 'mkdir', path);
      folder.names.set(part, next);
      folder.kept.set(part, next);
      folder = next;
    }
  };

  /** The folder as it would be found after the power came back. */
  const fallBack = (folder: FolderNode): void => {
    folder.names = new Map(folder.kept);
    for (const node of folder.names.values()) {
      if (node.kind === 'folder') fallBack(node);
      else {
        node.data = node.kept.data;
        node.meta = { ...node.kept.meta };
      }
    }
  };

  return {
    ...disk,
    top,
    makeFolder,
    put(path, content, mode = 0o644) {
      makeFolder(path.slice(0, path.lastIndexOf('/')));
      const { folder, name } = parentOf(path, 'open');
      const made = newFile(mode);
      made.data = Buffer.from(content, 'latin1');
      made.kept = { data: made.data, meta: { ...made.meta } };
      folder.names.set(name, made);
      folder.kept.set(name, made);
    },
    setAttributes(path, attributes) {
      const node = find(path, 'setxattr');
      node.meta = { ...node.meta, attributes };
      if (node.kind === 'file') node.kept = { ...node.kept, meta: { ...node.meta } };
    },
    copyAttributes(from, to) {
      find(to, 'setxattr').meta = { ...find(from, 'getxattr').meta };
    },
    sync() {
      const keep = (folder: FolderNode): void => {
        folder.kept = new Map(folder.names);
        for (const node of folder.names.values())
          if (node.kind === 'folder') keep(node);
          else node.kept = { data: node.data, meta: { ...node.meta } };
      };
      keep(top);
    },
    powerCut(lose, volatile) {
      handles.clear();
      if (lose) fallBack(top);
      const { folder, name } = parentOf(volatile, 'mount');
      const empty = newFolder(0o755);
      folder.names.set(name, empty);
      folder.kept.set(name, empty);
    },
    standing() {
      const found = new Map<string, string>();
      const walk = (folder: FolderNode, within: string): void => {
        for (const [name, node] of folder.names) {
          const { mode, uid, gid, attributes } = node.meta;
          const meta = `${mode.toString(8)} ${uid}:${gid} ${attributes}`;
          const text = node.kind === 'file' ? `${meta}\n${node.target ?? node.data.toString('latin1')}` : meta;
          found.set(`${within}/${name}`, text);
          if (node.kind === 'folder') walk(node, `${within}/${name}`);
        }
      };
      walk(top, '');
      return found;
    },
  };
}

/** The same tree anew; the names of one file stay names of one file. */
function copyOf(top: FolderNode): FolderNode {
  const copies = new Map<Node, Node>();
  const file = (node: FileNode): FileNode => ({
    ...node,
    meta: { ...node.meta },
    kept: { data: node.kept.data, meta: { ...node.kept.meta } },
  });
  const names = (from: Map<string, Node>): Map<string, Node> =>
    new Map([...from].map(([name, node]) => [name, copy(node)]));
  const folder = (node: FolderNode): FolderNode => ({
    ...node,
    meta: { ...node.meta },
    names: names(node.names),
    kept: names(node.kept),
  });
  const copy = (node: Node): Node => {
    const made = copies.get(node) ?? (node.kind === 'file' ? file(node) : folder(node));
    copies.set(node, made);
    return made;
  };
  return folder(top);
}

/**
 * The disk as one process sees it.
 * @param before called with the name and the path of every call and what it does; what it throws the call throws
 */
export function watched(disk: Disk, before: (call: string, path: string, kind: 'read' | 'write') => void): Disk {
  return {
    openSync: (path, flags, mode) => {
      const writes = typeof flags === 'number' && (flags & (O_WRONLY | O_RDWR | O_CREAT)) !== 0;
      before('open', path, writes ? 'write' : 'read');
      return disk.openSync(path, flags, mode);
    },
    // close(2) never changes what stands there, and its error is nobody's business.
    closeSync: disk.closeSync,
    fsyncSync: (handle) => {
      before('fsync', `${handle}`, 'write');
      disk.fsyncSync(handle);
    },
    fchownSync: (handle, uid, gid) => {
      before('fchown', `${handle}`, 'write');
      disk.fchownSync(handle, uid, gid);
    },
    fchmodSync: (handle, mode) => {
      before('fchmod', `${handle}`, 'write');
      disk.fchmodSync(handle, mode);
    },
    writeFileSync: (handle, data) => {
      before('write', `${handle}`, 'write');
      disk.writeFileSync(handle, data);
    },
    readFileSync: (path, encoding) => {
      before('read', path, 'read');
      return disk.readFileSync(path, encoding);
    },
    readlinkSync: (path) => {
      before('readlink', path, 'read');
      return disk.readlinkSync(path);
    },
    symlinkSync: (target, path) => {
      before('symlink', path, 'write');
      disk.symlinkSync(target, path);
    },
    realpathSync: (path) => {
      before('realpath', path, 'read');
      return disk.realpathSync(path);
    },
    lstatSync: (path) => {
      before('lstat', path, 'read');
      return disk.lstatSync(path);
    },
    fstatSync: (handle) => {
      before('fstat', `${handle}`, 'read');
      return disk.fstatSync(handle);
    },
    readSync: (handle, ...where) => {
      before('read', `${handle}`, 'read');
      return disk.readSync(handle, ...where);
    },
    existsSync: disk.existsSync,
    accessSync: (path, mode) => {
      before('access', path, 'read');
      disk.accessSync(path, mode);
    },
    mkdirSync: (path, options) => {
      before('mkdir', path, 'write');
      disk.mkdirSync(path, options);
    },
    rmdirSync: (path) => {
      before('rmdir', path, 'write');
      disk.rmdirSync(path);
    },
    readdirSync: (path) => {
      before('scandir', path, 'read');
      return disk.readdirSync(path);
    },
    linkSync: (from, to) => {
      before('link', to, 'write');
      disk.linkSync(from, to);
    },
    renameSync: (from, to) => {
      before('rename', to, 'write');
      disk.renameSync(from, to);
    },
    unlinkSync: (path) => {
      before('unlink', path, 'write');
      disk.unlinkSync(path);
    },
  };
}
