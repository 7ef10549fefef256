import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openAgreed } from '../../src/agent/agreed.ts';
import { twoServers } from './two-servers.ts';

describe('the index of what was agreed on', () => {
  it('is there again after a restart, with names of any bytes', () => {
    const { root } = twoServers().one;
    const index = openAgreed(root, 'admin');
    expect(index.isNew()).toBe(true);
    for (const path of ['a', 'line\nbreak', '\xff\xfe', 'quote"and\\'])
      index.set(path, { sign: `f${path.length}`, stamp: 'stamp' });
    index.set('gone', { sign: 'f', stamp: '' });
    index.remove('gone');
    index.flush();
    const again = openAgreed(root, 'admin');
    expect(again.get('line\nbreak')).toEqual({ sign: 'f10', stamp: 'stamp' });
    expect(again.get('\xff\xfe')).toEqual({ sign: 'f2', stamp: 'stamp' });
    expect(again.get('quote"and\\')).toEqual({ sign: 'f10', stamp: 'stamp' });
    expect(again.get('gone')).toBeUndefined();
    expect(again.isNew()).toBe(false);
  });

  it('forgets a line that was torn, and no other', () => {
    const { root } = twoServers().one;
    const index = openAgreed(root, 'admin');
    index.set('a', { sign: 'f1', stamp: '' });
    index.set('b', { sign: 'f2', stamp: '' });
    index.flush();
    const file = join(root.prefix, 'var/lib/cmsadm/sync/admin.index');
    fs.truncateSync(file, fs.statSync(file).size - 5);
    const again = openAgreed(root, 'admin');
    expect([again.get('a')?.sign, again.get('b')]).toEqual(['f1', undefined]);
    again.set('c', { sign: 'f3', stamp: '' });
    again.flush();
    expect(openAgreed(root, 'admin').get('c')?.sign).toBe('f3');
  });

  it('knows after a restart what was about to come, until something else is agreed on', () => {
    const { root } = twoServers().one;
    const index = openAgreed(root, 'admin');
    index.set('a', { sign: 'f1', stamp: 's' });
    index.expect('a', 'f2');
    index.flush();
    const again = openAgreed(root, 'admin');
    expect(['f1', 'f2', 'f3', undefined].map((sign) => again.isKnown('a', sign))).toEqual([true, true, false, false]);
    expect(again.get('a')).toEqual({ sign: 'f1', stamp: 's' });
    again.set('a', { sign: 'f3', stamp: 't' });
    again.flush();
    expect(['f2', 'f3'].map((sign) => openAgreed(root, 'admin').isKnown('a', sign))).toEqual([false, true]);
    expect(again.isKnown('b', undefined)).toBe(true);
  });

  it('does not grow with every change', () => {
    const { root } = twoServers().one;
    const index = openAgreed(root, 'admin');
    for (let change = 0; change < 5000; change += 1) {
      index.set('a', { sign: `f${change}`, stamp: '' });
      index.flush();
    }
    const lines = fs.readFileSync(join(root.prefix, 'var/lib/cmsadm/sync/admin.index'), 'latin1').split('\n').length;
    expect(lines).toBeLessThan(1100);
    expect(openAgreed(root, 'admin').get('a')?.sign).toBe('f4999');
  });

  it('is settled for a folder until something in it is agreed on anew', () => {
    const index = openAgreed(twoServers().one.root, 'admin');
    const agreed = { sign: 'f1', stamp: 's' };
    index.set('f/a', agreed);
    const changes = [
      () => index.set('f/a', { sign: 'f2', stamp: 's' }),
      () => index.set('f/a', { sign: 'f2', stamp: 't' }),
      () => index.remove('f/a'),
      () => index.unsettle('f'),
    ];
    for (const change of changes) {
      index.settle('f', 'digest');
      index.settle('g', 'digest');
      expect(index.isSettled('f', 'digest')).toBe(true);
      expect(index.isSettled('f', 'another')).toBe(false);
      change();
      expect(index.isSettled('f', 'digest')).toBe(false);
      expect(index.isSettled('g', 'digest')).toBe(true);
    }
  });
});
