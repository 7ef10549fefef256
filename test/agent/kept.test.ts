import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Host } from '../../src/host/system.ts';
import { kept, pass, placeOf, tree, twoServers, write } from './two-servers.ts';

/** All that happens on this server happens within one second. */
const inOneSecond = (host: Host): Host => ({ ...host, system: { ...host.system, clock: () => 1_800_000_000_000 } });

describe('a kept copy', () => {
  it('does not leave through a link that was kept in the same second', async () => {
    const servers = twoServers();
    const [one, two] = [servers.one, inOneSecond(servers.two)];
    const outside = join(two.root.prefix, 'outside');
    fs.mkdirSync(outside);
    fs.symlinkSync(outside, placeOf(one, 'current'));
    await pass(one, two);
    fs.rmSync(placeOf(one, 'current'));
    write(one, 'current/deep/conf', 'first');
    await pass(one, two);
    write(one, 'current/deep/conf', 'the second');
    await pass(one, two);
    expect(fs.readdirSync(outside)).toEqual([]);
    expect(kept(two)).toEqual([
      ['current', `->${outside}`],
      ['current/deep/conf', 'first'],
    ]);
    expect(tree(two)).toMatchObject({ 'current/deep/conf': 'the second' });
  });
});
