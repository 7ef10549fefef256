import { describe, expect, it } from 'vitest';
import type { Deed } from '../../lab/chaos/operations.ts';
import { type Attempt, loginComplaints } from '../../lab/chaos/probe.ts';
import { normalForm, type PairState, type References } from '../../lab/chaos/references.ts';
import type { Both, Standing } from '../../lab/chaos/standing.ts';
import { goneLines, judge } from '../../lab/chaos/verdict.ts';

const hosts = (state: PairState): string => `127.0.0.1 localhost\n${state === 'single' ? '' : `# ${state}\n`}`;

/** A server in a state: one managed file, and a mark of its epoch. */
function standing(state: PairState, epoch: number, more: Partial<Standing> = {}): Standing {
  const isPair = state === 'cms1 primary' || state === 'cms2 primary';
  const pair = new Map(isPair ? [['/var/lib/cmsadm/pair.json', `{\n  "epoch": ${epoch}\n}\n`]] : []);
  return {
    files: new Map([
      ['/etc/hosts', 'f 644 root:root'],
      ...[...pair.keys()].map((path) => [path, 'f 600 root:root'] as const),
    ]),
    contents: new Map([['/etc/hosts', hosts(state)], ...pair]),
    backups: [],
    epoch,
    journals: [],
    force: new Map([['active units', isPair ? 'ids, agent' : 'ids']]),
    units: [],
    programs: [],
    ...more,
  };
}

const both = (state: PairState, epoch: number, more: Partial<Standing> = {}): Both<Standing> => ({
  cms1: standing(state, epoch),
  cms2: standing(state, epoch, more),
});
const references: References = new Map(
  (['single', 'linked', 'cms1 primary', 'cms2 primary'] as const).map((state) => [state, normalForm(both(state, 1))]),
);
const reverse: Deed = { operation: 'reverse', from: 'cms1 primary', to: 'cms2 primary', on: 'cms1', argv: [] };
const setUp: Deed = { operation: 'set up', from: 'single', to: 'cms1 primary', on: 'cms1', argv: [] };

const complaints = (deed: Deed, after: Both<Standing>, exitCode?: number): readonly string[] =>
  judge({
    deed,
    references,
    before: both(deed.from, 5),
    after,
    normal: normalForm(after),
    exitCode,
    mayHoldRemnants: false,
  }).complaints;

const confirmed = { id: 'zdt_1_2.change', states: ['confirmed'], decision: 'confirmed' } as const;

describe('the verdict on a chaos round', () => {
  it.each([
    ['both as before', reverse, both('cms1 primary', 5), 4],
    ['both as planned', reverse, both('cms2 primary', 6), 0],
    ['both as planned, its coordinator without power', reverse, both('cms2 primary', 6), undefined],
    ['both linked by a first contact', setUp, both('linked', 5), undefined],
    [
      'one linked and one not, by a first contact',
      setUp,
      { cms1: standing('linked', 5), cms2: standing('single', 5) },
      5,
    ],
    [
      'a backup of a confirmed change',
      reverse,
      both('cms2 primary', 6, { backups: ['/etc/hosts.zdt_1_2'], journals: [confirmed] }),
      0,
    ],
  ])('accepts %s', (_what, deed, after, exitCode) => {
    expect(complaints(deed, after, exitCode)).toEqual([]);
  });

  it.each([
    [
      'servers that differ',
      { cms1: standing('cms1 primary', 6), cms2: standing('cms2 primary', 6) },
      5,
      /the servers differ/,
    ],
    ['a success that is none', both('cms1 primary', 5), 0, /told success/],
    ['a refusal that changed everything', both('cms2 primary', 6), 3, /nothing was changed or all put back/],
    ['a state that nobody asked for', both('linked', 5), 5, /neither before nor planned/],
    [
      'another mode',
      both('cms1 primary', 5, { files: new Map([['/etc/hosts', 'f 600 root:root']]) }),
      4,
      /cms2 is not quite/,
    ],
    [
      'a stray file',
      both('cms1 primary', 5, { files: new Map([...standing('cms1 primary', 5).files, ['/etc/.hosts.staged', 'f']]) }),
      4,
      /staged/,
    ],
    ['an epoch that fell', both('cms1 primary', 4), 4, /epoch fell from 5 to 4/],
    [
      'two epochs',
      { cms1: standing('cms1 primary', 5), cms2: standing('cms1 primary', 6) },
      4,
      /the pair's epoch is 5 and 6/,
    ],
    [
      'an open transaction',
      both('cms1 primary', 5, { journals: [{ id: 'zdt_3_4.change', states: ['staged'], decision: undefined }] }),
      4,
      /open: zdt_3_4/,
    ],
    [
      'a backup of a change that was put back',
      both('cms1 primary', 5, { backups: ['/etc/hosts.zdt_9_9'] }),
      4,
      /not confirmed: .etc.hosts.zdt_9_9/,
    ],
    ['a timer', both('cms1 primary', 5, { units: ['cmsadm-way-back-3-4-change.timer loaded active'] }), 4, /way-back/],
    [
      'a program of an operation',
      both('cms1 primary', 5, { programs: ['1 1 S node dist/cli.js config_HA reverse'] }),
      4,
      /config_HA reverse/,
    ],
    ['a service that is down', both('cms1 primary', 5, { force: new Map([['active units', '']]) }), 4, /in force/],
  ])('complains of %s', (_what, after, exitCode, complaint) => {
    expect(complaints(reverse, after, exitCode).join('\n')).toMatch(complaint);
  });

  it('sees that a line of the administrator is gone from its file', () => {
    const text = '# a line of the administrator, number 1.';
    const kept = { server: 'cms1', path: '/etc/hosts', text } as const;
    const after = both('single', 1);
    expect(goneLines([kept], after)).toEqual([kept]);
    const there = standing('single', 1, { contents: new Map([['/etc/hosts', `${hosts('single')}${text}\n`]]) });
    expect(goneLines([kept], { ...after, cms1: there })).toEqual([]);
    expect(normalForm({ ...after, cms1: there })).toEqual(normalForm(after));
  });
});

