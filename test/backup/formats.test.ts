import { linkSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeArgv } from '../../src/backup/archiver.ts';
import { type FormatName, formats } from '../../src/backup/formats.ts';
import { scan } from '../../src/backup/scan.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
const long = `${'n'.repeat(120)}/${'m'.repeat(120)}`;
const content = (size: number): string => 'x'.repeat(size);
const files: Readonly<Record<string, string>> = {
  empty: '',
  one: 'x',
  block: content(512),
  'block and one': content(513),
  'line\nbreak': 'y',
  [`${long}/deep`]: 'z',
  umlaut_ö: 'ö',
};

/** Archives as the real archivers write them; undefined where this machine has none. */
const archives: Partial<Record<FormatName, Buffer>> = {};
beforeAll(async () => {
  const tree = join(folder, 'tree');
  mkdirSync(join(tree, long), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(tree, name), text);
  linkSync(join(tree, 'block'), join(tree, 'second name'));
  symlinkSync('block', join(tree, 'soft'));
  writeFileSync(join(tree, 'sparse'), '');
  truncateSync(join(tree, 'sparse'), 3_000_000);
  const names = ['.', ...Object.keys(files), 'second name', 'soft', 'sparse'].map(
    (name) => `${name === '.' ? '' : './'}${name}\0`,
  );
  for (const format of ['tar', 'cpio'] as const) {
    const [program = '', ...args] = makeArgv[format];
    const made = await execa(program, args, { cwd: tree, input: names.join(''), encoding: 'buffer', reject: false });
    if (made.exitCode === 0) archives[format] = Buffer.from(made.stdout);
  }
  rmSync(tree, { recursive: true });
});

type Found = { name: string; kind: string; size: number; digest: string; sharedWith?: string };

function read(format: FormatName, archive: Buffer, cuts: readonly number[] = []) {
  const members: Found[] = [];
  const damaged: string[] = [];
  const contents = new Map<string, string>();
  const scanned = scan(formats[format].read(), {
    member: (member) => void members.push(member),
    content: ({ name }, bytes) => void contents.set(name, (contents.get(name) ?? '') + bytes.toString('latin1')),
    damaged: (what) => void damaged.push(what),
  });
  let from = 0;
  for (const to of [...new Set(cuts)]
    .filter((cut) => cut < archive.length)
    .sort((a, b) => a - b)
    .concat(archive.length)) {
    // Whoever reads gets one buffer for all pieces.
    scanned.push(Buffer.from(archive.subarray(from, to)));
    from = to;
  }
  return { members, damaged, contents, scanned };
}

describe.each(['tar', 'cpio'] as const)('the archives of %s', (format) => {
  const archive = (skip: (reason: string) => void): Buffer => {
    const found = archives[format];
    if (!found) skip(`this machine has no ${format}`);
    return found ?? Buffer.alloc(0);
  };

  test('are read member by member, with their content', ({ skip }) => {
    const { members, damaged, contents, scanned } = read(format, archive(skip));
    scanned.finish();
    expect(damaged).toEqual([]);
    const kindOf = (name: string): string | undefined => members.find((one) => one.name === name)?.kind;
    expect(kindOf('./soft')).toBe('link');
    for (const [name, text] of Object.entries(files).filter(([one]) => one !== 'block')) {
      const latin1 = Buffer.from(`./${name}`).toString('latin1');
      expect(contents.get(latin1) ?? '').toBe(Buffer.from(text).toString('latin1'));
    }
    const twins = members.filter(({ name }) => ['./block', './second name'].includes(name));
    expect(twins.map(({ name }) => contents.get(name) ?? '').join('')).toBe(content(512));
    const shared = new Set(twins.map(({ name, sharedWith }) => sharedWith ?? name));
    expect(shared.size).toBe(1);
  });

  test('are read alike however they come in pieces', ({ skip }) => {
    const all = archive(skip);
    const whole = read(format, all);
    fc.assert(
      fc.property(fc.array(fc.nat(all.length), { maxLength: 60 }), (cuts) => {
        const cut = read(format, all, cuts);
        expect(cut.members).toEqual(whole.members);
        expect(cut.scanned.end()).toBe(whole.scanned.end());
      }),
      { numRuns: 60 },
    );
  });

  test('take members of ours before and behind, and end where their end mark begins', ({ skip }) => {
    const all = archive(skip);
    const { scanned, members } = read(format, all);
    const own = (name: string, text: string): Buffer =>
      Buffer.concat([
        formats[format].header(name, text.length, 1),
        Buffer.from(text),
        formats[format].padding(text.length),
      ]);
    const longer = Buffer.concat([
      own('./first', 'facts'),
      all.subarray(0, scanned.end()),
      own('./last', content(1000)),
      formats[format].end(),
    ]);
    const again = read(format, longer);
    again.scanned.finish();
    expect(again.members.map(({ name }) => name)).toEqual(['./first', ...members.map(({ name }) => name), './last']);
    expect(again.contents.get('./last')).toBe(content(1000));
  });

  test('cut off anywhere are not whole', ({ skip }) => {
    const all = archive(skip);
    const end = read(format, all).scanned.end() ?? 0;
    fc.assert(
      fc.property(fc.nat(end), (length) => {
        expect(() => read(format, all.subarray(0, length)).scanned.finish()).toThrow(/It ends too early/);
      }),
    );
  });

  test('with one bit turned over anywhere differ in a digest, or cannot be read on', ({ skip }) => {
    const all = archive(skip);
    const { members, scanned } = read(format, all);
    fc.assert(
      fc.property(fc.nat((scanned.end() ?? 1) - 1), fc.nat(7), (at, bit) => {
        const turned = Buffer.from(all);
        turned[at] = (turned[at] ?? 0) ^ (1 << bit);
        try {
          const found = read(format, turned);
          expect(found.members.map(({ digest }) => digest)).not.toEqual(members.map(({ digest }) => digest));
        } catch (error) {
          expect(String(error)).toMatch(/not whole or damaged|assert/);
          if (String(error).includes('assert')) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });
});

test('a broken header of a tar archive costs one member: what follows is read on', ({ skip }) => {
  const all = archives.tar;
  if (!all) return skip('this machine has no tar');
  const { members } = read('tar', all);
  const at = all.indexOf(Buffer.from('./one\0'));
  const turned = Buffer.from(all);
  turned[at + 120] = 0x7f;
  const found = read('tar', turned);
  expect(found.damaged.length).toBeGreaterThan(0);
  const lost = members.filter(({ digest }) => !found.members.some((one) => one.digest === digest));
  expect(lost.map(({ name }) => name)).toEqual(['./one']);
});
