import type { SyncStatus } from './sync-status.ts';

type Labels = Readonly<Record<string, string>>;
type Sample = { readonly labels?: Labels; readonly value: number };
type Metric = { readonly name: string; readonly type: 'gauge' | 'counter'; readonly help: string } & {
  readonly samples: readonly Sample[];
};

/**
 * The status as a text file for node_exporter's textfile collector (Prometheus text format 0.0.4). What is not known,
 * as the time of a first full pass, has no sample.
 */
export const metricsText = (status: SyncStatus): string =>
  [...ofServer(status), ...ofSets(status.sets, status.at)]
    .filter(({ samples }) => samples.length > 0)
    .flatMap(({ name, type, help, samples }) => [
      `# HELP cmsadm_sync_${name} ${help}`,
      `# TYPE cmsadm_sync_${name} ${type}`,
      ...samples.map(({ labels = {}, value }) => `cmsadm_sync_${name}${labelText(labels)} ${value}`),
    ])
    .map((line) => `${line}\n`)
    .join('');

function ofServer(status: SyncStatus): Metric[] {
  const { role, epoch, lastPass, passPercent, paused, restoring, seq, acked, conflicts, queue, lag, at } = status;
  const gauge = (name: string, help: string, value: number | undefined): Metric => ({
    ...{ name, help, type: 'gauge' },
    samples: value === undefined ? [] : [{ value }],
  });
  return [
    {
      ...{ name: 'role', help: 'Saved role of this server; 1 for the one that holds.', type: 'gauge' },
      samples: (['none', 'primary', 'secondary'] as const).map((one) => ({
        labels: { role: one },
        value: one === role ? 1 : 0,
      })),
    },
    gauge('epoch', 'Epoch of the saved pair.', epoch),
    gauge('last_full_pass_timestamp_seconds', 'When the last full pass ended.', secondsOf(lastPass)),
    gauge('full_pass_running', 'Whether a full pass runs.', passPercent === null ? 0 : 1),
    gauge('paused', 'Whether an operator paused admin-sync.', paused ? 1 : 0),
    gauge('restoring', 'Whether admin-sync is held for a restore.', restoring ? 1 : 0),
    gauge('sequence_sent', 'Number of the last change sent under this epoch.', seq),
    gauge('sequence_acknowledged', 'Every change up to this number was answered under this epoch.', acked),
    gauge('conflicts', 'Conflicts recorded on this server.', conflicts),
    gauge('queue', 'Names that are known to differ and are not across yet.', queue),
    gauge(
      'last_change_seconds',
      'How long the last change took to be on the other disk.',
      lag === null ? undefined : lag / 1000,
    ),
    gauge('status_timestamp_seconds', 'When this was written.', secondsOf(at)),
  ];
}

const states = ['in step', 'sending', 'held', 'stopped', 'undecided'] as const;

function ofSets(sets: SyncStatus['sets'], at: string): Metric[] {
  type Set = SyncStatus['sets'][number];
  const perSet = (type: Metric['type'], name: string, help: string, value: (set: Set) => number): Metric => ({
    ...{ name, help, type },
    samples: sets.map((set) => ({ labels: { set: set.name }, value: value(set) })),
  });
  // Both times are that server's own.
  const lag = ({ oldest }: Set): number =>
    oldest === null ? 0 : Math.max(0, (Date.parse(at) - Date.parse(oldest)) / 1000);
  return [
    {
      ...{ name: 'set_state', help: 'State of the data set; 1 for the one that holds.', type: 'gauge' },
      samples: sets.flatMap(({ name, state }) =>
        states.map((one) => ({ labels: { set: name, state: one }, value: one === state ? 1 : 0 })),
      ),
    },
    {
      ...{ name: 'set_as_wanted', help: 'Whether this server stands as the data set wants it.', type: 'gauge' },
      samples: sets.flatMap(({ name, wanted }) =>
        wanted ? [{ labels: { set: name }, value: wanted.state === 'as wanted' ? 1 : 0 }] : [],
      ),
    },
    perSet('gauge', 'set_lag_seconds', 'Age of the oldest change that is not acknowledged; 0 without one.', lag),
    perSet('gauge', 'set_queue', 'Names that are known to differ and are not across yet.', ({ queue }) => queue),
    perSet('gauge', 'set_names', 'Names in the data set on this server.', ({ names }) => names),
    perSet('counter', 'set_sent_total', 'Changes acknowledged since the agent started.', ({ sent }) => sent),
  ];
}

const secondsOf = (time: string | null): number | undefined => (time === null ? undefined : Date.parse(time) / 1000);

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
