// Tags and ids that another server sends become parts of paths: whatever is no such name is refused and reaches nothing.
import { cpSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Server } from '../../src/change/server.ts';
import { exitCodes } from '../../src/errors.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeOf, changeId as id, serverOf, type TestHost, testHost } from './test-host.ts';

const folder = tempFolder();
let host: TestHost;
let server: Server;
let number = 0;
beforeEach(() => {
  number += 1;
  host = testHost(join(folder, String(number), 'root'));
  server = serverOf(host);
});

/** Everything in the server's folder and beside it, journal included. */
const everything = (): Record<string, string> => {
  const top = join(host.root.prefix, '..');
  return Object.fromEntries(
    readdirSync(top, { recursive: true, encoding: 'utf8' }).map((path) => [
      path,
      statSync(join(top, path)).isFile() ? readFileSync(join(top, path), 'latin1') : 'folder',
    ]),
  );
};
const texts = { '/etc/hosts': 'new\n', '/root/.bash_profile': 'made\n' };

describe('stage', () => {
  test.each(['/../x', '../../x', 'zdt_1_1700000000/../x', 'zdt_1_1700000000\n', ''])(
    'of the tag %j is refused and writes nothing',
    async (tag) => {
      const before = everything();
      const staged = server.stage({ change: changeOf(host, texts, { tag }), part: 'peer' });
      await expect(staged).rejects.toMatchObject({ code: 'transaction-unknown', exitCode: exitCodes.refused });
      expect(everything()).toEqual(before);
    },
  );
});

// A journal lies where these names would lead; without a look at the name it would be settled.
const trap = '../trap';
const verbs: readonly (readonly [string, (server: Server, id: string) => Promise<unknown>])[] = [
  ['arm', (one, name) => one.arm({ id: name, seconds: 60 })],
  ['asked', (one, name) => one.asked({ id: name })],
  ['confirm', (one, name) => one.confirm({ id: name })],
  ['putBack', (one, name) => one.putBack({ id: name, by: 'itself' })],
];
describe.each([trap, '../../x', `${id}/../../trap`, ''])('of the id %j', (name) => {
  test.each(verbs)('%s is refused, settles nothing and writes nothing', async (_verb, call) => {
    await server.stage({ change: changeOf(host, texts), part: 'peer' });
    const state = join(host.root.prefix, 'var/lib/cmsadm');
    cpSync(join(state, `journal/${id}.jsonl`), join(state, 'trap.jsonl'));
    const before = everything();
    await expect(call(server, name)).rejects.toMatchObject({ code: 'transaction-unknown' });
    expect(everything()).toEqual(before);
    expect(host.did).toEqual([]);
    expect(await server.outcome({ id: name })).toBe('unknown');
  });
});
