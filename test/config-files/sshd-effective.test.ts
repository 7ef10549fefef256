import { describe, expect, test } from 'vitest';
import { accessNeeds, differences, mayRootEnter, parseEffective } from '../../src/config-files/sshd-effective.ts';

/** As a Debian server prints it, cut short. */
const usual = [
  'port 22',
  'permitrootlogin without-password',
  'pubkeyauthentication yes',
  'forcecommand none',
  'chrootdirectory none',
  'maxsessions 10',
  'authenticationmethods any',
  'authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2',
  'pubkeyacceptedalgorithms ssh-ed25519-cert-v01@openssh.com,ssh-ed25519,rsa-sha2-512',
  'acceptenv LANG',
  'acceptenv LC_*',
];
const effectiveWith = (...lines: string[]) => {
  const changed = new Set(lines.map((line) => line.split(' ')[0]));
  return parseEffective([...usual.filter((line) => !changed.has(line.split(' ')[0])), ...lines, ''].join('\n'));
};

/** Whom a list kept out comes in by the key alone. */
const narrow = ['PermitRootLogin', 'forced-commands-only'];

describe('what root needs to enter with a key', () => {
  test.each([
    { lines: [], needs: [] },
    ...['yes', 'without-password', 'prohibit-password', 'forced-commands-only'].map((value) => ({
      lines: [`permitrootlogin ${value}`],
      needs: [],
    })),
    { lines: ['permitrootlogin no'], needs: [['PermitRootLogin', 'forced-commands-only']] },
    { lines: ['pubkeyauthentication no'], needs: [['PubkeyAuthentication', 'yes']] },
    { lines: ['authenticationmethods publickey,password publickey'], needs: [] },
    {
      lines: ['authenticationmethods publickey,keyboard-interactive'],
      needs: [['AuthenticationMethods', 'publickey']],
    },
    { lines: ['forcecommand internal-sftp'], needs: [['ForceCommand', 'none']] },
    { lines: ['chrootdirectory /srv'], needs: [['ChrootDirectory', 'none']] },
    { lines: ['maxsessions 0'], needs: [['MaxSessions', '10']] },
    { lines: ['allowusers ann', 'allowusers bob'], needs: [narrow, ['AllowUsers', 'root']] },
    { lines: ['allowusers ann', 'allowusers r??t'], needs: [] },
    { lines: ['allowusers *'], needs: [] },
    { lines: ['allowusers !root'], needs: [narrow, ['AllowUsers', 'root']] },
    { lines: ['allowusers root@10.0.0.2'], needs: [] },
    { lines: ['allowusers root@10.0.0.*'], needs: [] },
    { lines: ['allowusers root@10.0.0.0/24'], needs: [] },
    { lines: ['allowusers root@10.0.0.*,!10.0.0.2'], needs: [narrow, ['AllowUsers', 'root']] },
    { lines: ['allowusers root@10.9.0.0/24'], needs: [narrow, ['AllowUsers', 'root']] },
    { lines: ['allowusers root@admin.example.com'], needs: [narrow, ['AllowUsers', 'root']] },
    { lines: ['denyusers ann'], needs: [] },
    { lines: ['denyusers root'], needs: [narrow, ['DenyUsers', ':nobody:']] },
    { lines: ['denyusers ann', 'denyusers ro*', 'denyusers bob'], needs: [narrow, ['DenyUsers', 'ann bob']] },
    { lines: ['denyusers root@10.9.9.9'], needs: [] },
    { lines: ['denyusers root@10.0.0.2'], needs: [narrow, ['DenyUsers', ':nobody:']] },
    { lines: ['denyusers root@*.example.com'], needs: [narrow, ['DenyUsers', ':nobody:']] },
    { lines: ['allowgroups ssh', 'allowgroups wheel'], needs: [narrow, ['AllowGroups', 'ssh wheel root']] },
    { lines: ['allowgroups ssh root'], needs: [] },
    { lines: ['denygroups root', 'denygroups ftp'], needs: [narrow, ['DenyGroups', 'ftp']] },
    { lines: ['denygroups root'], needs: [narrow, ['DenyGroups', ':nobody:']] },
    { lines: ['authorizedkeysfile %h/.ssh/authorized_keys'], needs: [] },
    { lines: ['authorizedkeysfile /%u/.ssh/authorized_keys'], needs: [] },
    {
      lines: ['authorizedkeysfile /etc/ssh/keys/%u'],
      needs: [['AuthorizedKeysFile', '.ssh/authorized_keys /etc/ssh/keys/%u']],
    },
    { lines: ['authorizedkeysfile none'], needs: [['AuthorizedKeysFile', '.ssh/authorized_keys']] },
    {
      lines: ['pubkeyacceptedalgorithms rsa-sha2-512,rsa-sha2-256'],
      needs: [['PubkeyAcceptedAlgorithms', 'rsa-sha2-512,rsa-sha2-256,ssh-ed25519']],
    },
    { lines: ['pubkeyacceptedkeytypes ssh-rsa'], needs: [['PubkeyAcceptedKeyTypes', 'ssh-rsa,ssh-ed25519']] },
  ])('$lines', ({ lines, needs }) => {
    const effective = effectiveWith(...lines);
    expect(accessNeeds(effective, undefined, '10.0.0.2')).toEqual(needs);
    expect(mayRootEnter(effective, undefined, '10.0.0.2')).toHaveLength(needs.filter((need) => need !== narrow).length);
  });

  test('a pattern with a host is not relied on without the address', () => {
    expect(accessNeeds(effectiveWith('allowusers root@10.0.0.2'))).toEqual([narrow, ['AllowUsers', 'root']]);
    expect(accessNeeds(effectiveWith('denyusers root@10.9.9.9'))).toEqual([narrow, ['DenyUsers', ':nobody:']]);
  });

  test('a login that is narrow already, or that was refused altogether, is not narrowed twice', () => {
    const needs = accessNeeds(effectiveWith('allowusers ann', 'permitrootlogin forced-commands-only'));
    expect(needs).toEqual([['AllowUsers', 'root']]);
    expect(accessNeeds(effectiveWith('allowusers ann', 'permitrootlogin no'))).toEqual([
      narrow,
      ['AllowUsers', 'root'],
    ]);
  });

  test('the reasons are sentences', () => {
    expect(mayRootEnter(effectiveWith('permitrootlogin no', 'allowusers ann'))).toEqual([
      'PermitRootLogin is no.',
      'AllowUsers does not name root.',
    ]);
  });

  test('the needed settings, once in force, leave nothing to need', () => {
    const closed = effectiveWith('permitrootlogin no', 'denyusers root', 'allowgroups ssh', 'authorizedkeysfile none');
    const inForce = accessNeeds(closed).map(([keyword, value]) => `${keyword.toLowerCase()} ${value}`);
    expect(mayRootEnter(effectiveWith(...inForce))).toEqual([]);
  });
});

test('differences names the keywords whose values differ, lists and absent ones too', () => {
  const left = effectiveWith('allowusers ann', 'port 22');
  const right = effectiveWith('acceptenv LANG', 'port 2222');
  expect(differences(left, right)).toEqual(['acceptenv', 'allowusers', 'port']);
  expect(differences(left, left)).toEqual([]);
});

test('keywords are collected whatever their case and line end', () => {
  expect(parseEffective('Port 22\r\nport 23\r\nbanner\r\n').get('port')).toEqual(['22', '23']);
  expect(parseEffective('banner\n').get('banner')).toEqual(['']);
});
