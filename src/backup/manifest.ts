import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as v from 'valibot';
import { damagedArchive, type ReadMember } from './scan.ts';

const kinds = ['file', 'folder', 'link', 'hard link', 'device', 'fifo'] as const;
const lineSchema = v.union([
  v.strictTuple([v.string(), v.picklist(kinds), v.number(), v.string()]),
  v.strictTuple([v.string(), v.picklist(kinds), v.number(), v.string(), v.string()]),
]);

/** One line for each member, in their order: name, kind, size, digest, and what it shares with others. */
const lineOf = ({ name, kind, size, digest, sharedWith }: ReadMember): string =>
  `${JSON.stringify(sharedWith === undefined ? [name, kind, size, digest] : [name, kind, size, digest, sharedWith])}\n`;

/** Collects the manifest of an archive in a file while the archive is made. */
export type ManifestSpool = {
  add(member: ReadMember): void;
  count(): number;
  /** Ends it. @returns its size in bytes */
  end(): number;
  /** Its text in pieces, once it was ended. */
  pieces(): AsyncIterable<Buffer>;
  discard(): void;
};

const beginning = (name: string): string => `cmsadm-manifest 1 ${name}\n`;
const ending = (count: number, digest: string): string => `end ${count} ${digest}\n`;

/** @param file a path on this machine that nobody else uses */
export function spoolManifest(file: string, backup: string): ManifestSpool {
  const handle = fs.openSync(file, 'wx', 0o600);
  const hash = createHash('sha256');
  let text = '';
  let size = 0;
  let count = 0;
  const flush = (): void => {
    const bytes = Buffer.from(text, 'latin1');
    hash.update(bytes);
    fs.writeSync(handle, bytes);
    size += bytes.length;
    text = '';
  };
  text += beginning(backup);
  return {
    add: (member) => {
      text += lineOf(member);
      count += 1;
      if (text.length > 262_144) flush();
    },
    count: () => count,
    end: () => {
      flush();
      const last = Buffer.from(ending(count, hash.digest('hex')), 'latin1');
      fs.writeSync(handle, last);
      return size + last.length;
    },
    pieces: () => fs.createReadStream(file),
    discard: () => {
      fs.closeSync(handle);
      fs.rmSync(file, { force: true });
    },
  };
}

/** A line of a manifest that was read. */
export type ManifestLine = ReadMember;

/** Reads a manifest as its bytes come. */
export type ManifestReader = {
  push(bytes: Buffer): void;
  /** @throws CmsadmError archive-damaged where its end is missing or its own digest is wrong */
  finish(): readonly ManifestLine[];
};

/** @param backup the name that the archive's facts tell */
export function readManifest(backup: string): ManifestReader {
  const lines: ManifestLine[] = [];
  const hash = createHash('sha256');
  let rest = '';
  let isBegun = false;
  let end: { readonly count: number; readonly digest: string } | undefined;
  const take = (line: string): void => {
    const ended = /^end (\d+) ([0-9a-f]{64})\n$/.exec(line);
    if (ended) end = { count: Number(ended[1]), digest: ended[2] ?? '' };
    else hash.update(line, 'latin1');
    if (ended) return;
    if (isBegun) lines.push(parseLine(line));
    else if (line !== beginning(backup)) throw damagedArchive('Its manifest is another archive’s.');
    isBegun = true;
  };
  return {
    push: (bytes) => {
      rest += bytes.toString('latin1');
      let from = 0;
      for (let to = rest.indexOf('\n'); to !== -1; to = rest.indexOf('\n', from)) {
        take(rest.slice(from, to + 1));
        from = to + 1;
      }
      rest = rest.slice(from);
    },
    finish: () => {
      if (!end || rest !== '' || end.count !== lines.length || end.digest !== hash.digest('hex'))
        throw damagedArchive('Its manifest is damaged or missing.');
      return lines;
    },
  };
}

function parseLine(line: string): ManifestLine {
  try {
    const [name, kind, size, digest, sharedWith] = v.parse(lineSchema, JSON.parse(line));
    const member = { name, kind, size, digest };
    return sharedWith === undefined ? member : { ...member, sharedWith };
  } catch (cause) {
    if (!(cause instanceof SyntaxError) && !v.isValiError(cause)) throw cause;
    throw damagedArchive('Its manifest cannot be read.');
  }
}
