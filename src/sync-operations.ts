import { syncParameters } from './commands/parameters.ts';
import type { Operation } from './operations.ts';

const { watch, set, onlyDiff, conflict, clean, cleanFlag, server, onlySet, restore, restored } = syncParameters;

/** What `cmsadm sync` does, in the order of its menu; loaded when it is used. */
export const syncOperations: readonly Operation[] = [
  {
    name: 'status',
    label: 'Show how admin-sync stands on both servers',
    parameters: [watch],
    run: async (context, given) => (await import('./commands/sync-status.ts')).syncStatus(context, given),
  },
  {
    name: 'now',
    label: 'Compare everything now, and send what differs',
    parameters: [],
    run: async (context) => (await import('./commands/sync-now.ts')).syncNow(context),
  },
  {
    name: 'pause',
    label: 'Send nothing until it is resumed',
    parameters: [],
    run: async (context) => (await import('./commands/sync-steer.ts')).syncPause(context),
  },
  {
    name: 'resume',
    label: 'Send again',
    parameters: [restored],
    run: async (context, given) => (await import('./commands/sync-steer.ts')).syncResume(context, given),
  },
  {
    name: 'hold',
    label: 'Send nothing while data of this server are restored',
    parameters: [restore],
    run: async (context, given) => (await import('./commands/sync-steer.ts')).syncHold(context, given),
  },
  {
    name: 'diff',
    label: 'Show what differs between the servers',
    parameters: [onlyDiff],
    run: async (context, given) => (await import('./commands/sync-diff.ts')).syncDiff(context, given),
  },
  {
    name: 'keep',
    label: 'Decide whose versions of a data set stay',
    parameters: [server, onlySet],
    run: async (context, given) => (await import('./commands/sync-keep.ts')).syncKeep(context, given),
  },
  {
    name: 'conflicts',
    label: 'List the conflicts, or show one',
    parameters: [conflict],
    run: async (context, given) => (await import('./commands/sync-conflicts.ts')).syncConflicts(context, given),
  },
  {
    name: 'release',
    label: 'Let a held data set go on',
    parameters: [set],
    run: async (context, given) => (await import('./commands/sync-steer.ts')).syncRelease(context, given),
  },
  {
    name: 'log',
    label: 'Show the last full passes, or empty their log',
    parameters: [clean, cleanFlag],
    run: async (context, given) => (await import('./commands/sync-log.ts')).syncLog(context, given),
  },
];
