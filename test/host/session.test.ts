import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { openSession, type Session, serveSession } from '../../src/host/session.ts';
import { PROTOCOL } from '../../src/protocol.ts';

type Verbs = Readonly<Record<string, (args: never) => Promise<unknown>>>;
/** As a program greets that speaks this protocol and the one before it. */
const greeting = (newest: number): string =>
  `${JSON.stringify({ cmsadm: 'peer', protocol: newest - 1, newest, version: '1.2.3' })}\n`;
/** Recorded from version 0.1.0, which spoke protocol 1 and nothing else. */
const firstGreeting = '{"cmsadm":"peer","protocol":1,"version":"0.1.0"}\n';

/** A session with served verbs over two pipes; the newest protocols of the calling and of the serving end. */
async function session(
  verbs: Verbs,
  ours = PROTOCOL,
  theirs = PROTOCOL,
): Promise<{ session: Session; toPeer: PassThrough; toUs: PassThrough }> {
  const [toPeer, toUs] = [new PassThrough(), new PassThrough()];
  void serveSession(toPeer, toUs, verbs, '1.2.3', 30_000, theirs).then(() => toUs.end());
  return { session: await openSession(toUs, toPeer, 'cms2.example.com', () => toPeer.end(), ours), toPeer, toUs };
}

/** A session whose other end says these lines. */
function against(said: string, close = false, ours = PROTOCOL): Promise<Session> {
  const [toPeer, toUs] = [new PassThrough(), new PassThrough()];
  toUs.write(said);
  if (close) toUs.end();
  return openSession(toUs, toPeer, 'cms2.example.com', () => toPeer.end(), ours);
}

test('a call brings back what the verb returns; nothing comes back as null', async () => {
  const { session: one } = await session({
    add: async ({ a, b }: { a: number; b: number }) => a + b,
    rest: async () => {},
  });
  expect(one.greeting).toEqual({ cmsadm: 'peer', protocol: PROTOCOL - 1, newest: PROTOCOL, version: '1.2.3' });
  expect(await one.call('add', { a: 2, b: 3 })).toBe(5);
  expect(await one.call('rest')).toBeNull();
});

test('answers find their question, and requests are served one after the other', async () => {
  const order: string[] = [];
  const { session: one } = await session({
    slow: async () => {
      order.push('slow begins');
      await new Promise((resolve) => setTimeout(resolve, 20));
      order.push('slow ends');
      return 'slow';
    },
    fast: async () => {
      order.push('fast');
      return 'fast';
    },
  });
  expect(await Promise.all([one.call('slow'), one.call('fast')])).toEqual(['slow', 'fast']);
  expect(order).toEqual(['slow begins', 'slow ends', 'fast']);
});

test('text of any bytes comes through', async () => {
  const { session: one, toPeer, toUs } = await session({ echo: async (text: string) => text });
  const sent: string[] = [];
  for (const pipe of [toPeer, toUs]) pipe.on('data', (data: Buffer) => void sent.push(data.toString()));
  const text = `${Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join('')}\u2028\u2029€`;
  expect(await one.call('echo', text)).toBe(text);
  expect(sent.join(''), 'some versions of Node end a line there').not.toMatch(/[\u2028\u2029]/);
});

test('noise of a log-in script before the greeting is skipped', async () => {
  const noise = 'Welcome to cms2!\n\n{"id":1}\n{"cmsadm":"peer"}\n[1,2\n\u0007';
  expect((await against(`${noise}\n${greeting(PROTOCOL)}`)).greeting.version).toBe('1.2.3');
});

test('a greeting that a log-in script left no line end for is still found on its own line only', async () => {
  await expect(against(`Last login: today${greeting(PROTOCOL)}`, true)).rejects.toMatchObject({ code: 'no-greeting' });
});

test.each([
  { name: 'two steps older', ours: 5, theirs: 3 },
  { name: 'two steps newer', ours: 5, theirs: 7 },
  { name: 'of a far future', ours: 5, theirs: 99 },
])('a program $name is refused before anything is asked; both versions are told', async ({ ours, theirs }) => {
  await expect(against(greeting(theirs), false, ours)).rejects.toMatchObject({
    code: 'protocol-refused',
    server: 'cms2.example.com',
    message: expect.stringMatching(
      new RegExp(`cmsadm 1\\.2\\.3, which speaks protocol ${theirs}; cmsadm \\d\\S+ here speaks ${ours}\\.`),
    ),
    remedy: expect.stringContaining('same version'),
  });
});

