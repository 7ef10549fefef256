import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { makePaint } from '../../src/screen/paint.ts';
import { screenLines } from '../../src/screen/screens.ts';
import { sampleScreens, withTexts } from './sample-screens.ts';

const plain = makePaint(false);
const coloured = makePaint(true);
const names = Object.keys(sampleScreens);
const named = (name: string) => {
  const screen = sampleScreens[name];
  if (!screen) throw new Error(`no sample ${name}`);
  return screen;
};

describe.each(names)('the screen %s', (name) => {
  it('reads as agreed', async () => {
    const text = screenLines(named(name), { width: 80, paint: plain })
      .map((line) => `${line}\n`)
      .join('');
    await expect(text).toMatchFileSnapshot(`golden/${name}.txt`);
  });

  it('reads the same in colours', () => {
    const lines = screenLines(named(name), { width: 80, paint: coloured });
    expect(lines.map(stripVTControlCharacters)).toEqual(screenLines(named(name), { width: 80, paint: plain }));
  });

  it.each([80, 60])('keeps to %i columns, however long the texts are', (width) => {
    const wordy = withTexts(
      named(name),
      (text) => `${text} ${text}/${'long-path-element/'.repeat(9)}${'x'.repeat(200)}`,
    );
    for (const screen of [named(name), wordy])
      for (const line of screenLines(screen, { width, paint: plain })) expect(line.length).toBeLessThanOrEqual(width);
  });

  it('lets no control character of a server through', () => {
    const hostile = withTexts(named(name), (text) => `${text}\u001b[2J\u001b]0;x\u0007\r\u009b1m\u202e`);
    const text = screenLines(hostile, { width: 80, paint: plain }).join('');
    expect(text).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    if (name !== 'tags-none') expect(text).toContain('\\x1b[2J');
  });
});

const diffOf = (before: string | undefined, after: string | undefined, width = 80): string[] =>
  screenLines(
    {
      kind: 'diff',
      review: {
        operation: 'x',
        tag: 'zdt_1_1700000000',
        notes: [],
        servers: [
          {
            name: 's',
            address: 'a',
            becomes: 'primary',
            services: [],
            interruption: 0,
            files: [{ path: '/f', what: 'changed', secret: false, before, after }],
          },
        ],
      },
    },
    { width, paint: plain },
  ).slice(3);

describe('the diff screen', () => {
  it('shows what a terminal would hide or obey', () => {
    expect(diffOf('a\n', 'a\r\n')).toEqual(['@@ -1,1 +1,1 @@', '-a', '+a\\x0d']);
    expect(diffOf('', '\x1b[31mred\n')).toEqual(['@@ -0,0 +1,1 @@', '+\\x1b[31mred']);
  });

  it('says that a final newline is missing', () => {
    expect(diffOf('a\n', 'a')).toEqual(['@@ -1,1 +1,1 @@', '-a', '+a', '\\ No newline at end of file']);
  });

  it('reads UTF-8, and shows other bytes as numbers', () => {
    expect(diffOf('', 'caf\xc3\xa9\ncaf\xe9\n')).toEqual(['@@ -0,0 +1,2 @@', '+café', '+caf\\xe9']);
  });

  it('goes on in the next row behind a backslash', () => {
    expect(diffOf('', `${'0123456789'.repeat(3)}\n`, 20)).toEqual([
      '@@ -0,0 +1,1 @@',
      '+012345678901234567\\',
      '890123456789',
    ]);
  });

  it('says so when only owner or mode change', () => {
    expect(diffOf('a\n', 'a\n')).toEqual(['(no line differs)']);
  });
});
