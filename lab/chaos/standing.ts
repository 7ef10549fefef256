import { exec } from '../lab.ts';

/** The two servers of the pair. */
export const pair = ['cms1', 'cms2'] as const;
export type PairServer = (typeof pair)[number];
export type Both<T> = Readonly<Record<PairServer, T>>;

export const other = (server: PairServer): PairServer => (server === 'cms1' ? 'cms2' : 'cms1');

/** The same for both servers, side by side. */
export async function onBoth<T>(work: (server: PairServer) => Promise<T>): Promise<Both<T>> {
  const [cms1, cms2] = await Promise.all([work('cms1'), work('cms2')]);
  return { cms1, cms2 };
}

/** The managed files whose content is looked into: what an administrator writes may stand there, and keys and epochs. */
const openFiles = [
  '/etc/hosts',
  '/etc/services',
  '/etc/chrony/chrony.conf',
  '/etc/ssh/sshd_config',
  '/etc/nftables.conf',
  '/opt/informix/etc/sqlhosts',
  '/opt/informix/etc/onconfig.cms',
  '/cms/install/security/OpenPorts',
  '/root/.ssh/authorized_keys',
  '/root/.ssh/id_cmsadm',
  '/root/.ssh/id_cmsadm.pub',
  '/var/lib/cmsadm/link.json',
  '/var/lib/cmsadm/pair.json',
] as const;

/** One transaction as its server's journal tells it. */
export type Journal = {
  readonly id: string;
  readonly states: readonly string[];
  readonly decision: string | undefined;
};

/** How one server stands, read by commands inside it and never by the product. */
export type Standing = {
  /** Path → type, mode, owner, link target, SHA-256; without backups and without what only grows (journal, logs). */
  readonly files: ReadonlyMap<string, string>;
  readonly contents: ReadonlyMap<string, string>;
  /** Paths of tagged backups and of edits that were kept. */
  readonly backups: readonly string[];
  readonly epoch: number;
  readonly journals: readonly Journal[];
  /** What is in force: units that run or are enabled, listening ports, the firewall's rules. */
  readonly force: ReadonlyMap<string, string>;
  /** Units of ours besides the two that stay, timers, and failed units of ours and of the services. */
  readonly units: readonly string[];
  /** Programs of ours that run, by their arguments. */
  readonly programs: readonly string[];
};

const places = [
  '/etc',
  '/root',
  '/opt',
  '/usr/local',
  '/cms/install',
  '/cms/bin',
  '/var/lib/cmsadm',
  '/tmp',
  '/var/tmp',
];
const services = ['ids', 'cms', 'chrony', 'ssh', 'cron', 'nftables', 'cmsadm-agent', 'cmsadm-recover'];

const script = `
set -- ${places.join(' ')}
for place in /run/cmsadm*; do [ -e "$place" ] && set -- "$@" "$place"; done
for place; do shift; [ -e "$place" ] && set -- "$@" "$place"; done
echo '== files'; find "$@" -xdev -printf '%p\\t%y %m %u:%g %l\\n'
echo '== sums'; find "$@" -xdev -type f ! -size +5M -exec sha256sum {} +
for file in ${openFiles.join(' ')}; do
  [ -f "$file" ] && { echo "== content $file"; base64 -w 0 "$file"; echo; }
done
echo '== epoch'; cat /var/lib/cmsadm/epoch 2>/dev/null
echo; echo '== journals'
if cd /var/lib/cmsadm/journal 2>/dev/null; then
  awk 'FNR == 1 { print FILENAME "\\t-" } /^{"state":".*}$/ { split($0, part, "\\""); print FILENAME "\\t" part[4] }' *.jsonl 2>/dev/null
  echo '== decisions'; grep -H . *.decision 2>/dev/null
fi
echo '== active'; for unit in ${services.join(' ')}; do echo "$unit $(systemctl is-active $unit)"; done
echo '== enabled'; for unit in ${services.join(' ')}; do echo "$unit $(systemctl is-enabled $unit 2>/dev/null)"; done
echo '== ports'; ss -Htln | awk '{ print $4 }' | sort
echo '== rules'; nft list ruleset
echo '== units'
systemctl list-units --all --plain --no-legend --full 'cmsadm*' 'run-*.timer' | awk '{ print $1, $2, $3, $4 }'
echo '== failed'; systemctl list-units --state=failed --all --plain --no-legend --full | awk '{ print $1 }'
echo '== programs'; ps -eo pid=,etimes=,stat=,args= | grep -v '^ *[0-9]* *[0-9]* *Z'
`;

/** Looks at one server. Throws `lab-server-off` where it has no power, and when the look itself fails. */
export async function look(server: PairServer): Promise<Standing> {
  const { stdout } = await exec(server, ['sh', '-c', script], { timeoutMs: 30_000 });
  return standingOf(stdout);
}

