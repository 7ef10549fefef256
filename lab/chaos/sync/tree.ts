import { createHash } from 'node:crypto';
import { enter, guestEnvironment } from '../../guest.ts';
import { guestOf } from '../../lifecycle.ts';
import { runBytes } from '../../run.ts';
import type { PairServer } from '../standing.ts';
import { groupOf, type Made, type Tree } from './acts.ts';

/** The data set, and the folder in it in which the writer works. */
export const dataSet = '/cms/admin';
export const writersFolder = 'w';

/** One name on a server: what has to be the same, and the time in milliseconds where it is carried. */
type Found = { readonly facts: string; readonly time: number };
export type Listing = ReadonlyMap<string, Found>;

const script = `cd ${dataSet} || exit 1
find . -mindepth 1 -printf '%P\\0%y\\0%m\\0%U:%G\\0%T@\\0%l\\0'
printf '\\0'
find . -type f -print0 | xargs -0 -r sha256sum -z --`;

// What sha256sum(1) writes before a name.
const hashAnd = `${'0'.repeat(64)}  ./`;

/** Everything in the data set of a server, read by find(1) and sha256sum(1), never by the product. */
export async function list(server: PairServer): Promise<Listing> {
  const argv = enter(guestOf(server), ['timeout', '60', 'sh', '-c', script]);
  const { stdout } = await runBytes(argv, { env: guestEnvironment, reject: false });
  const fields = stdout.toString('latin1').split('\0');
  const end = fields.findIndex((field, index) => index % 6 === 0 && field === '');
  const hashes = new Map(fields.slice(end + 1).map((line) => [line.slice(hashAnd.length), line.slice(0, 64)]));
  const listing = new Map<string, Found>();
  for (let index = 0; index + 5 < end; index += 6) {
    const [path = '', type = '', mode = '', owner = '', time = '', target = ''] = fields.slice(index, index + 6);
    const facts =
      type === 'l' ? `link ${owner} ${target}` : `${type} ${mode} ${owner} ${type === 'f' ? hashes.get(path) : ''}`;
    listing.set(path, { facts, time: type === 'f' ? Number(time) * 1000 : 0 });
  }
  return listing;
}

/** How what the writer made looks in a listing. */
function factsOf(made: Made): string {
  const owner = `${made.owner}:${groupOf(made.owner)}`;
  if (made.type === 'link') return `link ${owner} ${made.target}`;
  const mode = made.mode.toString(8);
  if (made.type === 'folder') return `d ${mode} ${owner} `;
  return `f ${mode} ${owner} ${createHash('sha256').update(made.content, 'latin1').digest('hex')}`;
}

/** Where two listings differ, a line a name. Times may differ by the millisecond that they are rounded to. */
export function apart(primary: Listing, secondary: Listing): string[] {
  const paths = [...new Set([...primary.keys(), ...secondary.keys()])];
  return paths.flatMap((path) => {
    const [here, there] = [primary.get(path), secondary.get(path)];
    const same = here?.facts === there?.facts && Math.abs((here?.time ?? 0) - (there?.time ?? 0)) <= 1.5;
    const told = (found: Found | undefined): string => (found ? `${found.facts} ${found.time}` : 'nothing');
    return same ? [] : [`${JSON.stringify(path)} is ${told(here)} on the primary, ${told(there)} on the secondary`];
  });
}

/** Where a listing is not what the writer has made, a line a name; with what nobody made. */
export function notAsMade(listing: Listing, tree: Tree): string[] {
  const wanted = new Map([...tree].map(([path, made]) => [`${writersFolder}/${path}`, factsOf(made)]));
  const found = [...listing].filter(([path]) => path.startsWith(`${writersFolder}/`));
  const lost = [...wanted].filter(([path, facts]) => listing.get(path)?.facts !== facts);
  return [
    ...lost.map(
      ([path, facts]) => `${JSON.stringify(path)} was left as ${facts}, is ${listing.get(path)?.facts ?? 'gone'}`,
    ),
    ...found.filter(([path]) => !wanted.has(path)).map(([path]) => `${JSON.stringify(path)} was made by nobody`),
  ];
}
