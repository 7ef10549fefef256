import type { Random } from '../random.ts';

/** What an administrator's program does to the data set. Paths have one character per byte; owners are numbers. */
export type Act = { readonly number: number; readonly path: string } & (
  | { readonly op: 'mkdir'; readonly mode: number }
  | ({ readonly op: 'create' | 'rewrite' | 'replace'; readonly mode: number } & Written)
  | ({ readonly op: 'append' } & Written)
  | { readonly op: 'rename'; readonly from: string }
  | { readonly op: 'remove' }
  | { readonly op: 'chmod'; readonly mode: number }
  | { readonly op: 'chown'; readonly owner: number; readonly group: number }
  | { readonly op: 'symlink'; readonly target: string }
  | { readonly op: 'times'; readonly seconds: number }
);
/** `text`, repeated and cut to `size` bytes. */
type Written = { readonly text: string; readonly size: number };

/** Both servers have Debian's root and the lab's operator, with these groups. */
export const groupOf = (owner: number): number => (owner === 0 ? 0 : 37);

/** One name as the writer has left it. */
export type Made =
  | { readonly type: 'folder'; readonly mode: number; readonly owner: number }
  | { readonly type: 'file'; readonly mode: number; readonly owner: number; readonly content: string }
  | { readonly type: 'link'; readonly owner: number; readonly target: string };

/** The tree as the writer has left it, by path. */
export type Tree = ReadonlyMap<string, Made>;

const textOf = ({ text, size }: Written): string => text.repeat(Math.ceil(size / text.length)).slice(0, size);

const isBelow = (path: string, folder: string): boolean => path.startsWith(`${folder}/`);

/** What an act makes of a tree. Throws where it is not possible there: the writer asks for nothing that fails. */
export function treeAfter(tree: Tree, act: Act): Tree {
  const next = new Map(tree);
  const present = tree.get(act.path);
  switch (act.op) {
    case 'mkdir':
      return next.set(act.path, { type: 'folder', mode: act.mode, owner: 0 });
    case 'create':
    case 'replace':
      return next.set(act.path, { type: 'file', mode: act.mode, owner: 0, content: textOf(act) });
    case 'symlink':
      return next.set(act.path, { type: 'link', owner: 0, target: act.target });
    case 'rewrite':
    case 'append': {
      if (present?.type !== 'file') throw impossible(act);
      const content = act.op === 'append' ? `${present.content}${textOf(act)}` : textOf(act);
      return next.set(act.path, { ...present, content });
    }
    case 'chmod':
      if (present === undefined || present.type === 'link') throw impossible(act);
      return next.set(act.path, { ...present, mode: act.mode });
    case 'chown':
      if (present === undefined) throw impossible(act);
      return next.set(act.path, { ...present, owner: act.owner });
    case 'times':
      if (present?.type !== 'file') throw impossible(act);
      return next;
    case 'remove':
      for (const path of tree.keys()) if (path === act.path || isBelow(path, act.path)) next.delete(path);
      return next;
    case 'rename':
      for (const [path, made] of tree)
        if (path === act.from || isBelow(path, act.from)) {
          next.delete(path);
          next.set(`${act.path}${path.slice(act.from.length)}`, made);
        }
      return next;
  }
}

const impossible = ({ op, path }: Act): Error => new Error(`${op} of ${JSON.stringify(path)} is not possible`);

/** The paths that an act may leave half done when its writer dies in the middle of it. */
export const touched = (act: Act): readonly string[] => [
  ...(act.op === 'rename' ? [act.from] : []),
  ...(act.op === 'replace' ? [`${act.path}.new`] : []),
  act.path,
];

/** The tree is kept at about this many names. */
export const usualNames = 400;
/** In one round, which the other server may miss as a whole, no more than so many names go: by removal or by another name. */
export const mayVanish = 80;
/** A folder with more names is neither removed nor renamed. */
const mostAtOnce = 13;

const ops = [
  'create',
  'rewrite',
  'append',
  'replace',
  'rename',
  'remove',
  'chmod',
  'chown',
  'mkdir',
  'symlink',
  'times',
] as const;

/** Times that a file may have: before 1970, long past, with fractions that round up, after 2038 and later still. */
const times = [
  -86_400 * 365,
  0,
  1,
  1_000_000_000,
  1_234_567_890.999_6,
  2_200_000_000,
  4_102_444_800,
  7_258_118_400,
] as const;

