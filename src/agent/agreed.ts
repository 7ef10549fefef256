import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { at, type Root } from '../host/root.ts';
import { makeFolders } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import { folderOf } from './names.ts';

/** What both servers last had in common of a name, and the stamp of the file here when it was so. */
type Agreed = { readonly sign: string; readonly stamp: string };

/**
 * What both servers last had in common, by path. It tells a local edit from a file that waits for its new version, and
 * spares the reading of files that did not change.
 */
export type AgreedIndex = {
  get(path: string): Agreed | undefined;
  paths(): Iterable<string>;
  /** True if nothing was ever agreed on. */
  isNew(): boolean;
  set(path: string, agreed: Agreed): void;
  remove(path: string): void;
  /** What is about to take this name's place; to be flushed before it does: whoever dies in between knows it again. */
  expect(path: string, sign: string): void;
  /** True for the version that was agreed on, or that was about to be; undefined: that nothing stands there. */
  isKnown(path: string, sign: string | undefined): boolean;
  /** The numbers and names of the accounts (accounts.ts) by which the signs were made; undefined if that is not known. */
  accounts(): string | undefined;
  setAccounts(text: string): void;
  /** True if every name in a folder was agreed on as it is under this digest. */
  isSettled(folder: string, digest: string): boolean;
  settle(folder: string, digest: string): void;
  /** Something in a folder may have another stamp than the one that was agreed on. */
  unsettle(folder: string): void;
  /** Writes what came since; at the end of each batch. */
  flush(): void;
  /** Where it lies, for a sync to the disk; undefined before anything was written. */
  file(): string | undefined;
};

/**
 * Opens the index of a data set, `/var/lib/cmsadm/sync/<set>.index`: JSON lines, the last one of a path counts. Lines are
 * not synced to the disk one by one: what is lost with the power is read again and compared.
 */
export function openAgreed(root: Root, set: string): AgreedIndex {
  const file = at(root, `${paths.sync}/${set}.index`);
  const known = read(file);
  // The power went while a line was written: the next one begins on a line of its own.
  let lines: string[] = known.isTorn ? ['\n'] : [];
  let written = known.lines;
  /** Digests of folders in which all is agreed on. */
  const settled = new Map<string, string>();
  const write = (): void => {
    makeFolders(root, dirname(`${paths.sync}/${set}`), 0o700);
    // Twice as many lines as names: write it anew.
    if (written + lines.length > 2 * known.names.size + 1000) {
      const all = [
        ...[...known.names].map(([path, { sign, stamp }]) => line(path, sign, stamp)),
        ...[...known.expected].map(([path, sign]) => line(path, sign, EXPECTED)),
        ...(known.accounts === undefined ? [] : [line('', known.accounts, ACCOUNTS)]),
      ];
      fs.writeFileSync(`${file}.new`, all.join(''), { mode: 0o600, encoding: 'latin1' });
      fs.renameSync(`${file}.new`, file);
      written = all.length;
    } else {
      try {
        fs.writeFileSync(file, lines.join(''), { mode: 0o600, encoding: 'latin1', flag: 'a' });
      } catch (error) {
        // A full disk may have taken a part of a line.
        if (lines[0] !== '\n') lines.unshift('\n');
        throw error;
      }
      written += lines.length;
    }
    lines = [];
  };
  return {
    get: (path) => known.names.get(path),
    paths: () => known.names.keys(),
    isNew: () => known.names.size === 0,
    set: (path, { sign, stamp }) => {
      known.expected.delete(path);
      const before = known.names.get(path);
      if (before?.sign === sign && before.stamp === stamp) return;
      settled.delete(folderOf(path));
      known.names.set(path, { sign, stamp });
      lines.push(line(path, sign, stamp));
    },
    expect: (path, sign) => {
      known.expected.set(path, sign);
      lines.push(line(path, sign, EXPECTED));
    },
    isKnown: (path, sign) =>
      sign === known.names.get(path)?.sign || (sign !== undefined && sign === known.expected.get(path)),
    remove: (path) => {
      known.expected.delete(path);
      if (!known.names.delete(path)) return;
      settled.delete(folderOf(path));
      lines.push(line(path, '', ''));
    },
    accounts: () => known.accounts,
    setAccounts: (text) => {
      if (known.accounts === text) return;
      known.accounts = text;
      lines.push(line('', text, ACCOUNTS));
    },
    isSettled: (folder, digest) => settled.get(folder) === digest,
    settle: (folder, digest) => void settled.set(folder, digest),
    unsettle: (folder) => void settled.delete(folder),
    flush: () => {
      if (lines.length > 0) write();
    },
    file: () => (fs.existsSync(file) ? file : undefined),
  };
}

// Paths are bytes as latin1 characters; JSON keeps each as one of them.
const line = (path: string, sign: string, stamp: string): string => `${JSON.stringify([path, sign, stamp])}\n`;

/** Stands for the stamp of what was about to come. */
const EXPECTED = 'expected';

/** Stands for the stamp where accounts are told, of which no path is. */
const ACCOUNTS = 'accounts';

type Known = {
  names: Map<string, Agreed>;
  expected: Map<string, string>;
  accounts: string | undefined;
  lines: number;
  isTorn: boolean;
};

function read(file: string): Known {
  const names = new Map<string, Agreed>();
  const expected = new Map<string, string>();
  let accounts: string | undefined;
  const lines = (fs.existsSync(file) ? fs.readFileSync(file, 'latin1') : '').split('\n');
  for (const text of lines) {
    // The last line may be torn; what it told is compared again.
    const told = parsed(text);
    if (!told) continue;
    const [path, sign, stamp] = told;
    if (stamp === ACCOUNTS) {
      accounts = sign;
      continue;
    }
    if (stamp === EXPECTED) {
      expected.set(path, sign);
      continue;
    }
    expected.delete(path);
    if (sign === '') names.delete(path);
    else names.set(path, { sign, stamp });
  }
  return { names, expected, accounts, lines: lines.length, isTorn: lines.at(-1) !== '' };
}

function parsed(text: string): [path: string, sign: string, stamp: string] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!Array.isArray(value)) return undefined;
    const [path, sign, stamp] = value;
    return typeof path === 'string' && typeof sign === 'string' && typeof stamp === 'string'
      ? [path, sign, stamp]
      : undefined;
  } catch {
    return undefined;
  }
}
