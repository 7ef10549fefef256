/** What may happen without anybody there, by id: to admin-sync, and to a change. The ids are stable: scripts look for them in the journal (docs/exit-codes.md). */
export const events = {
  'sync-stalled': 'something waits, and nothing was acknowledged for a minute',
  'sync-recovered': 'it goes on: what waited is acknowledged again, or what stopped a data set is over',
  'sync-stopped': 'a data set can’t be read, compared, sent or applied',
  'sync-held': 'a guard stopped a data set, or a restore holds admin-sync',
  'sync-released': 'a held data set goes on, or the restore ended with its full pass',
  'sync-conflict': 'a version of this server’s own lost, and is kept',
  'sync-undecided': 'both servers have changes of a data set, and a person has to decide',
  'sync-decided': 'a person decided, and the data set goes on',
  'sync-unwatched': 'folders can’t be watched, for want of inotify watches: what changes there is found late',
  'sync-watched': 'every folder is watched again',
  'wanted-differs': 'this server does not stand as a data set wants it, or the program that sees to it failed',
  'wanted-reached': 'this server stands as wanted again',
  'change-put-back': 'a change was put back here by itself: its run had ended, or came too late',
  'change-confirmed-late': 'a change that was decided was finished here by itself',
  'change-waits': 'a change waits for the other server’s word, which is asked for every minute',
  'change-not-settled': 'a change could not be settled by itself; it is tried again every minute',
} as const;
export type EventId = keyof typeof events;

/** An event as a line of the journal. */
export const eventLine = (id: EventId, text: string): string => `event ${id}: ${text}`;
