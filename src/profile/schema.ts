import * as v from 'valibot';

/** A path or unit that may differ by OS family. */
const perFamily = v.union([v.string(), v.strictObject({ debian: v.string(), rhel: v.string() })]);
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));
const protocol = v.picklist(['tcp', 'udp']);
const octalMode = v.pipe(v.string(), v.regex(/^0[0-7]{3}$/));
const absolutePath = v.pipe(v.string(), v.regex(/^\/[^\0]*$/));

/** A path in a data set: no empty, `.` or `..` part. */
const relativePath = v.pipe(v.string(), v.regex(/^(?!\.{1,2}(?:\/|$))[^/\0]+(?:\/(?!\.{1,2}(?:\/|$))[^/\0]+)*$/));
const isApart = (rows: readonly { readonly from: string; readonly to: string }[]): boolean =>
  rows.every(({ to }) => rows.every(({ from }) => from !== to && !from.startsWith(`${to}/`)));

/** A program by its full path, and its arguments; never a shell's text. */
const argv = v.pipe(
  v.array(v.string()),
  v.minLength(1),
  v.check(([program]) => program?.startsWith('/') === true),
);
/** Longest time that a program may take. */
const seconds = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(86_400));

const keepaliveSeconds = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(600));

const service = v.strictObject({
  label: v.string(),
  unit: perFamily,
  change: v.picklist(['restart', 'reload']),
  /** Longest time in seconds until it is healthy after the change. */
  seconds: v.number(),
  /** Expected interruption in seconds, for the review. */
  interruption: v.number(),
  /** Services that stand on this one and are restarted with it. */
  carries: v.optional(v.array(v.string()), []),
});

/** Programs that can be asked whether they would read a file. */
const judge = v.picklist(['chrony', 'nftables', 'iptables', 'keepalived']);

const managedFileRow = v.strictObject({
  kind: v.picklist([
    'hosts',
    'services',
    'chrony',
    'sshd_config',
    'sqlhosts',
    'onconfig',
    'open_ports',
    'rhosts',
    'known_hosts',
    'authorized_keys',
    'bash_profile',
    'rendered',
    'untouched',
  ]),
  path: perFamily,
  /** `link`: stays until disable; `change`: undone by restore. */
  step: v.picklist(['link', 'change']),
  owners: v.optional(v.array(v.string()), ['root']),
  /** Used when the file is created. */
  mode: octalMode,
  /** False: a server without the file does not get one. */
  create: v.optional(v.boolean(), true),
  services: v.optional(v.array(v.string()), []),
  /** `rendered`: the whole file, with `@{role}`, `@{address}`, `@{fqdn}`, `@{peer-address}`, `@{peer-fqdn}` filled in. */
  text: v.optional(v.string()),
  /** `rendered`: the program that reads it, asked before anything changes. */
  judge: v.optional(judge),
});
const managedFile = v.pipe(
  managedFileRow,
  v.check(
    ({ kind, text }) => (kind === 'rendered') === (text !== undefined),
    'A rendered file has a text, and no other has.',
  ),
  v.check(
    ({ kind, judge: asked }) => asked === undefined || kind === 'rendered',
    'Only a rendered file names its judge.',
  ),
);

const firewall = v.strictObject({
  adapter: v.picklist(['nftables', 'iptables', 'firewalld', 'none']),
  path: v.optional(absolutePath),
});

const trustedKey = v.strictObject({ name: v.string(), publicKey: v.string() });