function weightsFor(size: number): Readonly<Record<Act['op'], number>> {
  const usual = { rewrite: 12, append: 8, replace: 10, rename: 10, chmod: 6, chown: 3, times: 3 };
  if (size < usualNames * 1.1) return { ...usual, create: 14, mkdir: 4, symlink: 2, remove: 10 };
  const making = size < usualNames * 1.25 ? 1 : 0;
  return { ...usual, create: 3 * making, mkdir: making, symlink: making, remove: 20 };
}

/** The next act of a seeded writer on this tree; `left` is how many names may still vanish. */
export function nextAct(random: Random, tree: Tree, number: number, left: number): Act {
  const one = (types: readonly Made['type'][]): string | undefined => anyOf(random, tree, types);
  const op = tree.size < usualNames * 0.9 ? 'create' : random.weighted(weightsFor(tree.size), ops);
  const fresh = { op: 'create', number, path: newPath(random, tree, number), mode: fileMode(random) } as const;
  const create: Act = { ...fresh, ...written(random, number) };
  const file = one(['file']);
  const path = op === 'rename' || op === 'remove' || op === 'chown' ? one(['file', 'folder', 'link']) : file;
  if (path === undefined || file === undefined) return create;
  const edit: Act = { op: 'append', number, path: file, text: `more ${number}\n`, size: random.whole(1, 400) };
  switch (op) {
    case 'create':
      return create;
    case 'mkdir':
      return { op, number, path: fresh.path, mode: random.pick([0o755, 0o700, 0o1750]) };
    case 'symlink':
      return {
        op,
        number,
        path: fresh.path,
        target: random.pick(['file', '../../..', '/etc/passwd', 'no\xff\nwhere']),
      };
    case 'rewrite':
    case 'replace':
      return { op, number, path, mode: fileMode(random), ...written(random, number) };
    case 'append':
      return edit;
    case 'chmod':
      return { op, number, path, mode: fileMode(random) };
    case 'times':
      return { op, number, path: file, seconds: random.pick(times) };
    case 'chown': {
      const owner = random.pick([0, 1000]);
      return { op, number, path, owner, group: groupOf(owner) };
    }
    case 'remove':
      return vanishing(tree, path) <= left ? { op, number, path } : edit;
    case 'rename':
      return vanishing(tree, path) <= left && !isBelow(fresh.path, path)
        ? { op, number, from: path, path: fresh.path }
        : edit;
  }
}

/** How many names an act takes away that removes or renames this one; none of those that are too many for one act. */
function vanishing(tree: Tree, path: string): number {
  const names = [...tree.keys()].filter((other) => other === path || isBelow(other, path)).length;
  return names > mostAtOnce ? Number.POSITIVE_INFINITY : names;
}

/** How many names of a tree an act has taken away. */
export const vanishedBy = (act: Act, tree: Tree): number =>
  act.op === 'remove' ? vanishing(tree, act.path) : act.op === 'rename' ? vanishing(tree, act.from) : 0;

function anyOf(random: Random, tree: Tree, types: readonly Made['type'][]): string | undefined {
  const paths = [...tree].filter(([, made]) => types.includes(made.type)).map(([path]) => path);
  return paths[random.whole(0, Math.max(0, paths.length - 1))];
}

const fileMode = (random: Random): number => random.pick([0o644, 0o600, 0o640, 0o755, 0o444, 0o660]);

function written(random: Random, number: number): Written {
  const most = random.weighted({ small: 20, middle: 4, large: 1 }, ['small', 'middle', 'large']);
  const size = random.whole(0, { small: 4000, middle: 60_000, large: 800_000 }[most]);
  return { text: `${number} ${random.whole(0, 1e9)}\n`, size };
}

/** A name that is not there yet, in a folder that is; now and then one that programs stumble over. */
function newPath(random: Random, tree: Tree, number: number): string {
  const folder = random.share() < 0.2 ? undefined : anyOf(random, tree, ['folder']);
  // A name's number makes it new; deep folders stay within what a path may be long.
  const name = random.pick([
    ...([`file-${number}`, `file-${number}`, `file-${number}`, `${number}.txt`, `--${number}`] as const),
    ...[
      `-e sh ${number}`,
      `two\nlines ${number}`,
      `\xff\xfe${number}`,
      `\xc3\xa4 ${number}`,
      `${number}${'x'.repeat(240)}`,
    ],
  ]);
  return folder === undefined || folder.split('/').length > 6 ? name : `${folder}/${name}`;
}
