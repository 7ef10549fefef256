import { createHash } from 'node:crypto';
import { CmsadmError } from '../errors.ts';

export type MemberKind = 'file' | 'folder' | 'link' | 'hard link' | 'device' | 'fifo';

/** One member of an archive. Its name is latin1 text, one character per byte. */
export type Member = {
  readonly name: string;
  readonly kind: MemberKind;
  /** Bytes of its content in the archive. */
  readonly size: number;
  /** What members have in common that are names of one file: the first of them (tar), device and inode (cpio). */
  readonly sharedWith?: string;
};

/** A member that was read through; `digest` is SHA-256 over every byte of it, headers and padding included. */
export type ReadMember = Member & { readonly digest: string };

/** What a format asks for next: so many bytes in one piece, or to let the content of a member pass by. */
type Want =
  | { readonly take: number }
  | { readonly content: Member; readonly padding: number }
  /** The bytes since the last member belong to none; the next one begins with these. */
  | { readonly damaged: string; readonly resume: Buffer };

/** Reads one archive format; returns behind the end mark. What it takes it must not keep. */
export type Format = Generator<Want, void, Buffer>;

export type Told = {
  member(member: ReadMember): void;
  /** The content as it passes by. */
  content?(member: Member, bytes: Buffer): void;
  /** What cannot be read as this format; what follows is read on. */
  damaged?(what: string): void;
};

export type Scan = {
  push(chunk: Buffer): void;
  /** How many bytes stand before the end mark; undefined until it was read. */
  end(): number | undefined;
  /** How many bytes were read. */
  seen(): number;
  /** @throws CmsadmError archive-damaged where there was no end mark */
  finish(): void;
};

const nothing: Buffer = Buffer.alloc(0);

/** Reads an archive as it streams by, in bounded memory. */
export function scan(format: Format, told: Told): Scan {
  let want: Want = { take: 0 };
  let held = nothing;
  let left = 0;
  let offset = 0;
  let membersEnd = 0;
  let isEnded = false;
  let last = '';
  let hash = createHash('sha256');

  const proceed = (bytes: Buffer): void => {
    const next = format.next(bytes);
    isEnded = next.done === true;
    if (next.done) return;
    want = next.value;
    held = nothing;
    if ('damaged' in want) {
      told.damaged?.(`${want.damaged}${last === '' ? '' : `, after ${last}`}`);
      hash = createHash('sha256').update(want.resume);
      proceed(nothing);
      return;
    }
    left = 'take' in want ? want.take : want.content.size + want.padding;
    if (left === 0) settle();
  };
  const settle = (): void => {
    if ('take' in want) {
      proceed(held);
      return;
    }
    if (!('content' in want)) return;
    last = want.content.name;
    told.member({ ...want.content, digest: hash.digest('hex') });
    hash = createHash('sha256');
    membersEnd = offset;
    proceed(nothing);
  };
  const pass = (piece: Buffer): void => {
    if ('take' in want) held = left === 0 && held.length === 0 ? piece : Buffer.concat([held, piece]);
    else if ('content' in want && told.content) {
      const before = want.content.size + want.padding - left - piece.length;
      const content = piece.subarray(0, Math.max(0, want.content.size - before));
      if (content.length > 0) told.content(want.content, content);
    }
  };

  proceed(nothing);
  return {
    push: (chunk) => {
      for (let at = 0; at < chunk.length && !isEnded; ) {
        const piece = chunk.subarray(at, at + left);
        at += piece.length;
        offset += piece.length;
        left -= piece.length;
        hash.update(piece);
        pass(piece);
        if (left === 0) settle();
      }
    },
    seen: () => offset,
    end: () => (isEnded ? membersEnd : undefined),
    finish: () => {
      if (!isEnded) throw damagedArchive(`It ends too early${last === '' ? '' : `, after ${last}`}.`);
    },
  };
}

export const damagedArchive = (why: string, details: readonly string[] = []): CmsadmError =>
  new CmsadmError('archive-damaged', `The archive is not whole or damaged. ${why}`, {
    details,
    remedy: 'Use another backup: `cmsadm backup list` shows them.',
  });

/** A member as the operator knows it: `/etc/hosts` for `./etc/hosts`. */
export const pathOf = (name: string): string => (name.startsWith('./') ? name.slice(1) : name === '.' ? '/' : name);