/** Reads what the script printed. */
function standingOf(text: string): Standing {
  const sections = new Map<string, string[]>();
  for (const part of text.split(/^== /m).slice(1)) {
    const [name = '', ...lines] = part.split('\n');
    sections.set(
      name,
      lines.filter((line) => line !== ''),
    );
  }
  const lines = (name: string): readonly string[] => sections.get(name) ?? [];
  const contents = new Map<string, string>();
  for (const path of openFiles) {
    const [base64] = lines(`content ${path}`);
    if (sections.has(`content ${path}`)) contents.set(path, Buffer.from(base64 ?? '', 'base64').toString('latin1'));
  }
  const { files, backups } = filesIn(lines('files'), lines('sums'));
  return {
    files,
    contents,
    backups,
    epoch: Number(lines('epoch')[0] ?? 0),
    journals: journalsIn(lines('journals'), lines('decisions')),
    force: new Map([
      ['active units', activeIn(lines('active'))],
      ['enabled units', lines('enabled').join(', ')],
      ['listening ports', lines('ports').join(', ')],
      ['firewall rules', lines('rules').join('\n')],
    ]),
    units: [
      ...lines('units').filter((line) => !isLasting(line)),
      ...lines('failed')
        .filter(isOfInterest)
        .map((unit) => `failed: ${unit}`),
    ],
    programs: lines('programs').filter((line) => /cmsadm/.test(line) && !isThisLook(line)),
  };
}

// What only grows or changes by itself; it is judged in ways of its own.
const isRecord = (path: string): boolean =>
  /^\/var\/lib\/cmsadm\/(journal|kept|sync|epoch|alarms\.jsonl)(\/|$)/.test(path) ||
  /^\/(var\/)?tmp\/systemd-private-|^\/(var\/)?tmp\/\.[A-Z]|^\/run\/cmsadm\/(agent\.(json|sock)|metrics\.prom|bulk-hosts)$/.test(
    path,
  ) ||
  /^\/root\/\.(bash_history|lesshst)$/.test(path);

// Folders that set up leaves behind empty, and those whose mere presence says nothing.
const isHollow = (path: string): boolean =>
  /^\/(etc\/cmsadm|etc\/cmsadm\/profiles|var\/lib\/cmsadm|run\/cmsadm|tmp|var\/tmp)$/.test(path);

function filesIn(listed: readonly string[], sums: readonly string[]) {
  const files = new Map<string, string>();
  const backups: string[] = [];
  for (const line of listed) {
    const [path = '', facts = ''] = line.split('\t');
    if (isRecord(path) || isHollow(path)) continue;
    if (/\.zdt_\d+_\d+(\.edited(-\d+)?)?$/.test(path)) backups.push(path);
    else files.set(path, facts.trim());
  }
  for (const line of sums) {
    const path = line.slice(66);
    const facts = files.get(path);
    if (facts !== undefined) files.set(path, `${facts} ${line.slice(0, 64)}`);
  }
  return { files, backups };
}

function journalsIn(states: readonly string[], decisions: readonly string[]): Journal[] {
  const decided = new Map(decisions.map((line) => [line.split('.decision:')[0] ?? '', line.split(':')[1]]));
  const byId = new Map<string, string[]>();
  for (const line of states) {
    const [file = '', state = ''] = line.split('\t');
    const id = file.replace(/\.jsonl$/, '');
    byId.set(id, [...(byId.get(id) ?? []), ...(state === '-' ? [] : [state])]);
  }
  return [...byId].map(([id, reached]) => ({ id, states: reached, decision: decided.get(id) }));
}

// A boot unit that has run says "inactive" at once or after a moment: only what is up counts.
const activeIn = (lines: readonly string[]): string =>
  lines.filter((line) => line.endsWith(' active') && !line.startsWith('cmsadm-recover')).join(', ');

// A small machine's limits (inotify) now and then fail units of the base that nobody here reads.
const isOfInterest = (unit: string): boolean => /^(cmsadm|ids|cms|chrony|ssh|cron|nftables|networking)/.test(unit);

const isThisLook = (line: string): boolean => /timeout --kill-after|== files/.test(line);

const isLasting = (line: string): boolean => /^cmsadm-(agent|recover)\.service /.test(line);

/** Is this transaction neither confirmed nor put back to its end? */
export const isOpen = ({ states, decision }: Journal): boolean =>
  (decision !== 'confirmed' && decision !== 'put-back') || !states.includes(decision);

const busyScript = `
cd /var/lib/cmsadm/journal 2>/dev/null && for journal in *.jsonl; do
  [ -f "$journal" ] || continue
  decision=$(cat "\${journal%.jsonl}.decision" 2>/dev/null)
  case $decision in confirmed | put-back) ;; *) echo "$journal"; continue ;; esac
  while read -r line; do case $line in '{"state":"'$decision'"'*) continue 2; esac; done <"$journal"
  echo "$journal"
done
for lock in /run/cmsadm/lock*; do [ -e "$lock" ] && echo "$lock"; done
systemctl list-units --all --plain --no-legend 'cmsadm-way-back*'
ps -eo args= | grep -E 'cli[.]js (config_HA|recover)'
true
`;

/** What a server has of a change under way: open journals, locks, timers, programs of an operation; a quick look. */
export async function underWay(server: PairServer): Promise<readonly string[]> {
  const { stdout } = await exec(server, ['sh', '-c', busyScript], { timeoutMs: 30_000 });
  return stdout.split('\n').filter((line) => line !== '');
}
