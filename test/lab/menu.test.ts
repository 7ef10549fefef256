import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { available, exec } from '../../lab/lab.ts';
import { labPackages } from '../../lab/product.ts';
import { passwords } from '../../lab/servers.ts';
import { contactParameters, disableParameters, setupParameters, tagParameter } from '../../src/commands/parameters.ts';
import { operations } from '../../src/operations.ts';
import { options } from '../../src/options.ts';
import { cms1, cms2, cmsadm, configHa, sh, stopAtFirstFailure, told, useFreshLab } from './kit.ts';
import { changedFiles, differences, expectUntouched, filesOf, standingOfBoth } from './standing.ts';
import { openTerminal, type Terminal, tooWide } from './terminal.ts';

const { ok, why } = available();
const commands = [
  ...['acd_create', 'acd_remove', 'backup', 'pkg_install', 'pkg_remove', 'run_pkg', 'run_ids', 'run_cms'],
  ...['passwd_age', 'dbaccess', 'config_pkg'],
];

const preset = (text: string, value: string): string => `${text} (default: ${value}):`;
/** Of option 12: the operations, and admin-sync behind them. */
const entries = operations.length + 1;
const question = {
  menu: 'Enter choice (1-12) or q to quit:',
  ha: `Enter choice (1-${entries}) or q to quit:`,
  ntp: `${setupParameters.ntpServer.question}:`,
  address: `${setupParameters.secondaryIp.question}:`,
  fqdn: `${setupParameters.secondaryFqdn.question}:`,
  licence: `${setupParameters.licencePackage.question}:`,
  haPackage: `${setupParameters.haPackage.question}:`,
  user: preset(contactParameters.peerUser.question, 'root'),
  port: preset(contactParameters.sshPort.question, '22'),
  key: `${contactParameters.peerKey.question}:`,
  hostKey: 'Accept this host key? (y/n):',
  password: `Password of operator on ${cms2.address}:`,
  proceed: 'Proceed? (y/n, d shows the diffs):',
  tag: `${tagParameter.question}:`,
  end: `${disableParameters.peer.question}:`,
} as const;