test.each([
  { name: 'the same program', ours: 5, theirs: 5, spoken: 5 },
  { name: 'the program before ours', ours: 5, theirs: 4, spoken: 4 },
  { name: 'the program after ours', ours: 5, theirs: 6, spoken: 5 },
])('$name is spoken with in what both understand', async ({ ours, theirs, spoken }) => {
  const { session: one } = await session({ facts: async () => 'told' }, ours, theirs);
  expect(one.protocol).toBe(spoken);
  expect(await one.call('facts')).toBe('told');
});

test('version 0.1.0 is spoken with in its protocol by the program after it, and refused by the next', async () => {
  expect((await against(firstGreeting, false, 2)).protocol).toBe(1);
  expect((await against(firstGreeting, false, 1)).protocol).toBe(1);
  await expect(against(firstGreeting, false, 3)).rejects.toMatchObject({ code: 'protocol-refused' });
});

test('what we greet with lets version 0.1.0 in, which took its own number and the one before', async () => {
  const toUs = new PassThrough();
  void serveSession(new PassThrough(), toUs, {}, '0.2.0', 50, 2);
  const [line] = await toUs.take(1).toArray();
  expect([1, 0]).toContain(JSON.parse(String(line)).protocol);
});

test('a verb that the older program lacks is not sent; both versions and the way out are told', async () => {
  const { session: one, toPeer } = await session({}, 3, 2);
  const { session: old, toPeer: toOld } = await session({}, 2, 1);
  expect(await one.call('release').catch((error: unknown) => error)).toMatchObject({ code: 'verb-unknown' });
  const sent: string[] = [];
  for (const pipe of [toPeer, toOld]) pipe.on('data', (data: Buffer) => void sent.push(data.toString()));
  await expect(old.call('release')).rejects.toMatchObject({
    code: 'verb-too-new',
    server: 'cms2.example.com',
    message: expect.stringMatching(/runs cmsadm 1\.2\.3, .*"release" \(protocol 1\); cmsadm \d\S+ here/),
    remedy: expect.stringContaining('./install'),
  });
  expect(sent).toEqual([]);
});

test('an older program does not serve what came after it', async () => {
  const { session: one } = await session({ release: async () => 'told' }, 2, 2);
  expect(await one.call('release')).toBe('told');
  const [toPeer, toUs] = [new PassThrough(), new PassThrough()];
  void serveSession(toPeer, toUs, { release: async () => 'told' }, '0.1.0', 30_000, 1);
  toPeer.write('{"id":1,"verb":"release"}\n');
  const [, answer] = String((await toUs.take(2).toArray()).join('')).split('\n');
  expect(answer).toContain('verb-unknown');
  toPeer.end();
});

test('an end that says nothing is waited for as long as the caller has patience', async () => {
  const [toPeer, toUs] = [new PassThrough(), new PassThrough()];
  const opening = openSession(toUs, toPeer, 'cms2.example.com', () => toPeer.end(), PROTOCOL, 0.05);
  await expect(opening).rejects.toMatchObject({
    code: 'no-greeting',
    message: expect.stringContaining('no answer within 0.05 s'),
  });
});

test('an end without a greeting tells the last lines that came instead', async () => {
  await expect(against('bash: cmsadm: command not found\n', true)).rejects.toMatchObject({
    code: 'no-greeting',
    server: 'cms2.example.com',
    details: ['bash: cmsadm: command not found'],
  });
});

test('a lost session rejects every call that waits and every later one', async () => {
  const { session: one, toUs } = await session({ never: () => new Promise(() => {}) });
  const calls = [one.call('never'), one.call('never')].map((call) => call.catch((error: unknown) => error));
  toUs.end();
  await one.closed;
  for (const error of await Promise.all(calls))
    expect(error).toMatchObject({ code: 'session-lost', server: 'cms2.example.com' });
  await expect(one.call('never')).rejects.toMatchObject({ code: 'session-lost' });
});

test('closing our end ends the other one', async () => {
  const [toPeer, toUs] = [new PassThrough(), new PassThrough()];
  const served = serveSession(toPeer, toUs, {}, '1.2.3').then(() => 'ended');
  const one = await openSession(toUs, toPeer, 'cms2', () => toPeer.end());
  one.close();
  expect(await served).toBe('ended');
});

