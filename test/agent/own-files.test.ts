import calls, * as fs from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import type { RunProgram } from '../../src/agent/program.ts';
import { renderOwn } from '../../src/agent/render.ts';
import { callAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { fillIn } from '../../src/pair/template.ts';
import { type Profile, profileSchema } from '../../src/profile/schema.ts';
import { idleAgent, linkNotTo, replaceCalls } from './faults.ts';
import { drained, setState, startAgent, status } from './running-agents.ts';
import {
  cms1,
  cms2,
  kept,
  pairAt,
  placeOf,
  profile,
  savePair,
  tree,
  twoServers,
  verbsOf,
  write,
} from './two-servers.ts';
import { until } from './until.ts';

const link = { from: 'etc/link.conf.in', to: 'etc/link.conf' };
/** `own.conf` belongs to each server, `etc/link.conf` is rendered on each. */
const dataSets: Profile['dataSets'] = v.parse(profileSchema.entries.dataSets, [
  { name: 'admin', path: '/admin', exclude: ['own.conf'], rendered: [link] },
]);
const withAll = { dataSets };
const start = (one: Host, two: Host): void => {
  startAgent(two, one, withAll);
  startAgent(one, two, withAll);
};

function reverse(one: Host, two: Host): void {
  for (const host of [one, two]) savePair(host, pairAt(2, cms2));
}

const template = 'I am the @{role} @{fqdn} (@{address})\npeer = @{peer-fqdn} (@{peer-address})\n';
const rendered = (role: string, self: typeof cms1, peer: typeof cms1): string =>
  `I am the ${role} ${self.fqdn} (${self.address})\npeer = ${peer.fqdn} (${peer.address})\n`;
const read = (host: Host, path: string): string | undefined => tree(host)[path];

describe('a file that belongs to one server', () => {
  function twoWithOwn(): { one: Host; two: Host } {
    const { one, two } = twoServers();
    for (const [host, text] of [
      [one, 'of the first'],
      [two, 'of the second'],
    ] as const) {
      write(host, 'own.conf', text);
      write(host, 'etc/own.conf', `${text}, deeper`);
    }
    write(one, 'shared', 'x');
    write(one, 'etc/link.conf.in', template);
    return { one, two };
  }
  const expectOwn = (one: Host, two: Host): void => {
    expect([read(one, 'own.conf'), read(one, 'etc/own.conf')]).toEqual(['of the first', 'of the first, deeper']);
    expect([read(two, 'own.conf'), read(two, 'etc/own.conf')]).toEqual(['of the second', 'of the second, deeper']);
    for (const host of [one, two]) expect(kept(host).filter(([path]) => path.endsWith('own.conf'))).toEqual([]);
  };

  it('is not copied when the pair meets, by a full pass, nor when it changes', async () => {
    const { one, two } = twoWithOwn();
    start(one, two);
    await drained(one);
    await callAgent(one, 'syncNow');
    expectOwn(one, two);
    write(one, 'own.conf', 'changed on the first');
    write(two, 'etc/own.conf', 'changed on the second');
    write(one, 'shared', 'y');
    await drained(one);
    await callAgent(one, 'syncNow');
    expect([read(two, 'own.conf'), read(one, 'etc/own.conf')]).toEqual(['of the second', 'of the first, deeper']);
    expect([...readAlarms(one.root), ...readAlarms(two.root)]).toEqual([]);
  });

  it('is neither copied nor removed when it is gone on the primary, or its folder is', async () => {
    const { one, two } = twoWithOwn();
    start(one, two);
    await drained(one);
    fs.rmSync(placeOf(one, 'own.conf'));
    fs.rmSync(placeOf(one, 'etc/own.conf'));
    write(one, 'shared', 'y');
    await drained(one);
    expect([read(two, 'own.conf'), read(two, 'etc/own.conf')]).toEqual(['of the second', 'of the second, deeper']);
  });

  it('is not overwritten by a file that is renamed onto its name, nor by a folder', async () => {
    const { one, two } = twoWithOwn();
    start(one, two);
    await drained(one);
    fs.renameSync(placeOf(one, 'shared'), placeOf(one, 'own.conf'));
    fs.rmSync(placeOf(one, 'etc/own.conf'));
    write(one, 'etc/own.conf/below', 'a folder now');
    await drained(one);
    expect(read(two, 'own.conf')).toBe('of the second');
    expect(read(two, 'etc/own.conf')).toBe('of the second, deeper');
    // What became an own file is gone as a shared one.
    expect(read(two, 'shared')).toBeUndefined();
  });

  it('stays on each server over a reversal, in the other direction too', async () => {
    const { one, two } = twoWithOwn();
    start(one, two);
    await drained(one);
    reverse(one, two);
    await drained(two);
    write(two, 'shared', 'from the second');
    await callAgent(two, 'syncNow');
    expect(read(one, 'shared')).toBe('from the second');
    expectOwn(one, two);
  });

  const paths = ['own.conf', 'etc/own.conf', 'etc/link.conf', 'etc/link.conf/below'];
  it.each(paths)('is refused as %s whatever the other server sends', async (path) => {
    const { two } = twoWithOwn();
    const before = tree(two);
    const { verbs } = verbsOf(two, withAll);
    const facts = { path, owner: 'root', group: 'root' };
    const sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    const entries = [
      { type: 'file', ...facts, mode: 0o644, mtimeMs: 1, size: 0, sha256 },
      { type: 'folder', ...facts, mode: 0o755 },
      { type: 'link', ...facts, target: '/etc/passwd' },
    ];
    const puts = entries.map((entry) => ({ kind: 'put', seq: 1, entry, data: '' }));
    const changes = [...puts, { kind: 'remove', seq: 1, path }];
    const refused = expect.objectContaining({ code: 'path-refused' });
    expect(await verbs['agentChanges']?.({ epoch: 1, set: 'admin', changes })).toEqual(changes.map(() => refused));
    const large = { epoch: 1, set: 'admin', entry: entries[0], offset: 0, data: '' };
    for (const seq of [{}, { seq: 1 }])
      await expect(verbs['agentPut']?.({ ...large, ...seq })).rejects.toMatchObject({ code: 'path-refused' });
    const files = [{ ...facts, mode: 0o644, mtimeMs: 1, size: 0, sign: `f${'A'.repeat(22)}` }];
    await expect(verbs['agentTake']?.({ epoch: 1, set: 'admin', files })).rejects.toMatchObject({
      code: 'path-refused',
    });
    expect(tree(two)).toEqual(before);
  });
});

describe('a name that the other server cannot take', () => {
  it('is told by every way to ask, until it is there', async () => {
    const { one, two } = twoServers();
    write(one, 'etc/link.conf.in', template);
    write(one, 'x', 'wanted');
    write(one, 'y', 'another');
    // A folder of the same name, which is not empty: what it holds belongs to that server.
    write(two, 'x/own.conf', 'of the second');
    start(one, two);
    const { state, queue, sets } = await setState(one, 'stopped');
    expect([state, queue, sets[0]?.queue]).toEqual([expect.stringContaining('x: '), 1, 1]);
    expect(read(two, 'y')).toBe('another');
    await expect(callAgent(one, 'syncDrain', { seconds: 5 })).rejects.toMatchObject({ code: 'not-in-step' });
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: false, why: expect.stringContaining('x: ') }]);
    expect(readAlarms(one.root)).toHaveLength(1);
    expect(read(two, 'x/own.conf')).toBe('of the second');
    fs.rmSync(placeOf(two, 'x'), { recursive: true });
    await drained(one);
    expect(read(two, 'x')).toBe('wanted');
    await setState(one, 'in step');
    expect(readAlarms(one.root)).toEqual([]);
  });
});

