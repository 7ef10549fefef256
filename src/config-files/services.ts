/** /etc/services, services(5): `name port/protocol aliases… # comment`. */
import { CmsadmError } from '../errors.ts';
import { insertLines, joinLines, type Line, splitLines, wordsOf } from './lines.ts';
import { markedLine, removeMarks } from './marks.ts';

export type Service = {
  readonly name: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly aliases?: readonly string[];
  readonly comment?: string;
};
export type ServiceEntry = { readonly names: readonly string[]; readonly port: number; readonly protocol: string };
export type ServicesLine = Line & { readonly entry: ServiceEntry | undefined };
export type WantedServices = { readonly entries: readonly Service[] };

/** What glibc would skip (a range, two words before the port) is no entry. */
const readEntry = (text: string): ServiceEntry | undefined => {
  const [name, at = '', ...aliases] = wordsOf(text.split('#', 1)[0] ?? '');
  const [, port, protocol] = /^(\d+)\/(.+)$/.exec(at) ?? [];
  if (name === undefined || port === undefined || protocol === undefined) return undefined;
  return { names: [name, ...aliases], port: Number(port), protocol };
};

export const parse = (text: string): ServicesLine[] =>
  splitLines(text).map((line) => ({ ...line, entry: readEntry(line.text) }));

export const print = (doc: readonly Line[]): string => joinLines(doc);

export const undo = (text: string): string => removeMarks(text);

const conflictOf = (wanted: Service, entry: ServiceEntry): string | undefined => {
  if (entry.protocol !== wanted.protocol) return undefined;
  const isNamed = entry.names.includes(wanted.name);
  if (isNamed === (entry.port === wanted.port)) return undefined;
  return isNamed
    ? `${wanted.name}/${wanted.protocol} has the port ${entry.port}, not ${wanted.port}.`
    : `${wanted.port}/${wanted.protocol} belongs to ${entry.names[0]}, not to ${wanted.name}.`;
};

const ourLine = ({ name, port, protocol, aliases = [], comment }: Service): string =>
  markedLine([name, `${port}/${protocol}`, ...aliases].join('\t') + (comment === undefined ? '' : ` # ${comment}`));

/** The text with every wanted entry. Throws CmsadmError `service-taken` with all conflicts. */
export const edit = (text: string, wanted: WantedServices): string => {
  const doc = parse(undo(text));
  const entries = doc.flatMap(({ entry }) => entry ?? []);
  const conflicts = wanted.entries.flatMap((service) => entries.flatMap((entry) => conflictOf(service, entry) ?? []));
  if (conflicts.length > 0) {
    throw new CmsadmError('service-taken', 'A service name or port of the pair is taken in the services file.', {
      remedy: 'Free the name or port in the services file, or choose another port in the profile.',
      details: conflicts,
    });
  }
  const missing = wanted.entries.filter(
    ({ name, protocol }) => !entries.some((entry) => entry.protocol === protocol && entry.names.includes(name)),
  );
  return print(insertLines(doc, doc.length, missing.map(ourLine)));
};
