import { describe, expect, test } from 'vitest';
import { isEmpty } from '../../src/change/change.ts';
import { CmsadmError } from '../../src/errors.ts';
import { compareVersions, planSwitch, type ReleaseFacts, releaseBefore, upgradeChange } from '../../src/ha/upgrade.ts';
import { profile, tag } from '../change/test-host.ts';

const to = { version: '1.3.0', digest: 'new', protocol: 4, node: '24.21.0' };
const facts: ReleaseFacts = {
  version: '1.2.9',
  digest: 'old',
  protocol: 3,
  arch: 'x86_64',
  freeMb: 400,
  releases: [],
};

describe('the switch of one server', () => {
  test('goes from the version in use to that of the package', () => {
    expect(planSwitch('cms1', facts, to, false)).toEqual({ from: '1.2.9', to: '1.3.0', digest: 'new' });
  });

  test('is none where that very package is in use, whatever else would be wrong', () => {
    expect(planSwitch('cms1', { ...facts, version: '1.3.0', digest: 'new', freeMb: 0 }, to, false)).toBeUndefined();
  });

  const refused: { name: string; facts?: Partial<ReleaseFacts>; to?: Partial<typeof to>; says: RegExp }[] = [
    { name: 'an older package', to: { version: '1.2.8' }, says: /It has 1\.2\.9, which is newer/ },
    { name: 'the same number with other contents', to: { version: '1.2.9' }, says: /other contents/ },
    { name: 'a package two protocols on', to: { protocol: 5 }, says: /protocol 3, the package 5/ },
    { name: 'a newer version of two protocols before', to: { protocol: 1 }, says: /protocol 3, the package 1/ },
    { name: 'another machine', facts: { arch: 'aarch64' }, says: /aarch64/ },
    { name: 'a package without runtime', to: { node: 'none' }, says: /no runtime/ },
    { name: 'too little room', facts: { freeMb: 399 }, says: /399 MB free; 400 MB/ },
    { name: 'a program that no package brought', facts: { version: undefined }, says: /not installed from/ },
  ];
  test.each(refused)('is refused for $name', ({ facts: more = {}, to: other = {}, says }) => {
    expect(() => planSwitch('cms1', { ...facts, ...more }, { ...to, ...other }, false)).toThrowError(
      expect.objectContaining({ code: 'upgrade-refused', server: 'cms1', details: [expect.stringMatching(says)] }),
    );
  });

  test('tells every reason at once', () => {
    const caught = (() => {
      try {
        return planSwitch('cms1', { ...facts, arch: 'riscv64', freeMb: 1 }, { ...to, protocol: 9 }, false);
      } catch (error) {
        return error;
      }
    })();
    expect(caught).toBeInstanceOf(CmsadmError);
    expect(caught).toMatchObject({ details: { length: 3 } });
  });
});

describe('the way back to the release before', () => {
  const release = (version: string) => ({ version, digest: `digest of ${version}`, protocol: 3, node: '24.21.0' });
  const having = (inUse: string, ...versions: string[]): ReleaseFacts => ({
    ...facts,
    version: inUse,
    digest: `digest of ${inUse}`,
    releases: versions.map(release),
  });

  test('goes to an older version, wherever it is still unpacked, and needs no room', () => {
    const older = release('1.2.8');
    expect(planSwitch('cms1', { ...having('1.2.9'), freeMb: 1 }, older, true)).toEqual({
      ...{ from: '1.2.9', to: '1.2.8', digest: older.digest },
    });
    expect(() => planSwitch('cms1', having('1.2.9'), { ...older, protocol: 1 }, true)).toThrow();
  });

  test('takes the newest that both have and that is not in use on both', () => {
    const [one, other] = [
      having('2.0.0', '1.0.0', '1.9.0', '1.10.0', '2.0.0'),
      having('2.0.0', '1.9.0', '1.0.0', '2.0.0'),
    ];
    expect(releaseBefore(one, other).version).toBe('1.9.0');
    expect(releaseBefore(one, having('1.9.0', '1.9.0', '2.0.0')).version, 'they differ').toBe('2.0.0');
  });

  test('is refused where nothing was kept', () => {
    expect(() => releaseBefore(having('2.0.0', '2.0.0', '1.0.0'), having('2.0.0', '2.0.0'))).toThrowError(
      expect.objectContaining({ code: 'release-missing' }),
    );
  });
});

test('a server without a switch still has something to do: its agent leaves the old sessions', () => {
  const change = upgradeChange('cms1', undefined, profile, { tag, operator: 'ops' });
  expect(isEmpty(change)).toBe(false);
  expect(change.services.restart).toEqual([profile.agentUnit]);
  expect(change.services.affecting).toEqual([]);
});

test.each([
  ['1.2.3', '1.2.3', 0],
  ['1.2.3', '1.2.4', -1],
  ['1.10.0', '1.9.9', 1],
  ['2.0.0', '10.0.0', -1],
  ['1.0.0-rc.1', '1.0.0', -1],
  ['1.0.0', '1.0.0-rc.1', 1],
  ['1.0.0-rc.2', '1.0.0-rc.10', -1],
  ['1.0.0-1', '1.0.0-alpha', -1],
  ['1.0.0-alpha', '1.0.0-alpha.1', -1],
  ['1.0.0-beta', '1.0.0-alpha.9', 1],
  ['1.0.0-a-b', '1.0.0-a-c', -1],
])('%s against %s: %i', (a, b, sign) => {
  expect(Math.sign(compareVersions(a, b))).toBe(sign);
  expect(Math.sign(compareVersions(b, a)) + sign).toBe(0);
});
