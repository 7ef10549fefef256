import type { Screen } from '../../src/report.ts';

const hosts = '127.0.0.1\tlocalhost\n10.0.0.1 cms1.example.com cms1\n# end\n';

const review = {
  operation: 'set up roles',
  tag: 'zdt_4711_1700000000',
  servers: [
    {
      name: 'cms1.example.com',
      address: '10.0.0.1',
      becomes: 'primary',
      interruption: 65,
      services: [
        {
          label: 'IDS',
          unit: 'ids.service',
          how: 'restart',
          because: ['/opt/informix/etc/sqlhosts', '/opt/informix/etc/onconfig.cms', '/etc/services'],
          interruption: 20,
        },
        { label: 'CMS', unit: 'cms.service', how: 'restart', because: ['IDS'], interruption: 45 },
        { label: 'sshd', unit: 'ssh.service', how: 'reload', because: ['/etc/ssh/sshd_config'], interruption: 0 },
      ],
      files: [
        {
          path: '/etc/hosts',
          what: 'changed',
          secret: false,
          before: hosts,
          after: hosts.replace('# end', '10.0.0.2 cms2.example.com cms2\n# end'),
        },
        { path: '/root/.rhosts', what: 'created', secret: false, before: undefined, after: 'cms2.example.com root\n' },
        { path: '/etc/cron.d/old', what: 'removed', secret: false, before: 'caf\xc3\xa9\nfa\xe7ade', after: undefined },
        { path: '/root/.ssh/id_cmsadm', what: 'created', secret: true, before: undefined, after: undefined },
        ...['/etc/chrony/chrony.conf', '/etc/ssh/sshd_config', '/root/.bash_profile', '/root/.ssh/id_rsa'].map(
          (path) => ({
            path,
            what: 'stays' as const,
            secret: false,
            before: undefined,
            after: undefined,
          }),
        ),
      ],
    },
    {
      name: 'cms2.example.com',
      address: '10.0.0.2',
      becomes: 'secondary',
      interruption: 0,
      services: [],
      files: [
        {
          path: '/opt/informix/etc/sqlhosts',
          real: '/data/informix/etc/sqlhosts',
          what: 'changed',
          secret: false,
          before: 'a\n',
          after: 'b\n',
        },
        { path: '/etc/services', otherNames: 1, what: 'changed', secret: false, before: 'a\n', after: 'b\n' },
      ],
    },
  ],
  notes: ['Time comes from 10.0.0.9 too.'],
} as const;

const view = {
  seenBy: 'cms1.example.com',
  version: '1.2.3',
  reachable: true,
  linked: true,
  role: 'primary',
  epoch: 7,
  primary: 'cms1.example.com',
  secondary: 'cms2.example.com',
  services: { 'ids.service': true, 'cms.service': true, 'cmsadm-agent.service': true },
  lock: undefined,
  unfinished: [],
  sync: 'in step',
  alarms: [],
} as const;

const peerView = {
  ...view,
  seenBy: 'cms2.example.com',
  role: 'secondary',
  services: { 'ids.service': true, 'cms.service': false },
  lock: 'root (reverse roles, since 2026-03-01T10:00:00Z, from cms1.example.com)',
  unfinished: ['zdt_4711_1700000000.change'],
  sync: undefined,
  alarms: [{ at: '2026-03-01T10:00:00Z', text: 'The secondary does not answer.' }],
} as const;

const away = { ...view, seenBy: 'cms2.example.com', reachable: false, role: undefined } as const;

const syncStatus = {
  role: 'primary',
  ...{ epoch: 7, state: 'in step', lastPass: '2026-03-01T03:00:00.000Z', lag: 4, queue: 0 },
  ...{ passPercent: null, paused: null, seq: 4711, acked: 4711, conflicts: 0, pid: 815 },
  at: '2026-03-01T10:00:00.000Z',
} as const;
const setStatus = {
  state: 'in step',
  ...{ name: 'administration', why: '', queue: 0, oldest: null, lagSeconds: null },
  ...{ names: 1234, sent: 56, lastMinute: 3 },
} as const;
const conflict = {
  ...{ id: 'c0ffee01', set: 'administration', path: 'acd/splits', at: '2026-03-01T09:00:00.000Z', owner: 'carol' },
  kept: '/var/lib/cmsadm/kept/administration/20260301T090000Z/acd/splits',
  server: 'cms2.example.com',
};