describe('a rendered file', () => {
  it('is each server’s own, from the one template, and follows a reversal', async () => {
    const { one, two } = twoServers();
    write(one, link.from, template, 0o604);
    start(one, two);
    await drained(one);
    expect(read(one, link.to)).toBe(rendered('primary', cms1, cms2));
    expect(read(two, link.to)).toBe(rendered('secondary', cms2, cms1));
    expect(read(two, link.from)).toBe(template);
    for (const host of [one, two]) expect(fs.statSync(placeOf(host, link.to)).mode & 0o7777).toBe(0o604);
    reverse(one, two);
    await drained(two);
    expect(read(two, link.to)).toBe(rendered('primary', cms2, cms1));
    await until(
      () => read(one, link.to),
      (text) => text === rendered('secondary', cms1, cms2),
    );
    expect([...readAlarms(one.root), ...readAlarms(two.root)]).toEqual([]);
  });

  it('is rendered anew when its template changes, and when its mode does', async () => {
    const { one, two } = twoServers();
    write(one, link.from, 'old @{role}');
    start(one, two);
    await drained(one);
    write(one, link.from, 'new @{role}', 0o600);
    await drained(one);
    expect([read(one, link.to), read(two, link.to)]).toEqual(['new primary', 'new secondary']);
    for (const host of [one, two]) expect(fs.statSync(placeOf(host, link.to)).mode & 0o777).toBe(0o600);
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: true, sent: 0 }]);
  });

  it('keeps what somebody wrote in its place, and replaces a link there instead of writing through it', async () => {
    const { one, two } = twoServers();
    write(one, link.from, '@{role}');
    write(one, link.to, 'by hand');
    fs.writeFileSync(join(two.root.prefix, 'outside'), 'outside');
    fs.mkdirSync(placeOf(two, 'etc'));
    fs.symlinkSync('../../outside', placeOf(two, link.to));
    start(one, two);
    await drained(one);
    expect(kept(one)).toEqual([[link.to, 'by hand']]);
    expect([read(one, link.to), read(two, link.to)]).toEqual(['primary', 'secondary']);
    expect(fs.readFileSync(join(two.root.prefix, 'outside'), 'utf8')).toBe('outside');
  });

  /** Renders over a file of somebody's, who saves it again when the calls that are replaced say so; both are kept. */
  function expectKept(replaced: (save: () => void) => Parameters<typeof replaceCalls>[0]): void {
    const { one } = twoServers();
    write(one, 'etc/link.conf.in', template);
    write(one, 'etc/link.conf', 'first');
    const agent = idleAgent(one, { ...profile, ...withAll });
    const live = agent.sets.get('admin');
    if (!live) throw new Error('no such data set');
    replaceCalls(
      replaced(() => {
        write(one, 'etc/new', 'saved meanwhile');
        fs.renameSync(placeOf(one, 'etc/new'), placeOf(one, 'etc/link.conf'));
      }),
    );
    renderOwn(agent, live);
    expect(read(one, 'etc/link.conf')).toBe(rendered('primary', cms1, cms2));
    expect(kept(one).map(([, text]) => text)).toEqual(['first', 'saved meanwhile']);
  }

  it('keeps also what somebody saves while the copy is on its way to the disk', () => {
    const { fsyncSync } = calls;
    let syncs = 0;
    expectKept((save) => ({
      fsyncSync: (handle) => {
        fsyncSync(handle);
        // After the new file, the folder of the copy.
        if (syncs++ === 1) save();
      },
    }));
  });

  it('keeps also what somebody saves while the copy is made, where that is on another file system', () => {
    const { copyFileSync } = calls;
    let copies = 0;
    expectKept((save) => ({
      linkSync: linkNotTo(/\/kept\//),
      copyFileSync: (from, to) => {
        copyFileSync(from, to);
        if (copies++ === 0) save();
      },
    }));
  });

  it('is told where its template asks for what is not known, stays as it was, and is made good', async () => {
    const { one, two } = twoServers();
    write(one, link.from, 'good @{role}');
    start(one, two);
    await drained(one);
    write(one, link.from, 'bad @{rule} @{role');
    const stopped = await setState(one, 'stopped');
    expect(stopped.sets[0]?.why).toContain('"@{rule}", "@{role".');
    expect(stopped.state).not.toBe('in step');
    expect(readAlarms(one.root)).toHaveLength(1);
    await expect(callAgent(one, 'syncDrain', { seconds: 5 })).rejects.toMatchObject({ code: 'not-in-step' });
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: false }]);
    expect([read(one, link.to), read(two, link.to)]).toEqual(['good primary', 'good secondary']);
    write(one, link.from, 'better @{role}');
    await drained(one);
    expect([read(one, link.to), read(two, link.to)]).toEqual(['better primary', 'better secondary']);
    await setState(one, 'in step');
    for (const host of [one, two]) expect(readAlarms(host.root)).toEqual([]);
  });

  it('is followed by the programs of its set on each server that rendered, on both after a reversal', async () => {
    const { one, two } = twoServers();
    const ran: string[] = [];
    let broken = false;
    const apply = { check: ['/bin/check'], run: ['/bin/reload'], seconds: 60 };
    const applied = { dataSets: v.parse(profileSchema.entries.dataSets, [{ ...dataSets[0], apply }]) };
    const runs =
      (host: Host): RunProgram =>
      async ([program]) => {
        ran.push(`${program} of ${read(host, link.to)}`);
        return { stdout: '', stderr: 'line 3', exitCode: broken && program === '/bin/check' ? 1 : 0 };
      };
    write(one, link.from, `@{address} @{role}`);
    startAgent(two, one, applied, runs(two));
    startAgent(one, two, applied, runs(one));
    await drained(one);
    const both = (one: string, two: string) =>
      [`${cms1.address} ${one}`, `${cms2.address} ${two}`].flatMap((text) => [
        `/bin/check of ${text}`,
        `/bin/reload of ${text}`,
      ]);
    expect([...ran].sort()).toEqual(both('primary', 'secondary').sort());
    ran.length = 0;
    reverse(one, two);
    await drained(two);
    await until(
      () => [...ran].sort(),
      (all) => all.join() === both('secondary', 'primary').sort().join(),
    );
    broken = true;
    write(two, link.from, `@{address}  @{role}`);
    const stopped = await setState(two, 'stopped');
    expect(stopped.sets[0]?.why).toContain('"/bin/check" failed with 1');
    broken = false;
    await setState(two, 'in step');
    for (const host of [one, two]) expect(readAlarms(host.root)).toEqual([]);
  });

  it('is followed by the programs of its set on a server that takes over while the other one is dead', async () => {
    const { one, two } = twoServers();
    const ran: (string | undefined)[] = [];
    const apply = { run: ['/bin/reload'], seconds: 60 };
    const applied = { dataSets: v.parse(profileSchema.entries.dataSets, [{ ...dataSets[0], apply }]) };
    const run: RunProgram = async () => {
      ran.push(read(two, link.to));
      return { stdout: '', stderr: '', exitCode: 0 };
    };
    write(one, link.from, '@{role}');
    startAgent(two, one, applied, run);
    const stopOne = startAgent(one, two, applied);
    await drained(one);
    await stopOne();
    expect(ran).toEqual(['secondary']);
    savePair(two, pairAt(2, cms2));
    await until(
      () => ran,
      (all) => all.length > 1,
    );
    expect(ran).toEqual(['secondary', 'primary']);
  });

  it('stays told while its program fails on a server that took over from a dead one', async () => {
    const { one, two } = twoServers();
    const apply = { run: ['/bin/reload'], seconds: 60 };
    const applied = { dataSets: v.parse(profileSchema.entries.dataSets, [{ ...dataSets[0], apply }]) };
    let isBroken = false;
    let failures = 0;
    const run: RunProgram = async () => {
      if (isBroken) failures += 1;
      return { stdout: '', stderr: 'no such file', exitCode: isBroken ? 1 : 0 };
    };
    const lines: string[] = [];
    write(one, link.from, '@{role}');
    startAgent(two, one, applied, run, { retry: 20 }, undefined, (line) => void lines.push(line));
    const stopOne = startAgent(one, two, applied);
    await drained(one);
    await stopOne();
    isBroken = true;
    savePair(two, pairAt(2, cms2));
    await until(
      () => failures,
      (count) => count > 3,
    );
    expect(lines.filter((line) => line.startsWith('event sync-stopped'))).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith('event sync-recovered'))).toEqual([]);
    isBroken = false;
    await until(
      () => readAlarms(two.root),
      (alarms) => alarms.length === 0,
    );
  });

  it('is told where only the other server cannot render it', async () => {
    const { one, two } = twoServers();
    write(one, link.from, '@{role}');
    write(two, `${link.to}/in-the-way`, 'x');
    start(one, two);
    const { sets } = await setState(one, 'stopped');
    expect(sets[0]?.why).toContain('a folder stands there');
    fs.rmSync(placeOf(two, link.to), { recursive: true });
    await drained(one);
    expect(read(two, link.to)).toBe('secondary');
    await setState(two, 'in step');
    expect([...readAlarms(one.root), ...readAlarms(two.root)]).toEqual([]);
  });

  it('is told where its template is missing', async () => {
    const { one, two } = twoServers();
    start(one, two);
    const { sets } = await setState(one, 'stopped');
    expect(sets[0]?.why).toContain('etc/link.conf.in of the data set admin is not there');
    expect((await status(two)).sets[0]?.state).toBe('in step');
  });

  it('fills in every byte as it is', () => {
    const words = { role: 'r', address: 'a', fqdn: 'f', 'peer-address': 'pa', 'peer-fqdn': 'pf' };
    const text = '\xff@{role}\0@{peer-fqdn}$& @role {fqdn} @ { }\r\n';
    expect(fillIn(text, words, 't')).toBe('\xffr\0pf$& @role {fqdn} @ { }\r\n');
    for (const bad of ['@{}', '@{ role}', '@{Role}', '@{toString}', '@{role\n}'])
      expect(() => fillIn(bad, words, 't')).toThrowError(expect.objectContaining({ code: 'template-refused' }));
  });
});

describe('the rows of what is rendered', () => {
  const cases: [what: string, rows: unknown][] = [
    ['a way out', [{ from: 'a', to: '../a' }]],
    ['a dot', [{ from: './a', to: 'b' }]],
    ['an absolute path', [{ from: '/a', to: 'b' }]],
    ['a result that is its template', [{ from: 'a', to: 'a' }]],
    ['a result above a template', [{ from: 'd/a', to: 'd' }]],
    [
      'a result twice',
      [
        { from: 'a', to: 'b' },
        { from: 'c', to: 'b' },
      ],
    ],
    ['nothing', []],
  ];
  it.each(cases)('refuse %s', (_what, rendered) => {
    const set = { name: 'admin', path: '/admin', rendered };
    expect(v.safeParse(profileSchema.entries.dataSets, [set]).success).toBe(false);
    expect(v.safeParse(profileSchema.entries.dataSets, [{ ...set, rendered: [link] }]).success).toBe(true);
  });
});
