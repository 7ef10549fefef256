import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { available, copyIn, readFile, writeFile } from '../../lab/lab.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { buildFixture, licenceFor } from '../features/fixture-packages.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import {
  acd,
  comes,
  data,
  definition,
  dialogue,
  flags,
  here,
  isThere,
  link,
  type PlayedSwitch,
  peerFlags,
  playSwitch,
} from './acds.ts';
import { killedAt, prepareKills, stride } from './kill-at-call.ts';
import {
  argsOf,
  cms1,
  cms2,
  cmsadm,
  objectOf,
  pair,
  type Server,
  setUp,
  sh,
  stopAtFirstFailure,
  told,
  useFreshLab,
} from './kit.ts';
import { openTerminal, type Terminal, tooWide } from './terminal.ts';

const { ok, why } = available();

/** The ports of the played switch: main and survivable, for each server. */
const ports = { cms1: { main: 5101, survivable: 5201 }, cms2: { main: 5102, survivable: 5202 } } as const;

type Question = (typeof dialogue)[number];
const first = dialogue.slice(0, 7);
const last = dialogue.slice(12);
const noPort = ['4999', '5000', '6000', '5001.5', '-5001', 'http'];

/** The questions about one server's link: an answer that is refused, with what is said then, and one that is taken. */
const linkDialogue = (server: Server): readonly Question[] => [
  ...dialogue.slice(7, 11),
  ['TCP port (5001-5999) (default: 5001):', noPort, String(ports[server].main)],
  [
    'Survivable host name or IP address, or none:',
    ['', '10.77.0', '10.77.0.256', '-ess', 'ess..example', '$(reboot)', 'none none', `${here}:5201`],
    here,
  ],
  ['TCP port of the survivable host (5001-5999) (default: 5001):', noPort, String(ports[server].survivable)],
];
const fqdn = { cms1: cms1.fqdn, cms2: cms2.fqdn } as const;
const bothLinks: readonly Question[] = pair.flatMap((server) =>
  linkDialogue(server).map(([text, wrong, right]): Question => [`${fqdn[server]}: ${text}`, wrong, right]),
);
const survivable = bothLinks.filter(([text]) => text.includes('urvivable'));
const menu = 'Enter choice (1-12) or q to quit:';
const proceed = 'Proceed? (y/n, d shows the diffs):';

/** A site's profile whose link watch tries every second instead of every 30. */
async function tryEverySecond(): Promise<void> {
  const { acd: block } = parse(readFileSync(new URL('../../profiles/cms.yaml', import.meta.url), 'utf8'));
  const file = '/etc/cmsadm/profiles/lab.yaml';
  const text = (await readFile('cms1', file)).toString();
  await writeFile('cms1', file, `${text}${stringify({ acd: { ...block, retrySeconds: 1 } })}`);
}

