import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Change } from '../../src/change/change.ts';
import { assertSshd, assertSshdAnswers, watchSshd } from '../../src/change/ssh-watch.ts';
import type { Host, SshConnection, Verdict } from '../../src/host/system.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeOf, testHost } from './test-host.ts';

const folder = tempFolder();
const watch: NonNullable<Change['sshWatch']> = {
  peer: { address: '192.0.2.12', fqdn: 'cms2.example.com' },
  own: '192.0.2.11',
  port: 22,
  mayEnter: true,
};
const shut = 'permitrootlogin no\nx11forwarding no\n';
const open = 'permitrootlogin forced-commands-only\nx11forwarding no\n';
const isPeerRoot = ({ user, addr }: SshConnection): boolean => user === 'root' && addr === '192.0.2.12';

let asked: SshConnection[] = [];
let number = 0;
/** A server whose sshd decides by this function. */
const serverWith = (decide: (c: SshConnection) => string | undefined, verdict: Verdict = { ran: false }): Host => {
  number += 1;
  return testHost(join(folder, String(number)), {
    effectiveSshd: async (connection) => {
      asked.push(connection);
      return decide(connection);
    },
    judge: async () => verdict,
  });
};
const assertAfter = async (
  before: (c: SshConnection) => string | undefined,
  after: (c: SshConnection) => string | undefined,
  more: { verdict?: Verdict; mayEnter?: boolean } = {},
): Promise<void> => {
  const seen = await watchSshd(serverWith(before), watch);
  const host = serverWith(after, more.verdict);
  const change = changeOf(host, {}, { sshWatch: { ...watch, mayEnter: more.mayEnter ?? true } });
  if (seen === undefined) throw new Error('sshd was not asked');
  await assertSshd(host, change, seen);
};

beforeEach(() => {
  asked = [];
  vi.stubEnv('SSH_CONNECTION', '198.51.100.5 51000 192.0.2.11 22');
});
afterEach(() => vi.unstubAllEnvs());

test('the operator’s own connection is watched beside strangers and the peer’s other users', async () => {
  await watchSshd(
    serverWith(() => shut),
    watch,
  );
  expect(asked.map(({ user, addr }) => `${user} ${addr}`)).toEqual([
    'root 192.0.2.77',
    'root 198.51.100.5',
    'nobody 192.0.2.77',
    'nobody 192.0.2.12',
  ]);
  for (const { laddr, lport } of asked) expect([laddr, lport]).toEqual(['192.0.2.11', 22]);
});

test('whom the configuration names and who has an account is watched, from the peer and from elsewhere', async () => {
  const host = serverWith(() => shut);
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(host.root.prefix, path)), { recursive: true });
    writeFileSync(join(host.root.prefix, path), text);
  };
  put('/etc/ssh/sshd_config', 'AllowUsers ann root@10.0.0.5\n');
  put('/etc/ssh/sshd_config.d/50-site.conf', 'Match User bob Address 10.9.0.0/16\n');
  put('/etc/passwd', 'daemon:x:1:1::/:/usr/sbin/nologin\neve:x:1001:1001::/home/eve:/bin/bash\n');
  await watchSshd(host, watch);
  const users = ['nobody', 'ann', 'bob', 'eve'].flatMap((user) => [`${user} 192.0.2.77`, `${user} 192.0.2.12`]);
  const roots = ['192.0.2.77', '198.51.100.5', '10.0.0.5', '10.9.0.0'].map((address) => `root ${address}`);
  expect(asked.map(({ user, addr }) => `${user} ${addr}`)).toEqual([...roots, ...users]);
});

test('the operator is watched where he came in, be it another port', async () => {
  vi.stubEnv('SSH_CONNECTION', '198.51.100.5 51000 192.0.2.99 2222');
  vi.stubEnv('SUDO_USER', 'ops');
  await watchSshd(
    serverWith(() => shut),
    watch,
  );
  expect(asked).toContainEqual({
    user: 'root',
    addr: '198.51.100.5',
    host: '198.51.100.5',
    laddr: '192.0.2.99',
    lport: 2222,
  });
  expect(asked.map(({ user }) => user)).toContain('ops');
});