/** Screens by name, of what a healthy and an unhealthy pair would show. */
export const sampleScreens: Readonly<Record<string, Screen>> = {
  preflight: {
    kind: 'preflight',
    checks: [
      { id: 'root', server: 'cms1.example.com', level: 'pass', text: 'The program runs as root.' },
      {
        id: 'ethernet',
        server: 'cms1.example.com',
        level: 'warn',
        text: '1 Ethernet port; two are recommended.',
        remedy: 'Add a second port for the link to the switch.',
      },
      { id: 'root', server: 'cms2.example.com', level: 'pass', text: 'The program runs as root.' },
      {
        id: 'latency',
        server: 'both',
        level: 'warn',
        text: 'A message to the peer and back takes 2750 ms, more than half of the 5 s between two signs of life.',
        remedy: 'Look for what slows the line between the servers, or give the profile a longer `keepalive`.',
      },
      {
        id: 'storage',
        server: 'both',
        level: 'fail',
        text: 'Different data storage parameters.',
        remedy:
          'Make /cms/install/storage-parameters-of-this-product.conf equal on both servers before it is tried again.',
        details: ['splits: 350 here, 400 on the peer', 'vdns: 2000 here, absent on the peer'],
      },
    ],
    toConfirm: ['Each server has its own power supply and UPS.', 'The links to the switch use separate subnets.'],
  },
  review: { kind: 'review', review },
  diff: { kind: 'diff', review },
  'pair-agreeing': { kind: 'pair', views: [view, peerView] },
  'pair-disagreeing': {
    kind: 'pair',
    views: [view, { ...view, seenBy: 'cms2.example.com', epoch: 8, primary: 'cms2.example.com' }],
  },
  'pair-two-versions': {
    kind: 'pair',
    views: [view, { ...view, seenBy: 'cms2.example.com', role: 'secondary', version: '1.3.0' }],
  },
  'pair-away': { kind: 'pair', views: [view, away] },
  'pair-single': {
    kind: 'pair',
    views: [
      {
        ...view,
        linked: false,
        role: undefined,
        epoch: undefined,
        primary: undefined,
        secondary: undefined,
        services: {},
      },
    ],
  },
  tags: {
    kind: 'tags',
    tags: [
      {
        tag: 'zdt_4711_1700000000',
        at: '2023-11-14T22:13:20Z',
        operation: 'set up roles',
        operator: 'root',
        files: ['/etc/hosts', '/etc/services', '/root/.rhosts', '/root/.ssh/known_hosts', '/root/.ssh/authorized_keys'],
        state: 'whole',
        lacks: [],
      },
      {
        tag: 'zdt_9_1700000999',
        at: '2023-11-14T22:29:59Z',
        operation: 'reverse roles',
        operator: 'anna',
        files: [],
        state: 'partial',
        lacks: ['cms2.example.com: missing /etc/hosts.zdt_9_1700000999'],
      },
    ],
  },
  backups: {
    kind: 'backups',
    title: 'Backups, newest first',
    tags: [
      {
        ...{ tag: 'zdt_4711_1700000000', at: '2023-11-14T22:13:20Z', operation: 'set up roles', operator: 'root' },
        bytes: 34_750,
        servers: [
          {
            ...{ name: 'cms1.example.com', state: 'confirmed', pruned: false, edited: [] },
            files: [
              { path: '/etc/hosts.zdt_4711_1700000000', bytes: 950 },
              { path: '/etc/services.zdt_4711_1700000000', bytes: 12_800 },
            ],
          },
          {
            ...{ name: 'cms2.example.com', state: 'put back', pruned: false, files: [] },
            edited: ['/etc/hosts.zdt_4711_1700000000.edited'],
          },
        ],
      },
      {
        ...{ tag: 'zdt_9_1600000000', at: '2020-09-13T12:26:40Z', operation: 'reverse roles', operator: 'anna' },
        bytes: 2_100_000,
        servers: [
          {
            ...{ name: 'cms1.example.com', state: 'confirmed', pruned: true, edited: [] },
            files: [{ path: '/var/lib/cmsadm/pair.json.zdt_9_1600000000', bytes: 2_100_000 }],
          },
          { ...{ name: 'cms2.example.com', state: 'open', pruned: false, edited: [] }, files: [] },
        ],
      },
    ],
    notes: ['cms2.example.com is not asked and keeps its own.'],
  },
  sync: {
    kind: 'sync',
    views: [
      { name: 'cms1.example.com', reachable: true, status: { ...syncStatus, sets: [setStatus] } },
      {
        name: 'cms2.example.com',
        reachable: true,
        status: { ...syncStatus, role: 'secondary', state: 'the primary is reachable', sets: [setStatus] },
      },
    ],
  },
  'sync-troubled': {
    kind: 'sync',
    views: [
      {
        name: 'cms1.example.com',
        reachable: true,
        status: {
          ...syncStatus,
          ...{ state: 'paused', passPercent: 45, acked: 4700, queue: 90_011, conflicts: 2 },
          paused: { by: 'carol', since: '2026-03-01T08:00:00.000Z' },
          sets: [
            { ...setStatus, state: 'sending', queue: 11, oldest: '2026-03-01T09:59:59.600Z', lagSeconds: 0.4 },
            {
              ...{ ...setStatus, name: 'a-name-of-two-and-thirty-letters', state: 'held', names: 123_456 },
              ...{ queue: 90_000, oldest: '2026-03-01T07:00:00.000Z', lagSeconds: 10_800 },
              why: '90000 of 123456 names vanished at once (72 %, more than 30 %)',
            },
          ],
        },
      },
      {
        name: 'cms2.example.com',
        reachable: false,
        error: {
          code: 'agent-not-running',
          message: 'The admin-sync service of cms2.example.com does not answer.',
          remedy: 'Start it there: systemctl start cmsadm-agent.',
        },
      },
    ],
  },
  passes: {
    kind: 'passes',
    passes: [
      {
        ...{ set: 'administration', ok: true, why: '', sent: 12, removed: 1, bytes: 1_234_567 },
        milliseconds: 812,
      },
      {
        ...{ set: 'reports', ok: false, why: 'it is empty here', sent: 0, removed: 0, bytes: 0 },
        milliseconds: 65_000,
      },
    ],
  },
  differences: {
    kind: 'differences',
    sets: [
      { set: 'administration', onlyHere: [''], different: ['acd/splits', '-e sh'], onlyThere: ['old'], more: true },
      { set: 'reports', onlyHere: [], different: [], onlyThere: [], more: false },
    ],
  },
  conflicts: { kind: 'conflicts', conflicts: [conflict, { ...conflict, id: 'c0ffee02' }] },
  conflict: { kind: 'conflict', conflict, compared: { kept: 'mine\nboth\n', current: 'theirs\nboth\n' } },
  'conflict-gone': { kind: 'conflict', conflict, compared: { why: 'The kept copy is gone.' } },
  'tags-none': { kind: 'tags', tags: [] },
  result: {
    kind: 'result',
    title: 'The roles are set up: cms1.example.com is primary, cms2.example.com secondary (epoch 1).',
    servers: [
      {
        name: 'cms1.example.com',
        role: 'primary',
        files: ['/etc/hosts', '/root/.rhosts'],
        services: ['ids.service', 'cms.service'],
        verified: ['files as planned', 'fresh login in both directions'],
      },
      { name: 'cms2.example.com', role: undefined, files: [], services: [], verified: [] },
    ],
    notes: ['To undo: cmsadm config_HA restore --tag zdt_4711_1700000000'],
  },
};

/** The screen again with every text in it made by `change`, as a hostile or wordy server might send it. */
export function withTexts<T>(value: T, change: (text: string) => string): T;
export function withTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return fixed.has(value) ? value : change(value);
  if (Array.isArray(value)) return value.map((entry) => withTexts(entry, change));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withTexts(entry, change)]));
  return value;
}

// Words that the types fix.
const fixed = new Set([
  ...[
    'preflight',
    'review',
    'diff',
    'pair',
    'tags',
    'backups',
    'result',
    'sync',
    'passes',
    'differences',
    'conflicts',
    'conflict',
    'pass',
    'warn',
    'fail',
    'both',
  ],
  ...['changed', 'created', 'removed', 'stays', 'primary', 'secondary'],
]);
