import { describe, expect, test } from 'vitest';
import { metricsText } from '../../src/pair/sync-metrics.ts';
import type { SyncStatus } from '../../src/pair/sync-status.ts';

const set = {
  ...{ name: 'administration', why: '', queue: 3, oldest: '2026-11-21T07:59:57.500Z', names: 40, sent: 12 },
  lastMinute: 2,
  state: 'sending' as const,
};
const status: SyncStatus = {
  role: 'primary',
  ...{ epoch: 3, state: 'in step', lastPass: '2026-11-21T03:00:00.000Z', lag: 4, queue: 3, passPercent: null },
  ...{ paused: null, seq: 15, acked: 12, conflicts: 1, sets: [set], pid: 77, at: '2026-11-21T08:00:00.000Z' },
};
const samples = (one: SyncStatus): string[] =>
  metricsText(one)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));

describe('the metrics', () => {
  test('tell of wanted state where a data set holds some, and it was looked at', () => {
    const wanted = (state: 'as wanted' | 'differs') => ({ state, lines: [], at: '2026-11-21T07:58:00.000Z' });
    const [set] = status.sets;
    if (!set) throw new Error('the sample has no set');
    const sets = [
      set,
      { ...set, name: 'ages', wanted: wanted('as wanted') },
      { ...set, name: 'packages', wanted: wanted('differs') },
    ];
    expect(samples({ ...status, sets }).filter((line) => line.includes('as_wanted'))).toEqual([
      'cmsadm_sync_set_as_wanted{set="ages"} 1',
      'cmsadm_sync_set_as_wanted{set="packages"} 0',
    ]);
  });

  test('tell the server and each data set', () => {
    expect(samples(status)).toEqual([
      'cmsadm_sync_role{role="none"} 0',
      'cmsadm_sync_role{role="primary"} 1',
      'cmsadm_sync_role{role="secondary"} 0',
      'cmsadm_sync_epoch 3',
      'cmsadm_sync_last_full_pass_timestamp_seconds 1795230000',
      'cmsadm_sync_full_pass_running 0',
      'cmsadm_sync_paused 0',
      'cmsadm_sync_restoring 0',
      'cmsadm_sync_sequence_sent 15',
      'cmsadm_sync_sequence_acknowledged 12',
      'cmsadm_sync_conflicts 1',
      'cmsadm_sync_queue 3',
      'cmsadm_sync_last_change_seconds 0.004',
      'cmsadm_sync_status_timestamp_seconds 1795248000',
      'cmsadm_sync_set_state{set="administration",state="in step"} 0',
      'cmsadm_sync_set_state{set="administration",state="sending"} 1',
      'cmsadm_sync_set_state{set="administration",state="held"} 0',
      'cmsadm_sync_set_state{set="administration",state="stopped"} 0',
      'cmsadm_sync_set_state{set="administration",state="undecided"} 0',
      'cmsadm_sync_set_lag_seconds{set="administration"} 2.5',
      'cmsadm_sync_set_queue{set="administration"} 3',
      'cmsadm_sync_set_names{set="administration"} 40',
      'cmsadm_sync_set_sent_total{set="administration"} 12',
    ]);
  });

  test('say nothing of what is not known, and nothing of data sets where there are none', () => {
    const text = metricsText({ ...status, lastPass: null, lag: null, sets: [] });
    expect(text).not.toMatch(/last_full_pass|last_change|_set_/);
    expect(text).toContain('cmsadm_sync_epoch 3\n');
  });

  test('never give an age below zero, whatever the clock did', () => {
    const later = { ...set, oldest: '2026-11-21T09:00:00.000Z' };
    expect(
      samples({ ...status, sets: [later, { ...set, name: 'b', oldest: null }] }).filter((line) => line.includes('lag')),
    ).toEqual(['cmsadm_sync_set_lag_seconds{set="administration"} 0', 'cmsadm_sync_set_lag_seconds{set="b"} 0']);
  });

  test('keep to the text format: HELP and TYPE before the samples of each name, once, and a final line end', () => {
    const text = metricsText({ ...status, sets: [set, { ...set, name: 'b' }] });
    expect(text.endsWith('\n')).toBe(true);
    const seen = new Set<string>();
    let current = '';
    for (const line of text.trimEnd().split('\n')) {
      const help = /^# HELP (cmsadm_sync_[a-z_]+) \S/.exec(line)?.[1];
      if (help !== undefined) {
        expect(seen.has(help)).toBe(false);
        seen.add(help);
        current = help;
      } else if (line.startsWith('#')) expect(line).toMatch(new RegExp(`^# TYPE ${current} (gauge|counter)$`));
      else expect(line).toMatch(new RegExp(`^${current}(\\{([a-z]+="[^"\\n]*",?)+\\})? [0-9.]+$`));
    }
    expect(seen.size).toBe(17);
  });

  test('escape what a label may not hold', () => {
    expect(samples({ ...status, sets: [{ ...set, name: 'a"b\\c\nd' }] })).toContain(
      'cmsadm_sync_set_names{set="a\\"b\\\\c\\nd"} 40',
    );
  });
});
