import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { CmsadmError } from '../../src/errors.ts';
import { installedPeerCommand, PROBE_COMMAND, probe, startPeer } from '../../src/host/first-contact.ts';
import type { Session } from '../../src/host/session.ts';
import { type Connection, connect } from '../../src/host/ssh-client.ts';
import { packTar } from '../../src/packages/archive.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { makeHostKeys, startTestServer } from './ssh-server.ts';

const folder = tempFolder();
const hostKeys = makeHostKeys();
let number = 0;

const put = (file: string, content: string, mode = 0o755): void => {
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
};

/** A program that greets, says where it runs, and answers the first request; what the package carries. */
const program = `#!/bin/sh
echo '{"cmsadm":"peer","protocol":1,"version":"9.9.9"}'
read -r line || exit 0
echo "{\\"id\\":1,\\"result\\":\\"$* mode $(stat -c %a "$3")\\"}"
while read -r line; do :; done
`;
const installer =
  '#!/bin/sh\n[ "$1" = --unpack ] || exit 9\necho unpacking\nmkdir -p "$2/bin"\nmv "$(dirname "$0")/program" "$2/bin/cmsadm"\n';

const packed = async (install = installer): Promise<{ stream: Readable; bytes: number }> => {
  const data = await buffer(
    await packTar([
      { name: 'install', data: Buffer.from(install), mode: 0o755 },
      { name: 'program', data: Buffer.from(program), mode: 0o755 },
      { name: 'filler', data: Buffer.alloc(300_000, 'x'), mode: 0o644 },
    ]),
  );
  return { stream: Readable.from([data]), bytes: data.length };
};

/** A peer whose /run, /var/tmp … are folders of the test. @param run what stands for /run: its name, or one that is missing */
async function peer(more: { bases?: string; sudo?: string; noise?: string; home?: string } = {}) {
  number += 1;
  const place = join(folder, String(number));
  mkdirSync(join(place, 'run'), { recursive: true });
  mkdirSync(join(place, 'tmp'));
  if (more.sudo !== undefined) put(join(place, 'bin/sudo'), more.sudo);
  const bases = more.bases ?? `${place}/run ${place}/tmp`;
  const server = await startTestServer({
    hostKeys,
    password: 'right',
    env: { PATH: `${place}/bin:/usr/bin:/bin` },
    rewrite: (command) =>
      `${more.noise ?? ''}${command
        .replace('for base in /run /var/tmp /tmp /root;', `for base in ${bases};`)
        .replaceAll('/opt/cmsadm/current', `${place}/current`)}`,
  });
  const target = { address: '192.0.2.12', port: 22, user: 'ops', pins: [hostKeys.ed25519] };
  return { ...server, place, connection: await connect(server.dial, target, { password: 'right' }) };
}

const left = (place: string): string[] => ['run', 'tmp'].flatMap((base) => readdirSync(join(place, base)));
const carried = (
  connection: Connection,
  folders: string[],
  options: { asRoot: boolean; sudoPassword?: string; carried: Awaited<ReturnType<typeof packed>> },
): Promise<Session> => startPeer(connection, '192.0.2.12', { ...options, onFolder: (name) => void folders.push(name) });
const gone = async (place: string): Promise<void> => {
  for (let tries = 0; tries < 100 && left(place).length > 0; tries += 1) await new Promise((r) => setTimeout(r, 30));
  expect(left(place)).toEqual([]);
};

test.each([PROBE_COMMAND, installedPeerCommand(true), installedPeerCommand(false)])(
  'the shell can read command %#',
  (command) => {
    expect(spawnSync('sh', ['-n', '-c', command])).toMatchObject({ status: 0 });
  },
);

describe('the first look', () => {
  test('tells user, machine and what is missing; nothing is installed', async () => {
    const { connection } = await peer({ noise: 'echo Welcome; echo uid=99; ' });
    const seen = await probe(connection, '192.0.2.12');
    expect(seen).toMatchObject({ uid: process.getuid?.(), installed: '', missing: [] });
    expect(seen.arch).toMatch(/^\w+$/);
    connection.end();
  });

  test('tells the digest of what is installed', async () => {
    const { connection, place } = await peer();
    put(join(place, 'current/manifest.json'), 'abc', 0o644);
    const { installed } = await probe(connection, '192.0.2.12');
    expect(installed).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    connection.end();
  });

  test('a shell that runs nothing is told as such', async () => {
    const { connection } = await peer({ noise: 'echo This account is closed; exit 1; ' });
    await expect(probe(connection, '192.0.2.12')).rejects.toMatchObject({ code: 'peer-unfit', server: '192.0.2.12' });
    connection.end();
  });
});

