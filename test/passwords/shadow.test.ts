import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { realSystem } from '../../src/host/real-system.ts';
import { setAges } from '../../src/passwords/set-ages.ts';
import { editShadow, readShadow } from '../../src/passwords/shadow.ts';
import { refusalOf } from '../config-files/generated-texts.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();

const text = [
  'root:$y$j9T$aaaa:19700:0:99999:7:::',
  'daemon:*:19700:0:99999:7:::',
  'anna:$y$j9T$bbbb:20000:1:99999:7:14:20900:',
  'ben:!$y$j9T$cccc:0::::::',
  'carol::20100:0:63:::  :odd',
  '+nis::::::::',
  '# no account',
  '',
].join('\n');

describe('a shadow file', () => {
  it('is read as accounts with their days; an empty field is -1, and a password that nothing matches is locked', () => {
    expect(readShadow(text).map(({ name, locked }) => [name, locked])).toEqual([
      ['root', false],
      ['daemon', true],
      ['anna', false],
      ['ben', true],
      ['carol', false],
    ]);
    expect(readShadow(text)[2]).toEqual({
      ...{ name: 'anna', locked: false, lastChange: 20000, inactive: 14 },
      ...{ min: 1, max: 99999, warn: 7 },
    });
    expect(readShadow(text)[3]).toMatchObject({ lastChange: 0, min: -1, max: -1, warn: -1, inactive: -1 });
  });

  it('gets other ages for one account, and every other byte stays', () => {
    const edited = editShadow(text, 'anna', { min: -1, max: 63, warn: 7 });
    expect(edited).toBe(text.replace('anna:$y$j9T$bbbb:20000:1:99999:7:', 'anna:$y$j9T$bbbb:20000::63:7:'));
    expect(editShadow(edited, 'anna', { min: 1, max: 99999, warn: 7 })).toBe(text);
  });

  it('has no account by part of its name', () => {
    expect(refusalOf(() => editShadow(text, 'ann', { min: 0, max: 1, warn: 1 })).code).toBe('account-unknown');
  });

  test('of any bytes keeps all lines but the one, and takes it back', () => {
    const line = fc.oneof(
      fc.constantFrom(...text.split('\n'), 'anna:x:1:2:3:4:5:6:7:8', 'anna:short', '\xff\xfe:é:1:::::: \r'),
      fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }),
    );
    const own = 'dora:hash:20000:0:99999:7:::';
    const ages = { min: 5, max: 70, warn: 3 };
    fc.assert(
      fc.property(fc.array(line), fc.array(line), (before, after) => {
        const clean = (lines: string[]): string[] => lines.filter((one) => !/(^|\n)dora:/.test(one));
        const [above, below] = [clean(before), clean(after)];
        const whole = [...above, own, ...below].join('\n');
        const edited = editShadow(whole, 'dora', ages);
        expect(edited).toBe([...above, 'dora:hash:20000:5:70:3:::', ...below].join('\n'));
        expect(editShadow(edited, 'dora', { min: 0, max: 99999, warn: 7 })).toBe(whole);
      }),
    );
  });
});

// chage(1) changes its root, which only root may.
const canChange = process.getuid?.() === 0 && existsSync('/usr/bin/chage');
test.skipIf(!canChange)('chage writes the very bytes that the edit of a folder makes', async () => {
  const passwd = ['root', 'daemon', 'anna', 'ben', 'carol']
    .map((name, n) => `${name}:x:${n}:${n}::/:/bin/sh\n`)
    .join('');
  for (const side of ['program', 'folder']) {
    mkdirSync(join(folder, side, 'etc'), { recursive: true });
    writeFileSync(join(folder, side, 'etc/passwd'), passwd);
    writeFileSync(join(folder, side, 'etc/shadow'), text.replace('+nis::::::::\n# no account\n', ''), { mode: 0o600 });
  }
  cpSync('/etc/login.defs', join(folder, 'program/etc/login.defs'));
  const host = (side: string, real: boolean) => ({
    root: { prefix: join(folder, side), ownersCount: real },
    system: { ...realSystem(), real },
    programRoot: folder,
  });
  const shadow = (side: string): string => readFileSync(join(folder, side, 'etc/shadow'), 'latin1');
  for (const [name, ages] of [
    ['anna', { min: 1, max: 63, warn: 7 }],
    ['anna', { min: -1, max: -1, warn: -1 }],
    ['ben', { min: 0, max: 7, warn: 7 }],
  ] as const) {
    await setAges(host('program', true), name, ages);
    await setAges(host('folder', false), name, ages);
    expect(shadow('program')).toBe(shadow('folder'));
  }
  await expect(setAges(host('program', true), 'nobody-here', { min: 0, max: 1, warn: 1 })).rejects.toMatchObject({
    code: 'ages-refused',
    message: expect.stringContaining('nobody-here'),
  });
});
