import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drain, fill } from '../../lab/disk.ts';
import { available, copyIn } from '../../lab/lab.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { buildFixture, licenceFor } from '../features/fixture-packages.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { acd, comes, data, definition, dialogue, flags, here, isThere, link, peerFlags, playSwitch } from './acds.ts';
import { killedAt, prepareKills, stride } from './kill-at-call.ts';
import {
  argsOf,
  cms1,
  cms2,
  cmsadm,
  configHa,
  objectOf,
  pair,
  type Server,
  sh,
  stopAtFirstFailure,
  told,
  useFreshLab,
} from './kit.ts';
import { openTerminal, type Terminal, tooWide } from './terminal.ts';

const { ok, why } = available();

const question = {
  menu: 'Enter choice (1-12) or q to quit:',
  proceed: 'Proceed? (y/n, d shows the diffs):',
  remove: 'ACD number (1, 2), q leaves:',
  name: 'Type the name of the ACD to remove it:',
} as const;

describe.skipIf(!ok)(`ACDs on real servers${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab({ diskMb: 900 });
  stopAtFirstFailure();
  const folder = tempFolder();
  let terminal: Terminal;
  beforeAll(async () => {
    await prepareKills('cms1');
    terminal = await openTerminal('cms1', 'acd');
  });
  afterAll(() => terminal.close());

  it('refuses to define one while CMS is on', async () => {
    const refused = await acd('cms1', 'acd_create', flags(1, 'north'), 3);
    expect(refused).toMatchObject({ error: { code: 'application-on' } });
    await sh('cms1', 'cmsadm run_cms --action off --yes');
  });

  it('says at every question why it refuses an answer, shows the summary, and leaves all as it was on n', async () => {
    await terminal.type('cmsadm');
    await terminal.answer(question.menu, '1');
    for (const [text, wrong, right] of dialogue) {
      for (const typed of wrong) await terminal.answer(text, typed);
      await terminal.answer(text, right);
    }
    await terminal.see('VDNs: 2000');
    await terminal.see('may not be restorable');
    await terminal.answer(question.proceed, 'yes');
    await terminal.see('"yes" is none of y, n, d.');
    await terminal.answer(question.proceed, 'd');
    await terminal.see('+name: north');
    await terminal.answer(question.proceed, 'n');
    await terminal.see('Nothing was touched.');
    await terminal.answer(question.menu, '1');
    await terminal.answer(dialogue[0]?.[0] ?? '', 'q');
    await terminal.see('Nothing was touched.');
    expect(await isThere('cms1', '/cms/admin/acd')).toBe(false);
    // Each refusal stands on the screen, with what was typed.
    const shown = (await terminal.lines()).join('\n');
    for (const text of [
      '"9.x" is not accepted. Type one of 7.x, 8.x, 10.x.',
      '"65" is not accepted. Type a number from 1 to 64.',
      '"10.77.0": no host name',
    ])
      expect(shown).toContain(text);
  }, 120_000);

  it('defines it after y', async () => {
    await terminal.answer(question.menu, '1');
    for (const [text, , right] of dialogue) await terminal.answer(text, right);
    await terminal.answer(question.proceed, 'y');
    await terminal.see('Done: define ACD 1 (north).');
    await terminal.answer(question.menu, 'q');
    expect(await terminal.exitCode()).toBe(0);
    expect(await sh('cms1', `cat ${definition(1)}`)).toMatch(/name: north\n[\s\S]*master: true\n[\s\S]*agents: 300/);
    expect(await sh('cms1', `cat ${link(1)}`)).toMatch(/remotePort: 64\n[\s\S]*host: 10\.77\.0\.1\nport: 5001/);
  }, 60_000);

  it.each([...dialogue.keys(), dialogue.length])(
    'leaves with 130 and nothing done on Ctrl-C at question %i',
    async (at) => {
      await terminal.type('cmsadm acd_create');
      // The lowest free number is another one now.
      const questions = dialogue.map(([text, , right]) => [text.replace(/^ACD (.*)1\):/, 'ACD $12):'), right] as const);
      for (const [text, right] of questions.slice(0, at)) await terminal.answer(text, right);
      await terminal.see((at < questions.length ? questions[at]?.[0] : question.proceed) ?? '');
      await terminal.press('C-c');
      expect(await terminal.exitCode()).toBe(130);
      expect(await isThere('cms1', definition(2))).toBe(false);
      expect(await isThere('cms1', link(2))).toBe(false);
    },
    60_000,
  );

  it('is scripted by flags and by an answers file, tells all that is missing, and only shows without --yes', async () => {
    const missing = await cmsadm('cms1', 'acd_create');
    expect(missing.exitCode, told(missing)).toBe(64);
    for (const flag of ['--acd', '--switch-name', '--host', '--split-members'])
      expect(missing.stderr + missing.stdout).toContain(flag);
    const shown = await cmsadm('cms1', 'acd_create', ...flags(2, 'south'), '--json');
    expect(shown.exitCode, told(shown)).toBe(2);
    expect(misfits(publishedSchema('acd_create'), objectOf(shown))).toEqual([]);
    expect(await isThere('cms1', definition(2))).toBe(false);
    const lines = flags(2, 'south').map((flag) => flag.replace(/^--([^=]+)=(.*)$/, '$1: "$2"'));
    await sh('cms1', `cat >/root/south.yaml <<'END'\n${lines.join('\n')}\nEND`);
    expect(await acd('cms1', 'acd_create', ['--answers', '/root/south.yaml'])).toMatchObject({
      outcome: 'done',
      definition: { name: 'south', master: false },
    });
    expect(await acd('cms1', 'acd_list', [])).toMatchObject({ acds: [{ number: 1 }, { number: 2, name: 'south' }] });
  });

  it('calls the switch, and says so where nobody answers, its clock is a day off, or both addresses do', async () => {
    expect(await acd('cms1', 'acd_check', [], 5)).toMatchObject({ error: { code: 'acd-link-faulty' } });
    const main = await playSwitch(5001);
    expect(await acd('cms1', 'acd_check', [])).toMatchObject({ outcome: 'good', faults: [] });
    expect(main.callers).toContain(cms1.address);
    await sh('cms1', 'echo 90000 >/cms/data/acd-stand-in/1.clock-offset');
    expect(JSON.stringify(await acd('cms1', 'acd_check', ['--acd', '1'], 5))).toContain(
      'over 24 hours the link is refused',
    );
    expect(await acd('cms1', 'acd_link', ['start', '1'], 3)).toMatchObject({ error: { code: 'clock-differs' } });
    await acd('cms1', 'acd_link', ['busy', '1']);
    expect(await acd('cms1', 'acd_link', ['release', '1'], 3)).toMatchObject({ error: { code: 'clock-differs' } });
    await sh('cms1', 'rm /cms/data/acd-stand-in/1.clock-offset');
    expect(await acd('cms1', 'acd_link', ['release', '1'])).toMatchObject({ after: { link: 'down' } });
    const second = await playSwitch(5009);
    await sh('cms1', `cp ${link(1)} /root/link; printf 'survivable:\\n  host: ${here}\\n  port: 5009\\n' >>${link(1)}`);
    expect(JSON.stringify(await acd('cms1', 'acd_check', ['--acd', '1'], 5))).toContain('only one may be active');
    await main.end();
    expect(await acd('cms1', 'acd_check', ['--acd', '1'])).toMatchObject({ outcome: 'good' });
    await second.end();
    await sh('cms1', `cp /root/link ${link(1)}`);
  }, 60_000);

  it('starts, stops, busies out and releases a link, at a terminal and by script', async () => {
    await terminal.type('cmsadm acd_link');
    const what = 'What to do with which link (start, stop, busy, release or change, and the number):';
    for (const typed of ['', 'start', 'start 9', 'begin 1', 'start;1']) await terminal.answer(what, typed);
    await terminal.answer(what, 'start 2');
    await terminal.answer('Proceed? (y/n):', 'y');
    expect(await terminal.exitCode()).toBe(0);
    expect(await sh('cms1', '/cms/bin/acd-link state 2')).toBe('collection=on\nlink=up');
    expect(await acd('cms1', 'acd_link', ['start', '2'])).toMatchObject({ outcome: 'nothing' });
    expect(await acd('cms1', 'acd_link', ['busy', '2'])).toMatchObject({ after: { link: 'busy' } });
    expect(await acd('cms1', 'acd_link', ['release', '2'])).toMatchObject({ after: { link: 'up' } });
    expect(await acd('cms1', 'acd_remove', ['--acd=2', '--name=south'], 3)).toMatchObject({
      error: { code: 'answers-refused' },
    });
    expect(await acd('cms1', 'acd_link', ['stop', '2'])).toMatchObject({ after: { collection: 'off' } });
    expect(await sh('cms1', `cat ${data(2)}/calls`)).toContain('collecting since');
    const shown = await configHa('cms1', ['show']);
    expect(JSON.stringify(shown)).toContain('ACD 2 (south): data collection off');
  }, 60_000);

  const access = 'users:\n  anna: { acd: 2 } # night\n  dora: { acd: 2, tenant: only }\ntenants:\n  only: [2]\n';

  it('shows all that goes at the menu, wants the name typed, and does nothing on n', async () => {
    await sh('cms1', `cat >/cms/admin/acd/access.yaml <<'END'\n${access}END`);
    await terminal.type('cmsadm');
    await terminal.answer(question.menu, '2');
    for (const typed of ['0', '3', '']) {
      await terminal.answer(question.remove, typed);
      await terminal.see('There is no ACD');
    }
    await terminal.answer(question.remove, '1');
    await terminal.see('is the master ACD');
    await terminal.answer(question.remove, '2');
    for (const typed of ['South', '2', 'y']) {
      await terminal.answer(question.name, typed);
      await terminal.see('is not the name of ACD 2.');
    }
    await terminal.answer(question.name, '');
    await terminal.see('Nothing was touched.');
    await terminal.answer(question.menu, '2');
    await terminal.answer(question.remove, '2');
    await terminal.answer(question.name, 'south');
    for (const text of [
      `${data(2)} with`,
      'User anna goes to ACD 1',
      'Tenant only has no ACD left',
      'keep their numbers',
    ])
      await terminal.see(text);
    await terminal.answer(question.proceed, 'n');
    await terminal.see('Nothing was touched.');
    await terminal.answer(question.menu, 'q');
    expect(await terminal.exitCode()).toBe(0);
    expect(await isThere('cms1', definition(2))).toBe(true);
    expect(await sh('cms1', 'cat /cms/admin/acd/access.yaml')).toBe(access.trimEnd());
    expect(tooWide(await terminal.lines())).toEqual([]);
  }, 60_000);

  /** All of ACD 2, or nothing: definition, link and data. */
  const standsOf = async (server: Server, number = 2): Promise<string> =>
    (await Promise.all([definition(number), link(number), data(number)].map((path) => isThere(server, path)))).join(
      '/',
    );

  it('killed at any call, a removal and a definition leave all or nothing, at the latest after recover', async () => {
    const remove = ['--acd=2', '--name=south', '--yes'];
    const whole = await killedAt('cms1', Number.MAX_SAFE_INTEGER, 'acd_remove', ...remove);
    expect(whole.exitCode, told(whole)).toBe(0);
    expect(await standsOf('cms1')).toBe('false/false/false');
    const archives = await sh('cms1', 'ls /var/lib/cmsadm/own/acd/archive');
    const id = archives.trim().replace('.tar', '');
    await acd('cms1', 'acd_create', [`--from-archive=${id}`]);
    expect(await standsOf('cms1')).toBe('true/true/true');
    expect(await sh('cms1', `cat ${data(2)}/calls`)).toContain('collecting since');
    const ends = new Set<string>();
    for (let at = 1; at <= whole.calls.length; at += stride(whole.calls.length, 10)) {
      const isDefined = (await standsOf('cms1')) === 'true/true/true';
      const last = (await sh('cms1', 'ls -t /var/lib/cmsadm/own/acd/archive | head -n 1')).trim().replace('.tar', '');
      const killed = isDefined
        ? await killedAt('cms1', at, 'acd_remove', ...remove)
        : await killedAt('cms1', at, 'acd_create', `--from-archive=${last}`, '--yes');
      expect([0, 137], `${at}: ${told(killed)}`).toContain(killed.exitCode);
      const recovered = await cmsadm('cms1', 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
      const now = await standsOf('cms1');
      expect(now, `killed before ${killed.calls.at(-1)}`).toMatch(/^(true\/true\/true|false\/false\/false)$/);
      ends.add(`${isDefined} ${now}`);
    }
    expect(ends.size, [...ends].join('; ')).toBe(4);
    const last = (await sh('cms1', 'ls -t /var/lib/cmsadm/own/acd/archive | head -n 1')).trim().replace('.tar', '');
    if ((await standsOf('cms1')) !== 'true/true/true') await acd('cms1', 'acd_create', [`--from-archive=${last}`]);
  }, 280_000);

  it('on a full disk does nothing, or is made good once there is room', async () => {
    for (const free of [0, 40]) {
      await fill('cms1', free);
      const full = await cmsadm('cms1', 'acd_remove', '--acd=2', '--name=south', '--yes');
      await drain('cms1');
      const recovered = await cmsadm('cms1', 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
      const now = await standsOf('cms1');
      expect(now, told(full)).toMatch(/^(true\/true\/true|false\/false\/false)$/);
      const last = (await sh('cms1', 'ls -t /var/lib/cmsadm/own/acd/archive | head -n 1')).trim().replace('.tar', '');
      if (now !== 'true/true/true') await acd('cms1', 'acd_create', [`--from-archive=${last}`]);
    }
  }, 120_000);

  it('tells the ACDs at the end of set up, and gives one its link on the new secondary', async () => {
    const { rightAnswers } = await import('./kit.ts');
    const said = await cmsadm('cms1', 'config_HA', 'setup', ...argsOf(await rightAnswers()), '--yes');
    expect(said.exitCode, told(said)).toBe(0);
    expect(said.stdout).toContain('ACD 1 (north): data collection off');
    await comes('cms2', definition(1));
    expect(JSON.stringify(await acd('cms1', 'acd_check', ['--acd=1'], 5))).toContain(
      `${cms2.fqdn}: ACD 1: this server has no link to it`,
    );
    for (const number of [1, 2]) await acd('cms1', 'acd_create', argsOf({ acd: String(number), ...peerFlags }));
    expect(await sh('cms2', `cat ${link(1)}`)).toContain('port: 5002');
  }, 120_000);

  it('is on the secondary at once, with that server’s own link, which a reversal does not touch', async () => {
    const began = Date.now();
    await acd('cms1', 'acd_create', flags(3, 'west', peerFlags));
    await comes('cms2', definition(3));
    expect(Date.now() - began).toBeLessThan(10_000);
    const links = await Promise.all(pair.map((server) => sh(server, `cat ${link(3)}`)));
    expect(links[0]).toContain('port: 5001');
    expect(links[1]).toContain('port: 5002');
    const [one, two] = [await playSwitch(5001), await playSwitch(5002)];
    expect(await acd('cms1', 'acd_check', ['--acd=3'])).toMatchObject({ outcome: 'good' });
    expect([...new Set(one.callers), ...new Set(two.callers)]).toEqual([cms1.address, cms2.address]);
    await configHa('cms1', ['reverse']);
    expect(await Promise.all(pair.map((server) => sh(server, `cat ${link(3)}`)))).toEqual(links);
    await configHa('cms2', ['reverse']);
    await Promise.all([one.end(), two.end()]);
  }, 120_000);

  it('has its link watched by the agent of each server, which the list tells', async () => {
    const watched = async (): Promise<string> => JSON.stringify(await acd('cms1', 'acd_list', []));
    const main = await playSwitch(5001);
    // The next round comes within 30 s; test/lab/dual-ip.test.ts has shorter ones.
    await expect.poll(watched, { timeout: 40_000, interval: 1000 }).toContain(`"watched":"${here} port 5001 answers"`);
    await expect
      .poll(watched, { timeout: 40_000, interval: 1000 })
      .toContain(`"watched":"${here} port 5002 is tried, `);
    await main.end();
  }, 100_000);

  it('is refused on the secondary, naming the primary', async () => {
    for (const [command, args] of [
      ['acd_create', flags(4, 'east', peerFlags)],
      ['acd_remove', ['--acd=3', '--name=west']],
    ] as const) {
      const refused = await acd('cms2', command, args, 3);
      expect(refused).toMatchObject({ error: { code: 'not-authority' } });
      expect(JSON.stringify(refused)).toContain(cms1.fqdn);
    }
  });

  it('has data collection of each server apart, and its state of both shown', async () => {
    expect(await acd('cms2', 'acd_link', ['start', '3'])).toMatchObject({ after: { collection: 'on' } });
    const listed = JSON.stringify(await acd('cms1', 'acd_list', []));
    expect(listed).toContain('"collection":"on"');
    const refused = await acd('cms1', 'acd_remove', ['--acd=3', '--name=west'], 3);
    expect(JSON.stringify(refused)).toContain(`collects data on ${cms2.fqdn}`);
    await acd('cms2', 'acd_link', ['stop', '3']);
  });

  it('is removed on both servers, each with an archive of its own', async () => {
    const removed = await acd('cms1', 'acd_remove', ['--acd=3', '--name=west']);
    const archive = /"archive":"([^"]+)"/.exec(JSON.stringify(removed))?.[1] ?? '';
    await comes('cms2', definition(3), false);
    await comes('cms2', archive);
    await comes('cms2', link(3), false);
    expect(await standsOf('cms2', 3)).toBe('false/false/false');
    expect(await sh('cms2', `tar -tf ${archive}`)).toContain('cms/data/acd/3/calls');
    const id = archive.replace(/^.*\/|\.tar$/g, '');
    await acd('cms1', 'acd_create', [`--from-archive=${id}`]);
    await comes('cms2', `${data(3)}/calls`);
    expect(await sh('cms2', `cat ${link(3)}`)).toContain('port: 5002');
  }, 60_000);

  it('killed at any call, a definition leaves the link on both servers or on none', async () => {
    const create = [...flags(4, 'east', peerFlags), '--yes'];
    const ends = new Set<string>();
    let isKilled = true;
    for (let at = 1; isKilled; at += stride(80, 6)) {
      const killed = await killedAt('cms1', at, 'acd_create', ...create);
      isKilled = killed.exitCode === 137;
      const recovered = await cmsadm('cms1', 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
      const now = [
        await isThere('cms1', definition(4)),
        await isThere('cms1', link(4)),
        await isThere('cms2', link(4)),
      ];
      expect(new Set(now).size, `${at}, before ${killed.calls.at(-1)}: ${now.join('/')}`).toBe(1);
      ends.add(String(now[0]));
      if (now[0] !== true) continue;
      await acd('cms1', 'acd_remove', ['--acd=4', '--name=east']);
      await comes('cms2', link(4), false);
    }
    expect(ends.size).toBe(2);
  }, 280_000);

  it('with the Dual IP package asks for the second address, and mixes both kinds on no server', async () => {
    await buildFixture('dual_ip', join(folder, 'dual_ip.zip'));
    await licenceFor(join(folder, 'features.zip'));
    for (const name of ['dual_ip.zip', 'features.zip']) await copyIn('cms1', join(folder, name), `/root/${name}`);
    await sh('cms1', 'cmsadm pkg_install --package /root/dual_ip.zip --licence-package /root/features.zip --yes');
    const dual = { ...peerFlags, 'survivable-host': here, 'peer-survivable-host': here };
    const mixed = JSON.stringify(await acd('cms1', 'acd_create', flags(4, 'east', dual), 3));
    expect(mixed).toContain('links with one address: ACD 1 (north)');
    expect(mixed).toContain(`${cms2.fqdn} has links with one address`);
    await terminal.type('cmsadm acd_create --acd 4');
    for (const [text, , right] of dialogue.slice(1, 7)) await terminal.answer(text, right);
    for (const [text, , right] of dialogue.slice(7, 12)) await terminal.answer(`${cms1.fqdn}: ${text}`, right);
    await terminal.answer(`${cms1.fqdn}: Survivable host name or IP address, or none (default: none):`, here);
    await terminal.see('It must not have both kinds.');
    await terminal.press('C-c');
    expect(await terminal.exitCode()).toBe(130);
    expect(await isThere('cms1', definition(4))).toBe(false);
  }, 120_000);
});