describe('a carried program', () => {
  test('runs from a private folder that is named, and leaves nothing when its session ends', async () => {
    const { connection, place } = await peer();
    const folders: string[] = [];
    const session = await carried(connection, folders, { asRoot: true, carried: await packed() });
    expect(folders).toEqual([expect.stringMatching(new RegExp(`^${place}/run/cmsadm-first\\.\\w+$`))]);
    expect(left(place)).toHaveLength(1);
    expect(await session.call('any')).toBe(`peer --first-contact ${folders[0]} mode 700`);
    session.close();
    await gone(place);
  });

  test('is removed when the line is cut', async () => {
    const { connection, place } = await peer();
    const session = await carried(connection, [], { asRoot: true, carried: await packed() });
    expect(left(place)).toHaveLength(1);
    connection.end();
    await session.closed;
    await gone(place);
  });

  test('takes the next folder when the first is missing', async () => {
    const { connection, place } = await peer({
      bases: `${join(folder, 'none')} ${join(folder, String(number + 1), 'tmp')}`,
    });
    const folders: string[] = [];
    const session = await carried(connection, folders, { asRoot: true, carried: await packed() });
    expect(folders[0]).toContain(`${place}/tmp/`);
    session.close();
    await gone(place);
  });

  test('needs a folder somewhere', async () => {
    const { connection } = await peer({ bases: join(folder, 'none') });
    const folders: string[] = [];
    await expect(carried(connection, folders, { asRoot: true, carried: await packed() })).rejects.toMatchObject({
      code: 'peer-nowhere',
      remedy: expect.stringContaining('noexec'),
    });
    expect(folders).toEqual([]);
    connection.end();
  });

  test('that does not unpack tells why, and leaves nothing', async () => {
    const { connection, place } = await peer();
    const broken = await packed('#!/bin/sh\necho "install: no room" >&2\nexit 1\n');
    await expect(carried(connection, [], { asRoot: true, carried: broken })).rejects.toMatchObject({
      code: 'peer-start-failed',
      details: expect.arrayContaining([expect.stringContaining('no room')]),
    });
    connection.end();
    await gone(place);
  });
});

describe('sudo', () => {
  // Asks as sudo does, and takes no more than the one line of the password from what comes in.
  const sudo = `#!/bin/sh
[ "$1 $2 $3" = "-k -S -p" ] || exit 9
printf %s "$4" >&2
IFS= read -r password
[ "$password" = 'it"s $(right)' ] || { printf %s "$4" >&2; read -r again || exit 1; exit 1; }
shift 4
exec "$@"
`;

  test('gets the password when it asks, and the package behind it', async () => {
    const { connection, place, commands } = await peer({ sudo });
    const session = await carried(connection, [], {
      asRoot: false,
      sudoPassword: 'it"s $(right)',
      carried: await packed(),
    });
    expect(await session.call('any')).toContain('peer --first-contact');
    expect(commands.join(''), 'no password in a command').not.toContain('right');
    session.close();
    await gone(place);
  });

  test.each([
    { name: 'a wrong password', sudoPassword: 'wrong', says: 'sudo did not accept the password.' },
    { name: 'no password', sudoPassword: undefined, says: 'sudo asks for a password.' },
  ])('$name is told, and nothing is left', async ({ sudoPassword, says }) => {
    const { connection, place } = await peer({ sudo });
    const options = { asRoot: false, carried: await packed(), ...(sudoPassword === undefined ? {} : { sudoPassword }) };
    const error = await carried(connection, [], options).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'peer-start-failed', details: expect.arrayContaining([says]) });
    expect(error instanceof CmsadmError && JSON.stringify(error.details)).not.toContain('wrong');
    connection.end();
    await gone(place);
  });
});

test('an installed program is started where it is', async () => {
  const { connection, place, commands } = await peer();
  put(join(place, 'current/bin/cmsadm'), program.replace('$(stat -c %a "$3")', 'none'));
  const session = await startPeer(connection, '192.0.2.12', { asRoot: true, onFolder: () => {} });
  expect(session.greeting.version).toBe('9.9.9');
  expect(await session.call('any')).toBe('peer mode none');
  expect(commands).toEqual([installedPeerCommand(true)]);
  expect(existsSync(join(place, 'run')) && readFileSync(join(place, 'current/bin/cmsadm'), 'utf8')).toContain('9.9.9');
  session.close();
});
