import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { columns, cut, printable, printableBytes, wrap } from '../../src/printable.ts';

describe('printable', () => {
  it.each([
    ['plain text, ümlauts, 漢字', 'plain text, ümlauts, 漢字'],
    ['\u001b[31m', '\\x1b[31m'],
    ['a\tb\r\n\0', 'a\\x09b\\x0d\\x0a\\x00'],
    ['\u009b1m', '\\x9b1m'],
    ['safe\u202egpj.exe', 'safe\\u{202e}gpj.exe'],
    ['\ud800', '\\u{d800}'],
    ['\u{e0001}', '\\u{e0001}'],
  ])('shows %j as %j', (text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it('leaves nothing that a terminal obeys, of any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(printable(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
      }),
    );
  });
});

describe('printableBytes', () => {
  it('reads valid UTF-8 and shows the bytes of anything else', () => {
    expect(printableBytes('caf\xc3\xa9')).toBe('café');
    expect(printableBytes('caf\xe9\x80')).toBe('caf\\xe9\\x80');
    expect(printableBytes('\xef\xbb\xbfa')).toBe('\\u{feff}a');
  });
});

describe('columns', () => {
  it.each([
    ['abc', 3],
    ['漢字', 4],
    ['e\u0301', 1],
    ['🚀', 2],
  ])('of %j are %i', (text, width) => {
    expect(columns(text)).toBe(width);
  });
});

describe('wrap', () => {
  it('leaves a line that fits as it is, blanks included', () => {
    expect(wrap(' 1) acd_create   Define', 80)).toEqual([' 1) acd_create   Define']);
  });

  it('breaks at blanks and hangs the rest', () => {
    expect(wrap('one two three four', 12, '- ')).toEqual(['- one two', '  three four']);
  });

  it('breaks a longer path behind a slash', () => {
    expect(wrap('see /opt/informix/etc/sqlhosts', 16)).toEqual(['see', '/opt/informix/', 'etc/sqlhosts']);
  });

  it('cuts what has no better place', () => {
    expect(wrap('abcdefghij', 4)).toEqual(['abcd', 'efgh', 'ij']);
  });

  it('begins a new line at a line feed, and drops the last one', () => {
    expect(wrap('first\nsecond\n', 80, 'ERROR: ')).toEqual(['ERROR: first', '       second']);
  });

  it('never exceeds the width and never loses a letter', () => {
    const text = fc
      .array(fc.string({ unit: fc.constantFrom('a', 'é', '漢', '/', '🚀', ' ') }))
      .map((parts) => parts.join(' '));
    fc.assert(
      fc.property(text, fc.integer({ min: 12, max: 90 }), fc.nat(8), (given, width, indent) => {
        const lines = wrap(given, width, ' '.repeat(indent));
        for (const line of lines) expect(columns(line)).toBeLessThanOrEqual(width);
        expect(lines.join('').replaceAll(' ', '')).toBe(given.replaceAll(' ', ''));
      }),
    );
  });
});

describe('cut', () => {
  it('counts wide characters as two', () => {
    expect(cut('漢字漢', 5)).toEqual(['漢字', '漢']);
  });
});
