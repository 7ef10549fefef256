// Lines that look like ours but are the administrator's, and the choice about .rhosts, from set up to disable.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { disable } from '../../src/commands/disable.ts';
import { setUp } from '../../src/commands/setup.ts';
import { paths } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type NewPair, pairMaker, type RehearsalPair, standing } from '../rehearsal/pair.ts';

const folder = tempFolder();
let newPair: NewPair;
beforeAll(async () => {
  newPair = await pairMaker(folder);
});
const servers = ({ cms1, cms2 }: RehearsalPair): string[] => [cms1, cms2];
const outcomeOf = async (run: ReturnType<typeof setUp>): Promise<unknown> => (await run).result['outcome'];

test.each(['cmsadm-backup@nas', 'cmsadm backup', 'cmsadm', 'cmsadm pair'])(
  'a restricted line of the administrator with the comment %j stays through set up and disable',
  async (comment) => {
    const pair = newPair(`line-${comment.replaceAll(/\W/g, '-')}`);
    const own = `restrict,from="192.0.2.50",command="/usr/local/sbin/cmsadm peer" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP ${comment}\n`;
    for (const root of servers(pair)) writeFileSync(join(root, paths.authorizedKeys), own);
    expect(await outcomeOf(setUp(pair.context(pair.cms1), pair.answers))).toBe('done');
    for (const root of servers(pair)) {
      const lines = readFileSync(join(root, paths.authorizedKeys), 'utf8').split('\n');
      expect(lines[0]).toBe(own.trimEnd());
      expect(lines.filter((line) => line.includes('cmsadm pair key of '))).toHaveLength(1);
    }
    expect(await outcomeOf(disable(pair.context(pair.cms1), { peer: 'cms2.example.com' }))).toBe('done');
    for (const root of servers(pair)) expect(readFileSync(join(root, paths.authorizedKeys), 'utf8')).toBe(own);
  },
);

describe('.rhosts', () => {
  test('left out once with --no-rhosts, it stays out: the same again without the flag changes nothing', async () => {
    const pair = newPair('no-rhosts');
    expect(await outcomeOf(setUp(pair.context(pair.cms1), { ...pair.answers, 'no-rhosts': '' }))).toBe('done');
    for (const root of servers(pair)) expect(existsSync(join(root, 'root/.rhosts'))).toBe(false);
    const before = standing(pair);
    expect(await outcomeOf(setUp(pair.context(pair.cms1), {}))).toBe('nothing to do');
    expect(standing(pair)).toEqual(before);
  });

  test('turned off later, our line goes and the administrator’s stay', async () => {
    const pair = newPair('rhosts-off');
    const rhosts = (root: string): string => readFileSync(join(root, 'root/.rhosts'), 'utf8');
    for (const root of servers(pair)) writeFileSync(join(root, 'root/.rhosts'), 'backup.example.com root\n');
    expect(await outcomeOf(setUp(pair.context(pair.cms1), pair.answers))).toBe('done');
    expect(rhosts(pair.cms1)).toContain('cms2.example.com');
    expect(await outcomeOf(setUp(pair.context(pair.cms1), { 'no-rhosts': '' }))).toBe('done');
    for (const root of servers(pair)) expect(rhosts(root)).toBe('backup.example.com root\n');
  });
});
