import * as v from 'valibot';
import { stringify } from 'yaml';
import { CmsadmError } from '../errors.ts';
import { type Root, readText } from '../host/root.ts';
import { ownFolder } from '../pair/administered.ts';
import { type Acd, acdId, acdName, readYamlAs } from './definition.ts';

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const host = v.pipe(v.string(), v.minLength(1));

export const linkSchema = v.strictObject({
  /** Of the definition that it belongs to. */
  id: acdId,
  localPort: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64)),
  remotePort: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64)),
  transport: v.literal('TCP/IP'),
  host,
  port,
  /** Where the survivable server of the switch answers: a link with two addresses, of which one is in use. */
  survivable: v.optional(v.strictObject({ host, port })),
});
/** One server's own link to an ACD. */
export type AcdLink = v.InferOutput<typeof linkSchema>;

export const linkFile = (number: number): string => `${ownFolder}/acd/${number}-link.yaml`;

/** The file's text, latin1. */
export const printLink = (number: number, link: AcdLink): string =>
  `# This server's own link to ACD ${number}. It is not carried to the other server, and no reversal touches it.\n${stringify(link)}`;

/** @throws CmsadmError acd-unreadable */
const parseLink = (number: number, text: string): AcdLink => readYamlAs(linkSchema, text, linkFile(number));

/** This server's link; undefined where it has none. @throws CmsadmError acd-unreadable */
export function readLinkOf(root: Root, number: number): AcdLink | undefined {
  const text = readText(root, linkFile(number));
  return text === undefined ? undefined : parseLink(number, text);
}

/** `10.1.1.1 port 5001`, and the survivable address after it. */
export const linkText = ({ host: main, port: at, survivable }: AcdLink): string =>
  `${main} port ${at}${survivable ? `, survivable ${survivable.host} port ${survivable.port}` : ''}`;

/** The links that one server has already. */
export type OtherLinks = readonly { readonly acd: Pick<Acd, 'number' | 'name'>; readonly link: AcdLink }[];

/**
 * On one server all links have one address, or all have two.
 * @throws CmsadmError links-mixed, with the names of the others
 */
export function refuseMixing(server: string, isDual: boolean, others: OtherLinks): void {
  const different = others.filter(({ link }) => (link.survivable !== undefined) !== isDual);
  if (different.length === 0) return;
  const names = different.map(({ acd }) => acdName(acd)).join(', ');
  throw new CmsadmError(
    'links-mixed',
    `${server} has links with ${isDual ? 'one address' : 'two addresses'}: ${names}. It must not have both kinds.`,
    {
      server,
      remedy: isDual ? 'Give no survivable address (none).' : 'Give a survivable address as well.',
    },
  );
}
