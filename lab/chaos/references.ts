import { type Both, other, type PairServer, pair, type Standing } from './standing.ts';

/** What two servers can be to each other. */
export const pairStates = ['single', 'linked', 'cms1 primary', 'cms2 primary'] as const;
export type PairState = (typeof pairStates)[number];

/** How a server stands in a state: files by their normal form, and what is in force. */
export type Reference = Pick<Standing, 'files' | 'force'>;
export type References = ReadonlyMap<PairState, Both<Reference>>;

/** What every line that the administrator adds holds; a number follows. */
export const lineMark = 'a line of the administrator, number';

/**
 * Both servers as they stand, in a form that is the same for every run in the same state: the administrator's own lines
 * out, keys made by the servers, tags and epochs by name only.
 */
export function normalForm(standings: Both<Standing>): Both<Reference> {
  const keys = pair.map((server) => ({
    server,
    base64:
      standings[server].contents.get('/root/.ssh/id_cmsadm.pub')?.split(' ')[1] ??
      keyInAccessLine(server, standings[other(server)]),
  }));
  const normal = (text: string): string =>
    keys
      .reduce((all, { server, base64 }) => (base64 ? all.replaceAll(base64, `key of ${server}`) : all), text)
      .replace(/^-----BEGIN [\s\S]*$/, 'a private key')
      .replaceAll(/^.*a line of the administrator, number.*\n?/gm, '')
      .replaceAll(/zdt_\d+_\d+/g, 'tag')
      .replaceAll(/"epoch": \d+/g, '"epoch": …');
  const one = ({ files, contents, force }: Standing): Reference => ({
    files: new Map([...files].map(([path, facts]) => [path, withText(facts, contents.get(path), normal)])),
    force,
  });
  return { cms1: one(standings.cms1), cms2: one(standings.cms2) };
}

// A server that is not linked has no key any more; its access line on the other one still names it.
const keyInAccessLine = (server: PairServer, { contents }: Standing): string | undefined =>
  new RegExp(` (\\S+) cmsadm pair key of ${server}\\.`).exec(contents.get('/root/.ssh/authorized_keys') ?? '')?.[1];

// The sum of the bytes gives way to the text that is compared in its place.
const withText = (facts: string, content: string | undefined, normal: (text: string) => string): string =>
  content === undefined ? facts : `${facts.replace(/ [0-9a-f]{64}$/, '')} ${JSON.stringify(normal(content))}`;

/** What differs between two maps, a line each; long texts are told by where they part. */
export function differences(wanted: ReadonlyMap<string, string>, found: ReadonlyMap<string, string>): string[] {
  return [...new Set([...wanted.keys(), ...found.keys()])]
    .filter((key) => wanted.get(key) !== found.get(key))
    .sort()
    .map((key) => `${key}: ${parted(wanted.get(key), found.get(key))}`);
}

function parted(wanted = 'absent', found = 'absent'): string {
  const length = [...wanted].findIndex((char, i) => char !== found[i]);
  const from = Math.max(0, (length < 0 ? wanted.length : length) - 40);
  const cut = (text: string): string => (from > 0 ? `…${text.slice(from, from + 160)}` : text.slice(0, 160));
  return `${cut(found)} instead of ${cut(wanted)}`;
}

/** The states in which a server's files are just these. */
export const statesOf = (references: References, server: PairServer, standing: Reference): PairState[] =>
  pairStates.filter((state) => {
    const reference = references.get(state)?.[server];
    return reference !== undefined && differences(reference.files, standing.files).length === 0;
  });