test.each(['facts', '__proto__', 'constructor', 'toString'])('there is no verb %s', async (verb) => {
  const { session: one } = await session({ other: async () => 1 });
  await expect(one.call(verb)).rejects.toMatchObject({ code: 'verb-unknown', message: expect.stringContaining(verb) });
});

test('a foreseen error comes back whole, with its server', async () => {
  const { session: one } = await session({
    named: async () => {
      throw new CmsadmError('file-changed', 'It changed.', {
        ...{ remedy: 'Run it again.', exitCode: exitCodes.needsPerson, server: 'cms9.example.com', file: '/etc/hosts' },
        details: ['one', 'two'],
      });
    },
    plain: async () => {
      throw new CmsadmError('locked', 'Somebody is at it.');
    },
  });
  const error = await one.call('named').catch((e: unknown) => e);
  expect(error).toBeInstanceOf(CmsadmError);
  expect(error).toMatchObject({
    ...{ code: 'file-changed', message: 'It changed.', remedy: 'Run it again.', exitCode: 5 },
    ...{ server: 'cms9.example.com', file: '/etc/hosts', details: ['one', 'two'] },
  });
  await expect(one.call('plain')).rejects.toMatchObject({
    code: 'locked',
    server: 'cms2.example.com',
    remedy: undefined,
  });
});

test('a bug over there is a bug here: no foreseen error, its stack told', async () => {
  const { session: one } = await session({
    broken: async () => {
      throw new TypeError('x is undefined');
    },
  });
  const error = await one.call('broken').catch((e: unknown) => e);
  expect(error).not.toBeInstanceOf(CmsadmError);
  expect(String(error)).toMatch(/on cms2\.example\.com: TypeError: x is undefined\n\s+at /);
});

test('answers that nobody asked for are ignored', async () => {
  const { session: one, toUs } = await session({ one: async () => 1 });
  toUs.write('{"id":77,"result":"?"}\nnoise\n{"id":"x"}\n');
  expect(await one.call('one')).toBe(1);
});

test('an end that says nothing for too long counts as gone; what it was saying before is done', async () => {
  const [toPeer, toUs] = [new PassThrough(), new PassThrough()];
  const done: string[] = [];
  const slow = async () => {
    await new Promise((resolve) => setTimeout(resolve, 150));
    done.push('slow');
  };
  const served = serveSession(toPeer, toUs, { slow }, '1.2.3', 50).then(() => 'ended');
  toPeer.write('{"id":1,"verb":"slow"}\n');
  expect(await served).toBe('ended');
  // Longer than the silence: time at work is no silence.
  expect(done).toEqual(['slow']);
});

test('a long line over a slow one is no silence', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const [toPeer, toUs] = [new PassThrough(), new PassThrough()];
    const got: number[] = [];
    const put = async (text: string) => void got.push(text.length);
    const served = serveSession(toPeer, toUs, { put }, '1.2.3', 30_000);
    const line = `${JSON.stringify({ id: 1, verb: 'put', args: 'x'.repeat(1000) })}\n`;
    for (let at = 0; at < line.length; at += 100) {
      toPeer.write(line.slice(at, at + 100));
      await setImmediate();
      await vi.advanceTimersByTimeAsync(20_000);
    }
    toPeer.end();
    await served;
    expect(got).toEqual([1000]);
  } finally {
    vi.useRealTimers();
  }
});

const goings = [
  { name: 'with words of ours unread', says: undefined },
  { name: 'in the middle of a line', says: '{"id":1,"verb":"re' },
] as const;
test.each(goings)('the serving end of a socket ends in peace when the other one goes $name', async ({ says }) => {
  const folder = mkdtempSync(join(tmpdir(), 'cmsadm-session-'));
  let server: Server | undefined;
  try {
    const served = new Promise<void>((resolve, reject) => {
      server = createServer((socket) => {
        serveSession(socket, socket, {}, '1.2.3').then(resolve, reject);
        socket.on('error', () => socket.destroy());
      }).listen(join(folder, 'socket'));
    });
    const client = connect(join(folder, 'socket'));
    client.on('connect', () => {
      if (says === undefined) setTimeout(() => client.destroy(), 50);
      else client.end(says);
    });
    await expect(served).resolves.toBeUndefined();
  } finally {
    server?.close();
    rmSync(folder, { recursive: true });
  }
});