describe.skipIf(!ok)(`Links with two addresses on real servers${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab();
  stopAtFirstFailure();
  const folder = tempFolder();
  let terminal: Terminal;
  beforeAll(async () => {
    await tryEverySecond();
    await prepareKills('cms1');
    await setUp();
    await buildFixture('dual_ip', join(folder, 'dual_ip.zip'));
    await licenceFor(join(folder, 'features.zip'));
    for (const name of ['dual_ip.zip', 'features.zip']) await copyIn('cms1', join(folder, name), `/root/${name}`);
    await sh('cms1', 'cmsadm run_cms --action off --yes');
    terminal = await openTerminal('cms1', 'dual');
  }, 120_000);
  afterAll(() => terminal?.close());

  /** Both servers' link files; empty where there is none. */
  const linksAt = (number: number): Promise<string[]> =>
    Promise.all(pair.map((server) => sh(server, `cat ${link(number)} 2>/dev/null || :`)));
  const dualFlags = { ...peerFlags, 'survivable-host': here, 'peer-survivable-host': here };

  /** What a terminal asks before and between the dual questions. */
  const wires = { transport: 'TCP/IP', 'peer-transport': 'TCP/IP' };
  const allBefore = { ...peerFlags, ...wires, 'disconnect-supervision': 'y', port: '5001' };

  it('asks for no second address until the package is installed', async () => {
    const shown = await cmsadm('cms1', 'acd_create', ...flags(1, 'north', peerFlags), '--json', '--dry-run');
    expect(shown.exitCode, told(shown)).toBe(2);
    await sh('cms1', 'cmsadm pkg_install --package /root/dual_ip.zip --licence-package /root/features.zip --yes');
    await comes('cms2', '/opt/cmsadm-packages/dual_ip/current');
    const missing = await cmsadm('cms1', 'acd_create', ...flags(1, 'north', peerFlags), '--json', '--yes');
    expect(missing.exitCode, told(missing)).toBe(64);
    for (const flag of ['--survivable-host', '--peer-survivable-host'])
      expect(missing.stdout + missing.stderr).toContain(flag);
  }, 60_000);

  it('asks every question of both links again after a wrong answer, and defines the ACD on both servers', async () => {
    await terminal.type('cmsadm');
    await terminal.answer(menu, '1');
    for (const [text, , right] of first) await terminal.answer(text, right);
    for (const [text, wrong, right] of bothLinks) {
      for (const typed of wrong) {
        await terminal.answer(text, typed);
        // What is refused stands in quotes, what was typed does not.
        await terminal.see(typed === '' ? 'Nothing was typed' : JSON.stringify(typed));
      }
      await terminal.answer(text, right);
    }
    for (const [text, , right] of last) await terminal.answer(text, right);
    for (const server of pair)
      await terminal.see(`${fqdn[server]}: TCP port of the survivable host: ${ports[server].survivable}`);
    await terminal.answer(proceed, 'y');
    await terminal.see('Done: define ACD 1 (north).');
    await terminal.answer(menu, 'q');
    expect(await terminal.exitCode()).toBe(0);
    expect(tooWide(await terminal.lines())).toEqual([]);
    await comes('cms2', definition(1));
    expect(await sh('cms2', `cat ${definition(1)}`)).toBe(await sh('cms1', `cat ${definition(1)}`));
    const id = /^id: (\S+)$/m.exec(await sh('cms1', `cat ${definition(1)}`))?.[1] ?? '';
    const links = await linksAt(1);
    for (const [index, server] of pair.entries())
      expect(parse(links[index] ?? '')).toEqual({
        ...{ id, localPort: 1, remotePort: 64, transport: 'TCP/IP', host: here, port: ports[server].main },
        survivable: { host: here, port: ports[server].survivable },
      });
    expect(await sh('cms2', `stat -c '%a %U' ${link(1)}`)).toBe('600 root');
  }, 180_000);

  it.each([...survivable.keys(), survivable.length])(
    'leaves with 130 and nothing changed on Ctrl-C at dual question %i',
    async (at) => {
      const before = await linksAt(1);
      await terminal.type(`cmsadm acd_create ${flags(2, 'south', allBefore).join(' ')}`);
      for (const [text, , right] of survivable.slice(0, at)) await terminal.answer(text, right);
      await terminal.see(survivable[at]?.[0] ?? 'Splits/skills');
      await terminal.press('C-c');
      expect(await terminal.exitCode()).toBe(130);
      for (const server of pair) expect(await isThere(server, definition(2))).toBe(false);
      expect([await linksAt(1), await linksAt(2)]).toEqual([before, ['', '']]);
    },
    60_000,
  );

  it('is scripted, shows without --yes and says what is wrong all at once', async () => {
    const shown = await cmsadm('cms1', 'acd_create', ...flags(2, 'south', dualFlags), '--json');
    expect(shown.exitCode, told(shown)).toBe(2);
    expect(misfits(publishedSchema('acd_create'), objectOf(shown))).toEqual([]);
    const wrong = { 'survivable-host': '10.77.0', 'peer-survivable-port': '6000' };
    expect(await acd('cms1', 'acd_create', flags(2, 'south', { ...dualFlags, ...wrong }), 3)).toMatchObject({
      error: {
        code: 'answers-refused',
        details: [
          expect.stringContaining('--survivable-host: "10.77.0"'),
          expect.stringContaining('--peer-survivable-port: "6000"'),
        ],
      },
    });
    expect(await linksAt(2)).toEqual(['', '']);
    const ess = { 'survivable-port': '5901', 'peer-survivable-host': 'ess.lab.example' };
    expect(await acd('cms1', 'acd_create', flags(2, 'south', { ...dualFlags, ...ess }))).toMatchObject({
      outcome: 'done',
      links: {
        [cms1.fqdn]: { survivable: { host: here, port: 5901 } },
        [cms2.fqdn]: { port: 5002, survivable: { host: 'ess.lab.example', port: 5001 } },
      },
    });
    await comes('cms2', definition(2));
    expect((await linksAt(2))[1]).toContain('survivable:\n  host: ess.lab.example\n  port: 5001');
  }, 60_000);

  it('mixes links with one address and with two on no server', async () => {
    const none = { 'survivable-host': 'none', 'peer-survivable-host': 'none' };
    const single = JSON.stringify(await acd('cms1', 'acd_create', flags(3, 'west', { ...dualFlags, ...none }), 3));
    for (const { fqdn: name } of [cms1, cms2])
      expect(single).toContain(`${name} has links with two addresses: ACD 1 (north), ACD 2 (south)`);
    const theirs = { ...dualFlags, 'peer-survivable-host': 'none' };
    const half = JSON.stringify(await acd('cms1', 'acd_create', flags(3, 'west', theirs), 3));
    expect(half).toContain(`${cms2.fqdn} has links with two addresses`);
    expect(half).not.toContain(`${cms1.fqdn} has links with two addresses`);
    await terminal.type(`cmsadm acd_create ${flags(3, 'west', allBefore).join(' ')}`);
    for (const [text, , right] of survivable) {
      if (text.includes('none')) {
        await terminal.answer(text, 'none');
        await terminal.see('It must not have both kinds.');
      }
      await terminal.answer(text, right);
    }
    await terminal.see('Splits/skills');
    await terminal.press('C-c');
    expect(await terminal.exitCode()).toBe(130);
    expect(await linksAt(3)).toEqual(['', '']);
    // The package stays while a link needs it.
    const removed = await cmsadm('cms1', 'pkg_remove', '--name=dual_ip', '--yes');
    expect(removed.exitCode, told(removed)).not.toBe(0);
    expect(told(removed)).toContain('has a survivable address');
  }, 90_000);

  describe('acd_link change', () => {
    it('asks with what the links are now, and changes both servers’ links, not the data', async () => {
      await sh('cms1', `mkdir -p ${data(1)} && echo one >${data(1)}/calls`);
      const before = await linksAt(1);
      const asked: readonly Question[] = pair.flatMap((server): Question[] => [
        [`${fqdn[server]}: Local port (1-64) (default: 1):`, ['0', '65'], ''],
        [`${fqdn[server]}: Remote port (1-64) (default: 64):`, ['x'], '63'],
        [`${fqdn[server]}: Transport (TCP/IP) (default: TCP/IP):`, ['X.25'], ''],
        [`${fqdn[server]}: Switch host name or IP address (default: ${here}):`, ['10.77.0'], ''],
        [`${fqdn[server]}: TCP port (5001-5999) (default: ${ports[server].main}):`, ['6000'], ''],
        [`${fqdn[server]}: Survivable host name or IP address, or none (default: ${here}):`, ['none', '-'], ''],
        [
          `${fqdn[server]}: TCP port of the survivable host (5001-5999) (default: ${ports[server].survivable}):`,
          ['5000'],
          '5999',
        ],
      ]);
      const through = async (until: number): Promise<void> => {
        await terminal.type('cmsadm acd_link change 1');
        for (const [text, , right] of asked.slice(0, until)) await terminal.answer(text, right);
      };
      for (const at of [5, 13]) {
        await through(at);
        await terminal.see(asked[at]?.[0] ?? '');
        await terminal.press('C-c');
        expect(await terminal.exitCode()).toBe(130);
      }
      await through(asked.length);
      await terminal.answer(proceed, 'n');
      await terminal.see('Nothing was touched.');
      expect(await terminal.exitCode()).toBe(0);
      expect(await linksAt(1)).toEqual(before);
      await terminal.type('cmsadm acd_link change 1');
      for (const [text, wrong, right] of asked) {
        for (const typed of wrong) await terminal.answer(text, typed);
        await terminal.answer(text, right);
      }
      await terminal.answer(proceed, 'y');
      await terminal.see('Done: change the links of ACD 1 (north).');
      expect(await terminal.exitCode()).toBe(0);
      expect(await linksAt(1)).toEqual(
        before.map((text) => text.replace('remotePort: 64', 'remotePort: 63').replace(/port: 52\d\d$/m, 'port: 5999')),
      );
      expect(await sh('cms1', `cat ${data(1)}/calls`)).toBe('one');
    }, 120_000);

    it('is scripted, and leaves the link of a server alone that collects', async () => {
      const shown = await cmsadm('cms1', 'acd_link', 'change', '1', '--survivable-port=5201', '--json', '--dry-run');
      expect(shown.exitCode, told(shown)).toBe(2);
      expect(misfits(publishedSchema('acd_link'), objectOf(shown))).toEqual([]);
      await sh('cms2', 'cmsadm acd_link start 1 --yes');
      const peer = argsOf({ 'peer-survivable-port': '5202', 'peer-remote-port': '64' });
      expect(await acd('cms1', 'acd_link', ['change', '1', ...peer], 3)).toMatchObject({
        error: { code: 'acd-collects', server: cms2.fqdn },
      });
      const own = argsOf({ 'survivable-port': '5201', 'remote-port': '64' });
      expect(await acd('cms1', 'acd_link', ['change', '1', ...own])).toMatchObject({
        outcome: 'done',
        links: { [cms1.fqdn]: { before: { remotePort: 63 }, after: { remotePort: 64, survivable: { port: 5201 } } } },
        files: [{ server: cms1.fqdn, what: 'changed' }],
      });
      await sh('cms2', 'cmsadm acd_link stop 1 --yes && /cms/bin/acd-link release 1');
      expect(await acd('cms1', 'acd_link', ['change', '1', ...peer])).toMatchObject({
        files: [{ server: cms2.fqdn, what: 'changed' }],
        restart: [cms2.fqdn],
      });
      expect(await acd('cms1', 'acd_link', ['change', '1'])).toMatchObject({ outcome: 'nothing' });
      expect(await acd('cms2', 'acd_link', ['change', '1', '--host=10.77.0.2'], 3)).toMatchObject({
        error: { code: 'not-authority' },
      });
      for (const [index, server] of pair.entries())
        expect((await linksAt(1))[index]).toContain(`port: ${ports[server].survivable}`);
    }, 60_000);
  });

  it('killed at any call, a change of both links leaves both as they were or both changed', async () => {
    const both = (port: number) => argsOf({ port: String(port), 'peer-port': String(port) });
    const portOf = (text: string): string => /^port: (\d+)$/m.exec(text)?.[1] ?? 'none';
    await acd('cms1', 'acd_link', ['change', '2', ...both(5301)]);
    const ends = new Set<string>();
    let isKilled = true;
    for (let at = 1; isKilled; at += stride(80, 6)) {
      const [before = ''] = (await linksAt(2)).map(portOf);
      const [wanted] = [5301, 5302].filter((port) => String(port) !== before);
      const killed = await killedAt('cms1', at, 'acd_link', 'change', '2', ...both(wanted ?? 0), '--yes');
      isKilled = killed.exitCode === 137;
      if (!isKilled) expect(killed.exitCode, told(killed)).toBe(0);
      const recovered = await cmsadm('cms1', 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
      const now = (await linksAt(2)).map(portOf);
      expect(new Set(now).size, `${at}, before ${killed.calls.at(-1)}: ${now.join('/')}`).toBe(1);
      ends.add(now[0] === before ? 'as before' : 'changed');
    }
    expect([...ends].sort()).toEqual(['as before', 'changed']);
  }, 180_000);

  describe('the agent’s link watch', () => {
    const { main, survivable: second } = ports.cms1;
    const calls: { open: number; most: number } = { open: 0, most: 0 };
    /** Plays an address of the switch; of calls from cms1, how many are open at once is kept for both of them. */
    const play = (port: number): Promise<PlayedSwitch> =>
      playSwitch(port, (from, change) => {
        if (from !== cms1.address) return;
        calls.open += change;
        calls.most = Math.max(calls.most, calls.open);
      });
    /** The tries of cms1 that left it for each address, as its kernel counts them: also those that nobody answers. */
    const tries = async (): Promise<{ readonly main: number; readonly survivable: number }> => {
      const text = await sh('cms1', 'nft list counters table ip watch');
      const of = (name: string): number =>
        Number(new RegExp(`counter ${name} \\{\\s*packets (\\d+)`).exec(text)?.[1] ?? Number.NaN);
      return { main: of('main'), survivable: of('survivable') };
    };
    const count = `table ip watch {
      counter main { }
      counter survivable { }
      chain out {
        type filter hook output priority 0;
        ip daddr ${here} tcp dport ${main} tcp flags & (syn | ack) == syn counter name main
        ip daddr ${here} tcp dport ${second} tcp flags & (syn | ack) == syn counter name survivable
      }
    }`;
    /** The switch is played while no agent calls it: its callers are those that the kernel of cms1 counts. */
    const startAfresh = async <T>(begin: () => Promise<T>): Promise<T> => {
      await Promise.all(pair.map((server) => sh(server, 'systemctl stop cmsadm-agent')));
      await sh('cms1', `nft delete table ip watch 2>/dev/null\nnft -f - <<'END'\n${count}\nEND`);
      const switches = await begin();
      await Promise.all(pair.map((server) => sh(server, 'systemctl start cmsadm-agent')));
      return switches;
    };
    const watched = async (): Promise<string> => sh('cms1', 'cat /run/cmsadm/acd-links.json 2>/dev/null || :');
    const tells = (text: string): Promise<void> =>
      expect.poll(watched, { timeout: 40_000, interval: 100 }).toContain(`"1":"${here} port ${text}`);
    const survivableTried = async (times: number): Promise<void> => {
      const { survivable: before } = await tries();
      await expect
        .poll(async () => (await tries()).survivable, { timeout: 40_000, interval: 100 })
        .toBeGreaterThanOrEqual(before + times);
    };

    it('goes to the survivable address after five tries at the main one, stays, and back after two', async () => {
      await sh('cms1', 'cmsadm config_pkg --name dual_ip --set return_to_main=no --yes');
      const [ess, theirs] = await startAfresh(() => Promise.all([play(second), play(ports.cms2.survivable)]));
      // While it is not the turn of the survivable address, that is not called.
      await expect.poll(async () => (await tries()).main, { timeout: 40_000, interval: 50 }).toBeGreaterThan(0);
      await tells(`${second} (survivable) answers"`);
      expect((await tries()).main).toBe(5);
      await survivableTried(3);
      // The main address answers again: nobody calls it.
      const cm = await play(main);
      await survivableTried(3);
      expect([(await tries()).main, cm.callers]).toEqual([5, []]);
      await cm.end();
      await ess.end();
      await expect.poll(async () => (await tries()).main, { timeout: 40_000, interval: 50 }).toBeGreaterThan(5);
      expect((await tries()).survivable - ess.callers.length).toBe(2);
      const back = await play(main);
      await tells(`${main} (main) answers"`);
      expect(new Set(back.callers)).toEqual(new Set([cms1.address]));
      const { survivable: left } = await tries();
      expect(left - ess.callers.length).toBe(2);
      await back.end();
      // The other server watches its own link, in the same cycle.
      expect(JSON.stringify(await acd('cms1', 'acd_list', []))).toContain(
        `${here} port ${ports.cms2.survivable} (survivable) answers`,
      );
      expect(new Set(theirs.callers)).toEqual(new Set([cms2.address]));
      await theirs.end();
      expect(calls).toEqual({ open: 0, most: 1 });
    }, 180_000);

    it('returns to the main address as soon as that answers where return_to_main says so, one call at a time', async () => {
      await sh('cms1', 'cmsadm config_pkg --name dual_ip --set return_to_main=yes --yes');
      const ess = await startAfresh(() => play(second));
      await tells(`${second} (survivable) answers"`);
      const before = await tries();
      await survivableTried(3);
      const after = await tries();
      // Every second try looks back.
      expect(Math.abs(after.main - before.main - (after.survivable - before.survivable))).toBeLessThanOrEqual(1);
      await tells(`${second} (survivable) answers"`);
      const cm = await play(main);
      await tells(`${main} (main) answers"`);
      const called = ess.callers.length;
      const { main: told1 } = await tries();
      await expect
        .poll(async () => (await tries()).main, { timeout: 40_000, interval: 100 })
        .toBeGreaterThanOrEqual(told1 + 3);
      expect([ess.callers.length, (await tries()).survivable]).toEqual([called, called]);
      // Here an address answered in every round; the switch of the other server has been silent since.
      const alarms = (server: Server): Promise<string> => sh(server, 'cat /var/lib/cmsadm/alarms.jsonl');
      const silent = 'ACD 1 (north): no address of the switch answers this server.';
      await expect.poll(() => alarms('cms2'), { timeout: 40_000, interval: 500 }).toContain(silent);
      expect(await alarms('cms1')).not.toContain(silent);
      await Promise.all([ess.end(), cm.end()]);
      expect(calls).toEqual({ open: 0, most: 1 });
    }, 120_000);
  });
});
