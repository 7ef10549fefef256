// The programs of a server in memory: DB-Access, the product's program for its links, hooks of packages, tar, du and sync.
import { constants } from 'node:fs';
import type { Outcome } from '../../src/host/processes.ts';
import type { Disk } from '../../src/host/root.ts';

/** What the product's own programs keep, each change of it whole and on disk at once. */
export type Product = {
  /** Who may connect to the database, by the type of his right. */
  readonly grants: Map<string, string>;
  /** Whether data of an ACD is collected. */
  readonly collection: Map<string, string>;
};

export const freshProduct = (): Product => ({
  grants: new Map([
    ['informix', 'D'],
    ['public', 'C'],
  ]),
  collection: new Map(),
});
export const copyOfProduct = ({ grants, collection }: Product): Product => ({
  grants: new Map(grants),
  collection: new Map(collection),
});

/** What a program works on: `disk` as the process sees it, whose every call is a point of its own. */
type Place = { readonly product: Product; readonly disk: Disk; readonly syncDisk: () => void };
export type Program = {
  readonly call: string;
  readonly kind: 'read' | 'write';
  readonly work: (place: Place) => Outcome;
};

const said = (stdout: string): Outcome => ({ exitCode: 0, stdout, stderr: '' });
export const refused = (why: string): Outcome => ({ exitCode: 1, stdout: '', stderr: `${why}\n` });

/** The program that a command line starts. */
export function programOf(argv: readonly string[], input: string): Program {
  const [program = ''] = argv;
  if (argv.some((word) => word.endsWith('/dbaccess'))) return dbAccess(input);
  if (program.endsWith('/acd-link')) return acdLink(argv[1] ?? '', argv[2] ?? '');
  if (program.startsWith('/opt/cmsadm-packages/'))
    return {
      call: `hook ${argv[1]}`,
      kind: 'write',
      work: ({ disk }) => (disk.existsSync(program) ? said('') : refused('no such program')),
    };
  if (program === 'du') return { call: 'du', kind: 'read', work: () => said(`4\t${argv.at(-1)}\n`) };
  if (program === 'sync')
    return {
      call: 'sync',
      kind: 'write',
      work: ({ syncDisk }) => {
        syncDisk();
        return said('');
      },
    };
  if (program === 'tar') return tar(argv);
  throw new Error(`a server in memory has no program ${argv.join(' ')}`);
}

/** A transaction is carried out as a whole, or not at all. */
function dbAccess(input: string): Program {
  const statements = input.split('\n').filter((line) => line !== '');
  if (statements.every((one) => one.startsWith('SELECT ')))
    return {
      call: 'dbaccess query',
      kind: 'read',
      work: ({ product }) => said([...product.grants].map(([name, type]) => `grant=${name}=${type}\n`).join('')),
    };
  return {
    call: 'dbaccess',
    kind: 'write',
    work: ({ product }) => {
      const grants = new Map(product.grants);
      if (statements[0] !== 'BEGIN WORK;' || statements.at(-1) !== 'COMMIT WORK;') return refused('no transaction');
      for (const statement of statements.slice(1, -1)) {
        const [, verb, who = ''] = /^(GRANT CONNECT TO|REVOKE CONNECT FROM) (PUBLIC|"\w+");$/.exec(statement) ?? [];
        const name = who === 'PUBLIC' ? 'public' : who.slice(1, -1);
        if (verb === 'GRANT CONNECT TO') grants.set(name, grants.get(name) ?? 'C');
        else if (verb === undefined || grants.get(name) !== 'C') return refused(`refused: ${statement}`);
        else grants.delete(name);
      }
      product.grants.clear();
      for (const [name, type] of grants) product.grants.set(name, type);
      return said('');
    },
  };
}

function acdLink(verb: string, number: string): Program {
  const call = `acd-link ${verb}`;
  const stateOf = ({ collection }: Product): string => collection.get(number) ?? 'off';
  if (verb === 'state')
    return {
      call,
      kind: 'read',
      work: ({ product }) =>
        said(`collection=${stateOf(product)}\nlink=${stateOf(product) === 'on' ? 'up' : 'down'}\n`),
    };
  if (verb === 'clock') return { call, kind: 'read', work: () => said('1700000000\n') };
  return {
    call,
    kind: 'write',
    work: ({ product }) => {
      product.collection.set(number, verb === 'start' ? 'on' : 'off');
      return said('');
    },
  };
}

/** One line of an archive: name, kind, mode, owner, content. */
type Member = readonly [name: string, kind: 'file' | 'folder', mode: number, uid: number, gid: number, content: string];

/** GNU tar as far as it is used here: it writes piece by piece and has nothing on disk when it ends. */
function tar(argv: readonly string[]): Program {
  const option = (name: string): string | undefined =>
    argv.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
  const file = option('file') ?? '';
  const names = argv.includes('--') ? argv.slice(argv.indexOf('--') + 1) : [];
  if (argv[1] === '--create')
    return { call: 'tar --create', kind: 'write', work: ({ disk }) => make(disk, file, names) };
  if (argv[1] === '--extract')
    return { call: 'tar --extract', kind: 'write', work: ({ disk }) => extract(disk, file, names) };
  return {
    call: 'tar --list',
    kind: 'read',
    work: ({ disk }) => {
      const members = read(disk, file);
      return members
        ? said(members.map(([name, kind]) => `${name}${kind === 'folder' ? '/' : ''}\n`).join(''))
        : broken;
    },
  };
}

const broken = refused('tar: Unexpected EOF in archive');

function make(disk: Disk, file: string, names: readonly string[]): Outcome {
  const members = names.flatMap((name) => membersOf(disk, name));
  const lines = [...members, 'end'].map((member) => `${JSON.stringify(member)}\n`);
  const { O_CREAT, O_WRONLY, O_APPEND } = constants;
  const handle = disk.openSync(file, O_CREAT | O_WRONLY | O_APPEND, 0o644);
  for (const line of lines) disk.writeFileSync(handle, Buffer.from(line));
  disk.closeSync(handle);
  return said('');
}

function membersOf(disk: Disk, name: string): Member[] {
  const stat = disk.lstatSync(`/${name}`);
  if (stat.isFile()) return [[name, 'file', stat.mode, stat.uid, stat.gid, disk.readFileSync(`/${name}`, 'latin1')]];
  const within = disk.readdirSync(`/${name}`).flatMap((one) => membersOf(disk, `${name}/${one}`));
  return [[name, 'folder', stat.mode, stat.uid, stat.gid, ''], ...within];
}

/** @returns undefined for one that was cut off */
function read(disk: Disk, file: string): Member[] | undefined {
  const lines = disk.readFileSync(file, 'latin1').split('\n');
  return lines.at(-2) === '"end"' ? lines.slice(0, -2).map((line): Member => JSON.parse(line)) : undefined;
}

function extract(disk: Disk, file: string, names: readonly string[]): Outcome {
  const members = read(disk, file);
  if (!members) return broken;
  for (const [name, kind, mode, uid, gid, content] of members) {
    if (!names.some((one) => name === one || name.startsWith(`${one}/`))) continue;
    if (kind === 'folder') {
      if (!disk.existsSync(`/${name}`)) disk.mkdirSync(`/${name}`, { mode });
      continue;
    }
    if (disk.existsSync(`/${name}`)) disk.unlinkSync(`/${name}`);
    const handle = disk.openSync(`/${name}`, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
    disk.writeFileSync(handle, Buffer.from(content, 'latin1'));
    disk.fchownSync(handle, uid, gid);
    disk.fchmodSync(handle, mode);
    disk.closeSync(handle);
  }
  return said('');
}