/** Against the variant whose cms2 lets no root in: set up has to open the way itself. */
describe.skipIf(!ok)(`the menu at a real terminal${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab({ variant: 'no-root' });
  stopAtFirstFailure();
  let terminal: Terminal;
  beforeAll(async () => {
    terminal = await openTerminal('cms1', 'menu');
  });
  afterAll(() => terminal.close());

  const logOf = async () => (await sh('cms1', 'cat /var/log/cmsadm/admin.log')).split('\n');

  /** The five questions, rightly answered, from the menu on. */
  const answerSetUp = async () => {
    await terminal.answer(question.menu, '12');
    await terminal.answer(question.ha, '1');
    await terminal.answer(question.ntp, '');
    await terminal.answer(question.address, cms2.address);
    await terminal.answer(question.fqdn, cms2.fqdn);
    await terminal.answer(question.licence, labPackages.licence);
    await terminal.answer(question.haPackage, labPackages.haPackage);
  };
  const answerContact = async () => {
    await terminal.answer(question.user, 'operator');
    await terminal.answer(question.port, '');
    await terminal.answer(question.key, '');
  };

  it('draws its title and the twelve options', async () => {
    await terminal.type('cmsadm');
    await terminal.see(question.menu);
    const shown = (await terminal.lines()).join('\n');
    for (const [index, command] of [...commands, 'config_HA'].entries())
      expect(shown).toMatch(new RegExp(`^ ?${index + 1}\\) ${command} +\\S`, 'm'));
  });

  it.each(['2abc', '0', '13', '-1', ' 1 2', ''])('says why "%s" is no choice, and asks again', async (typed) => {
    await terminal.answer(question.menu, typed);
    await terminal.see('type a number from 1 to 12, or q to quit.');
  });

  it('says of an option that this version does not have it, and returns', async () => {
    for (const [index, command] of commands.entries()) {
      if (options.some((one) => one.command === command)) continue;
      await terminal.answer(question.menu, String(index + 1));
      await terminal.see(`This version does not have ${command} yet.`);
    }
  });

  it('says why it refuses an answer, asks again, and leaves both servers as they are after n at the host key', async () => {
    const before = await standingOfBoth();
    const refusals = {
      address: [
        [cms1.address, `${cms1.address} is this server itself.`],
        ['fe80::1', 'link-local'],
        ['$(reboot)', '"$(reboot)" is no IP address.'],
        ['-oProxyCommand=x', 'without a jump host'],
        ['10.77.0.1;id', 'is no IP address.'],
        ['', 'is no IP address.'],
      ],
      fqdn: [
        ['cms2', '"cms2" has no domain.'],
        [cms1.fqdn.toUpperCase(), 'is this server itself.'],
        ['cms2.lab.example"; id', 'is no host name.'],
      ],
      licence: [
        ['licence.zip', 'is no full path.'],
        ['/root/absent.zip', 'cannot be read.'],
        ['/root', 'is no file.'],
        [labPackages.haPackage, 'licence'],
      ],
      haPackage: [
        ['/root/$(id).zip', 'cannot be read.'],
        [labPackages.licence, 'package'],
      ],
    } as const;
    await terminal.answer(question.menu, '12');
    await terminal.answer(question.ha, `${entries + 1}`);
    await terminal.see(`type a number from 1 to ${entries}, or q to quit.`);
    await terminal.answer(question.ha, '1');
    await terminal.answer(question.ntp, 'pool.example');
    await terminal.see('is no IP address.');
    await terminal.answer(question.ntp, '');
    const right = {
      address: cms2.address,
      fqdn: cms2.fqdn.toUpperCase(),
      licence: labPackages.licence,
      haPackage: labPackages.haPackage,
    };
    for (const one of ['address', 'fqdn', 'licence', 'haPackage'] as const) {
      for (const [typed, answer] of refusals[one]) {
        await terminal.answer(question[one], typed);
        await terminal.see(answer);
      }
      await terminal.answer(question[one], right[one]);
    }
    await answerContact();
    await terminal.answer(question.hostKey, 'yes');
    await terminal.see('"yes" is none of y, n.');
    await terminal.answer(question.hostKey, 'n');
    await terminal.see('The host key was not accepted.');
    await terminal.see(question.menu);
    await expectUntouched(before);
  });

  it('takes a second password, shows the diffs on d, and leaves both servers as they are on n', async () => {
    const before = await standingOfBoth();
    await answerSetUp();
    await answerContact();
    await terminal.answer(question.hostKey, 'y');
    await terminal.answer(question.password, 'wrong');
    await terminal.see('did not accept that. Try again.');
    await terminal.answer(question.password, passwords.operator);
    await terminal.answer(question.proceed, 'd');
    await terminal.see(`+${cms2.address}`);
    await terminal.answer(question.proceed, '');
    await terminal.see('type one of y, n, d.');
    await terminal.answer(question.proceed, 'n');
    await terminal.see(question.menu);
    await expectUntouched(before);
    expect((await logOf()).at(-1)).toMatch(/ outcome: set up roles: declined, nothing was touched$/);
  });

  let before: Awaited<ReturnType<typeof standingOfBoth>>;

  it('sets the pair up where root may not log in, and changes what is asked before y', async () => {
    before = await standingOfBoth(changedFiles);
    await answerSetUp();
    await answerContact();
    await terminal.answer(question.hostKey, 'y');
    await terminal.answer(question.password, passwords.operator);
    await terminal.answer(question.proceed, 'y');
    await terminal.see(`The roles are set up: ${cms1.fqdn} is primary, ${cms2.fqdn} secondary (epoch 1).`, 120);
    await terminal.see(question.menu);
    for (const server of ['cms1', 'cms2'] as const) {
      const hosts = await sh(server, 'grep -v "^#" /etc/hosts');
      expect(hosts).toMatch(
        /^10\.77\.0\.11\s+cms1\.lab\.example\s+cms1\b.*\n10\.77\.0\.12\s+cms2\.lab\.example\s+cms2\b/m,
      );
    }
    expect((await logOf()).join('\n')).not.toContain(passwords.operator);
  });

  it('shows the pair as both see it', async () => {
    await terminal.answer(question.menu, '12');
    await terminal.answer(question.ha, '3');
    await terminal.see('Both servers agree.');
  });

  it('reverses the roles, and then names the primary for what only that one may do', async () => {
    await terminal.answer(question.menu, '12');
    await terminal.answer(question.ha, '2');
    await terminal.answer(question.proceed, 'y');
    await terminal.see(`${cms2.fqdn} is primary, ${cms1.fqdn} secondary (epoch 2).`);
    for (const choice of ['1', '2']) {
      await terminal.answer(question.menu, '12');
      await terminal.answer(question.ha, choice);
      await terminal.see(`Log in to ${cms2.fqdn} and run it there.`);
    }
    await configHa('cms2', ['reverse']);
  });

  it('restores the tag of the set up: every file as it was before', async () => {
    const tag = /zdt_\d+_\d+/.exec(
      (await logOf()).find((line) => line.includes('outcome: set up roles: done')) ?? '',
    )?.[0];
    await terminal.answer(question.menu, '12');
    await terminal.answer(question.ha, '4');
    await terminal.answer(question.tag, 'zdt_1_1');
    await terminal.see('is none of the tags that can be restored.');
    await terminal.answer(question.tag, tag ?? '');
    await terminal.answer(question.proceed, 'y');
    await terminal.see(`Restored ${tag} on both servers`);
    await terminal.see(question.menu);
    for (const server of ['cms1', 'cms2'] as const) {
      const files = [...before[server]].filter(([path]) => path.startsWith('/'));
      expect(differences(new Map(files), await filesOf(server, changedFiles)), server).toEqual([]);
    }
  });

  it('disables HA after the name of the other server was typed', async () => {
    await terminal.answer(question.menu, '12');
    await terminal.answer(question.ha, '6');
    await terminal.answer(question.end, 'cms3.lab.example');
    await terminal.see('is not the name of the other server.');
    await terminal.answer(question.end, cms2.fqdn);
    await terminal.answer(question.proceed, 'y');
    await terminal.see('HA is disabled; both are single servers.');
    await terminal.answer(question.menu, 'q');
    expect(await terminal.exitCode()).toBe(0);
    // Root may not log in again, as it was.
    expect(await sh('cms2', 'sshd -T -C user=root,host=x,addr=10.77.0.11,laddr=10.77.0.12,lport=22')).toContain(
      'permitrootlogin no',
    );
  });

  it.each([
    ['at the menu', [question.menu]],
    ['at a question of set up', [question.menu, question.ha, question.ntp]],
  ])('leaves with 130 on Ctrl-C %s, and the log ends with an outcome', async (_where, questions) => {
    await terminal.type('cmsadm');
    const answers = ['12', '1'];
    for (const [index, text] of questions.slice(0, -1).entries()) await terminal.answer(text, answers[index] ?? '');
    await terminal.see(questions.at(-1) ?? '');
    await terminal.press('C-c');
    expect(await terminal.exitCode()).toBe(130);
    expect((await logOf()).at(-1)).toMatch(/ outcome: .*[Ii]nterrupted/);
  });

  it('never writes a line wider than the terminal', async () => {
    expect(tooWide(await terminal.lines())).toEqual([]);
  });

  it('leaves with 64 at the end of input, and the log ends with an outcome', async () => {
    const result = await exec('cms1', ['cmsadm'], { input: '12\n1\n', reject: false });
    expect(result.exitCode, told(result)).toBe(64);
    expect(result.stderr).toContain('The input ended');
    expect((await logOf()).at(-1)).toMatch(/ outcome: .*The input ended/);
  });

  it('writes no escape codes where there is no terminal', async () => {
    const results = [
      await cmsadm('cms1', 'config_HA', 'show'),
      await exec('cms1', ['env', 'NO_COLOR=1', 'TERM=xterm-256color', 'cmsadm'], { input: '13\nq\n', reject: false }),
    ];
    for (const { stdout, stderr } of results) expect(stdout + stderr).not.toContain('\u001b');
  });
});