export const profileSchema = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,31}$/)),
  title: v.string(),
  /**
   * Who may administer, and the direction of the sync. Both mean the configured primary until a server can become
   * active without being made primary; `activate` makes the secondary the primary.
   */
  authority: v.picklist(['primary', 'active']),
  menu: v.array(
    v.strictObject({
      command: v.string(),
      label: v.string(),
      /** Where it may run in a pair: what changes administered data only on the primary. */
      on: v.optional(v.picklist(['primary', 'both']), 'primary'),
    }),
  ),
  services: v.record(v.string(), service),
  files: v.array(managedFile),
  firewall: v.strictObject({ debian: firewall, rhel: firewall }),
  /** Opened for the peer in the firewall, entered in the services file and the port file. */
  ports: v.array(v.strictObject({ name: v.string(), port, protocol, purpose: v.string() })),
  database: v.optional(
    v.strictObject({
      /** Name of a server's own entry in sqlhosts: `<prefix><hostname>`. */
      serverPrefix: v.string(),
      nettype: v.string(),
      /** The entry of `ports` that the database listens on. */
      port: v.string(),
    }),
  ),
  /** What the filesystem backup and the maintenance backup save. Paths of other servers' kinds may be missing. */
  backup: v.optional(
    v.strictObject({
      include: v.optional(v.array(absolutePath), ['/']),
      /** Folders whose content is left out: call data, database tables, what is made anew by itself. */
      exclude: v.optional(v.array(absolutePath), []),
      /** Folders of the product's data: no backup goes to the disks that hold them. */
      dataDisks: v.optional(v.array(absolutePath), []),
      log: v.optional(absolutePath, '/var/log/cmsadm/backup.log'),
      /** Historical data, saved in full and in part. */
      maintenance: v.optional(
        v.strictObject({
          include: v.pipe(v.array(absolutePath), v.minLength(1)),
          exclude: v.optional(v.array(absolutePath), []),
        }),
      ),
      /** What stays when old backups are removed: so many of each kind, and all that are younger. */
      keep: v.optional(
        v.strictObject({
          count: v.pipe(v.number(), v.integer(), v.minValue(1)),
          days: v.pipe(v.number(), v.integer(), v.minValue(0)),
        }),
        { count: 3, days: 93 },
      ),
    }),
  ),
  /** Whose passwords may age: users of the product. */
  passwords: v.optional(
    v.strictObject({
      /** Their login shell. */
      shell: absolutePath,
      /** Accounts below are the system's. */
      minimumUid: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 1000),
      /** Accounts that never age, whatever their shell. */
      never: v.optional(v.array(v.string()), []),
    }),
  ),
  /** Who may connect to the product's database: everybody, or the members of a group of the system. */
  databaseAccess: v.optional(
    v.strictObject({
      adapter: v.picklist(['informix', 'postgresql']),
      /** Its name there. */
      name: v.pipe(v.string(), v.regex(/^[a-z_][a-z0-9_]{0,62}$/)),
      group: v.pipe(v.string(), v.regex(/^[a-z_][a-z0-9_-]{0,31}$/)),
      /** The program that takes statements on its standard input. */
      program: absolutePath,
      /** Whom it runs as, by runuser(1); root itself where nobody is named. */
      user: v.optional(v.pipe(v.string(), v.regex(/^[a-z_][a-z0-9_-]{0,31}$/))),
      environment: v.optional(v.record(v.pipe(v.string(), v.regex(/^[A-Z_][A-Z0-9_]*$/)), v.string()), {}),
      seconds: v.optional(seconds, 30),
    }),
  ),
  /** The ACDs (telephone switches) that feed the servers with data. */
  acd: v.optional(
    v.strictObject({
      max: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(8)), 8),
      /** Most split/skill members of one ACD, where the licence says nothing. */
      members: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 99_999),
      /** Features of the licence whose counts are the most ACDs, and the most members of one; a licence without them sets no limit. */
      features: v.optional(v.strictObject({ acds: v.optional(v.string()), members: v.optional(v.string()) }), {}),
      /** The feature package with which a link may have a survivable address too. */
      dualIp: v.optional(v.string(), 'dual_ip'),
      /** Between two tries of the agent's link watch. */
      retrySeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3600)), 30),
      /** Folders with an ACD's data on each server; `@{acd}` is its number. */
      data: v.optional(v.array(v.pipe(absolutePath, v.regex(/@\{acd\}[^/]*$/), v.regex(/^(?!.*\/\.{1,2}(\/|$))/))), []),
      /** Programs that are given the ACD's number as their last argument. */
      hooks: v.optional(
        v.strictObject({
          start: v.optional(argv),
          stop: v.optional(argv),
          busy: v.optional(argv),
          release: v.optional(argv),
          /** Prints `collection=on|off` and `link=up|down|busy`, a line each. */
          state: v.optional(argv),
          /** Prints the switch's time in seconds since 1970. */
          clock: v.optional(argv),
        }),
        {},
      ),
      /** Longest time that a hook may take. */
      seconds: v.optional(seconds, 60),
    }),
  ),
  rhostsUser: v.optional(v.string()),
  bashProfile: v.optional(v.array(v.string()), []),
  dataSets: v.array(
    v.strictObject({
      name: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,31}$/)),
      path: absolutePath,
      /** Files, and folders with all below them, that are carried, where it is not all of the folder; `exclude` takes from them. */
      include: v.optional(v.pipe(v.array(relativePath), v.minLength(1))),
      exclude: v.optional(v.array(v.string()), []),
      /**
       * What is run on the secondary after changes came: `check`, which may refuse them, then `run`. A change counts
       * as applied when both ended well.
       */
      apply: v.optional(v.strictObject({ check: v.optional(argv), run: argv, seconds: v.optional(seconds, 60) })),
      /**
       * For data in a database: `export` writes it to standard output on the server that administers, `import` reads
       * it from standard input on the other. The set's path is then a folder of ours, below /var/lib/cmsadm.
       */
      exported: v.optional(
        v.strictObject({
          export: argv,
          import: argv,
          every: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(86_400)), 30),
          seconds: v.optional(seconds, 300),
        }),
      ),
      /**
       * For what acts on each server by itself (packages, password aging, grants): the files say what is wanted, `apply`
       * makes a server stand so, `report` prints a line for each thing that still differs. Run on both servers.
       */
      wanted: v.optional(
        v.strictObject({
          apply: argv,
          report: argv,
          /** Files, and folders with all below them, that say what is wanted; without it all of the set. */
          files: v.optional(v.array(relativePath)),
          every: v.optional(seconds, 600),
          seconds: v.optional(seconds, 60),
        }),
      ),
      /**
       * Files that each server has to itself, made from a template that both have: `@{role}`, `@{address}`, `@{fqdn}`,
       * `@{peer-address}`, `@{peer-fqdn}` in it are filled in on each. The results are never carried.
       */
      rendered: v.optional(
        v.pipe(
          v.array(v.strictObject({ from: relativePath, to: relativePath })),
          v.minLength(1),
          v.check(
            (rows) => new Set(rows.map(({ to }) => to)).size === rows.length && isApart(rows),
            'A result may be named once, and is no template.',
          ),
        ),
      ),
      /** So much may vanish at once; more is held until a person releases it. */
      deletions: v.optional(
        v.strictObject({
          percent: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100)),
          files: v.pipe(v.number(), v.integer(), v.minValue(1)),
        }),
        { percent: 30, files: 1000 },
      ),
    }),
  ),
  /**
   * Seconds between two signs of life between the agents, in both directions, and of silence after which they connect
   * anew. A message's way to the other server and back must not take more than half of the first.
   */
  keepalive: v.optional(v.strictObject({ seconds: keepaliveSeconds, reconnect: keepaliveSeconds }), {
    seconds: 5,
    reconnect: 20,
  }),
  /** When the nightly full pass is made, by the server's own clock. */
  fullPass: v.optional(v.pipe(v.string(), v.regex(/^([01]\d|2[0-3]):[0-5]\d$/)), '00:00'),
  /** Days for which copies of what admin-sync replaced or removed are kept. */
  keepDays: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3650)), 30),
  /** KEY=VALUE file that tells product release and base load. */
  release: v.strictObject({ path: absolutePath, release: v.string(), load: v.string() }),
  /** KEY=VALUE file whose listed keys must be equal on both servers; no keys = all. */
  storage: v.optional(v.strictObject({ path: absolutePath, keys: v.optional(v.array(v.string()), []) })),
  licenceFeature: v.string(),
  trust: v.array(trustedKey),
  /** Seconds that a change waits for its confirmation before it is put back. */
  confirmSeconds: v.pipe(v.number(), v.integer(), v.minValue(10), v.maxValue(3600)),
  /** Units that we run on both servers once they are a pair. */
  agentUnit: v.string(),
});

export type Profile = v.InferOutput<typeof profileSchema>;
export type ManagedFile = Profile['files'][number];
export type PerFamily = v.InferOutput<typeof perFamily>;
export type OsFamily = 'debian' | 'rhel';

/** The value for one OS family. */
export const forFamily = (value: PerFamily, family: OsFamily): string =>
  typeof value === 'string' ? value : value[family];