describe('the keys of a pair, made anew by every set up', () => {
  const withKeys = (keys: { readonly held?: string; readonly allowed: string }): Both<Standing> => {
    const line = `restrict,command="cmsadm peer" ssh-ed25519 ${keys.allowed} cmsadm pair key of cms1.lab.example\n`;
    const own = new Map(
      keys.held === undefined ? [] : [['/root/.ssh/id_cmsadm.pub', `ssh-ed25519 ${keys.held} cms1\n`]],
    );
    const allowed = {
      files: new Map([['/root/.ssh/authorized_keys', 'f']]),
      contents: new Map([['/root/.ssh/authorized_keys', line]]),
    };
    return { cms1: standing('linked', 1, { contents: own }), cms2: standing('linked', 1, allowed) };
  };
  const formOf = (keys: { readonly held?: string; readonly allowed: string }) => normalForm(withKeys(keys)).cms2;

  it('are told by their server, also where it has ended its side of the link', () => {
    expect(formOf({ held: 'AAAA1', allowed: 'AAAA1' })).toEqual(formOf({ held: 'AAAA2', allowed: 'AAAA2' }));
    expect(formOf({ allowed: 'AAAA3' })).toEqual(formOf({ held: 'AAAA2', allowed: 'AAAA2' }));
  });

  it('are not the same where a server holds another one than it is allowed to come in with', () => {
    expect(formOf({ held: 'AAAA1', allowed: 'AAAA2' })).not.toEqual(formOf({ held: 'AAAA1', allowed: 'AAAA1' }));
  });
});

describe('the verdict on logins', () => {
  /** One attempt a second, for half a second; `fails` says in which seconds it does not get in. */
  const attempts = (fails: (second: number) => boolean, said = 'Connection refused'): Attempt[] =>
    Array.from({ length: 40 }, (_, second) => ({
      server: 'cms1',
      began: second * 1000,
      ended: second * 1000 + 500,
      ok: !fails(second),
      said: fails(second) ? said : '',
    }));

  it.each([
    ['no failure', attempts(() => false), []],
    ['failures within the window', attempts((second) => second >= 10 && second < 19), []],
    [
      'failures while the server is off',
      attempts((second) => second < 20),
      [{ server: 'cms1', from: 0, to: 15_000 } as const],
    ],
  ])('accepts %s', (_what, made, excuses) => {
    expect(loginComplaints(made, excuses, 10)).toEqual([]);
  });

  it.each([
    ['failures for longer than the window', attempts((second) => second >= 10 && second < 25), /no login for 11 s/],
    [
      'one refusal',
      attempts((second) => second === 3, 'root@10.77.0.11: Permission denied (publickey).'),
      /root was refused/,
    ],
  ])('complains of %s', (_what, made, complaint) => {
    expect(loginComplaints(made, [], 10).join('\n')).toMatch(complaint);
  });

  it('complains of failures that outlast the excuse', () => {
    const made = attempts((second) => second < 35);
    expect(loginComplaints(made, [{ server: 'cms1', from: 0, to: 5000 }], 10).join('\n')).toMatch(/no login/);
  });
});
