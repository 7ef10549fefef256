/** A tag names one change: `zdt_<pid>_<epoch seconds>`; the backup of a file is `<file>.<tag>`. */
export type Tag = string;

const tagPattern = /^zdt_\d{1,10}_\d{10,11}$/;

/** A tag that is none of `taken`: a second operation of one process within a second gets the next second. */
export function makeTag(pid: number, now: number, taken: readonly Tag[]): Tag {
  const tag = `zdt_${pid}_${Math.floor(now / 1000)}`;
  return taken.includes(tag) ? makeTag(pid, now + 1000, taken) : tag;
}

export const isTag = (text: string): text is Tag => tagPattern.test(text);
export const backupOf = (path: string, tag: Tag): string => `${path}.${tag}`;

/**
 * One transaction of a tag: the link of two servers, another version of the program, what is administered (options 1 to
 * 11), or everything else.
 */
export const steps = ['link', 'change', 'program', 'administration'] as const;
export type Step = (typeof steps)[number];
export type TransactionId = string;

export const transactionId = (tag: Tag, step: Step): TransactionId => `${tag}.${step}`;
export const isTransactionId = (text: string): boolean =>
  /^zdt_\d{1,10}_\d{10,11}\.(link|change|program|administration)$/.test(text);
export const stepOf = (id: TransactionId): string => id.slice(id.lastIndexOf('.') + 1);
export const tagOf = (id: TransactionId): Tag => id.slice(0, id.lastIndexOf('.'));