describe('after its reload sshd', () => {
  const greeting = (text: string) => async () => Duplex.from([Buffer.from(text)]);
  const greeted = async (connect: () => Promise<Duplex>): Promise<void> => {
    let now = 0;
    const host = testHost(join(folder, `greets-${Math.random()}`), { connect, elapsed: () => (now += 3000) });
    await assertSshdAnswers(host, changeOf(host, {}, { sshWatch: watch }), { decided: [], answers: true });
  };

  test('passes if it greets', async () => {
    await greeted(greeting('SSH-2.0-OpenSSH_9.2\r\n'));
  });

  test.each([
    { name: 'takes no connection', connect: () => Promise.reject(new Error('refused')) },
    { name: 'closes each at once', connect: greeting('') },
  ])('is put back if it $name', async ({ connect }) => {
    await expect(greeted(connect)).rejects.toMatchObject({ code: 'sshd-silent', server: 'cms1.example.com' });
  });

  test('is not asked where it was silent before', async () => {
    const host = testHost(join(folder, 'silent'));
    await assertSshdAnswers(host, changeOf(host, {}, { sshWatch: watch }), { decided: [], answers: false });
  });
});

describe('an sshd that is watched', () => {
  afterEach(() => void vi.useRealTimers());
  const silent = async (): Promise<Duplex> => new Duplex({ read: () => {}, write: (_chunk, _code, done) => done() });

  test('and takes connections without a word is silent, too', async () => {
    vi.useFakeTimers();
    const host = testHost(join(folder, 'mute'), { connect: silent, elapsed: () => Date.now() });
    const change = changeOf(host, {}, { sshWatch: watch });
    const refused = expect(assertSshdAnswers(host, change, { decided: [], answers: true })).rejects.toMatchObject({
      code: 'sshd-silent',
    });
    await vi.advanceTimersByTimeAsync(25_000);
    await refused;
  });

  test('is so although one look at it failed', async () => {
    let looks = 0;
    const connect = async (): Promise<Duplex> => {
      looks += 1;
      if (looks === 1) throw new Error('dropped, or heard of too late');
      return Duplex.from([Buffer.from('SSH-2.0-x\r\n')]);
    };
    const host = testHost(join(folder, 'once'), { connect, effectiveSshd: async () => shut });
    expect(await watchSshd(host, watch)).toMatchObject({ answers: true });
  });
});

test('an sshd that cannot be asked is not watched', async () => {
  expect(
    await watchSshd(
      serverWith(() => undefined),
      watch,
    ),
  ).toBeUndefined();
});

describe('the new configuration is accepted when', () => {
  test('only root from the peer is treated otherwise, and may come in', async () => {
    await assertAfter(
      () => shut,
      (connection) => (isPeerRoot(connection) ? open : shut),
    );
  });

  test('root is let in by a pattern with the peer’s address', async () => {
    const listed = `${shut}allowusers root@192.0.2.12\n`;
    await assertAfter(
      () => listed,
      (connection) => (isPeerRoot(connection) ? `${open}allowusers root@192.0.2.12\n` : listed),
    );
  });

  test('disable takes root’s way in away', async () => {
    await assertAfter(
      (connection) => (isPeerRoot(connection) ? open : shut),
      () => shut,
      { mayEnter: false },
    );
  });
});

describe('the new configuration is refused when', () => {
  test('sshd itself refuses it', async () => {
    const verdict = { ran: true, problem: 'line 3: Bad configuration option' } as const;
    await expect(
      assertAfter(
        () => shut,
        () => open,
        { verdict },
      ),
    ).rejects.toMatchObject({
      code: 'sshd-judged-bad',
      server: 'cms1.example.com',
      message: expect.stringContaining('line 3: Bad configuration option'),
    });
  });

  test.each([
    { name: 'strangers', who: ({ addr }: SshConnection) => addr === '192.0.2.77', says: 'root from 192.0.2.77' },
    { name: 'the operator', who: ({ addr }: SshConnection) => addr === '198.51.100.5', says: 'root from 198.51.100.5' },
    {
      name: 'other users from the peer',
      who: ({ user, addr }: SshConnection) => user === 'nobody' && addr === '192.0.2.12',
      says: 'nobody from 192.0.2.12',
    },
  ])('$name would be treated otherwise', async ({ who, says }) => {
    const after = (connection: SshConnection): string =>
      isPeerRoot(connection) ? open : who(connection) ? `${shut}allowusers root\n` : shut;
    await expect(assertAfter(() => shut, after)).rejects.toMatchObject({
      code: 'sshd-judged-bad',
      message: expect.stringMatching(new RegExp(`${says} .*allowusers`)),
    });
  });

  test('root from the peer still may not come in', async () => {
    await expect(
      assertAfter(
        () => shut,
        () => shut,
      ),
    ).rejects.toMatchObject({
      code: 'sshd-judged-bad',
      message: expect.stringContaining('PermitRootLogin is no'),
    });
  });
});
