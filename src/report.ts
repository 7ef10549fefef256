import type { Check } from './ha/check.ts';
import type { KeptTag } from './ha/prune.ts';
import type { Review } from './ha/review.ts';
import type { Conflict, PassReport, SetDifference } from './pair/sync-reports.ts';
import type { SyncStatus } from './pair/sync-status.ts';

/** A pair as one server sees it. */
export type PairView = {
  /** The server that says so, by FQDN. */
  readonly seenBy: string;
  readonly reachable: boolean;
  /** Of cmsadm there. */
  readonly version: string | undefined;
  readonly linked: boolean;
  readonly role: 'primary' | 'secondary' | undefined;
  readonly epoch: number | undefined;
  readonly primary: string | undefined;
  readonly secondary: string | undefined;
  /** unit → active */
  readonly services: Readonly<Record<string, boolean>>;
  /** Who is changing the pair now, if anybody. */
  readonly lock: string | undefined;
  readonly unfinished: readonly string[];
  /** What admin-sync says of itself, in one line. */
  readonly sync: string | undefined;
  readonly alarms: readonly { readonly at: string; readonly text: string }[];
  /** Data collection of each ACD there, a line each; nothing where no ACD is defined. */
  readonly acds?: readonly string[];
};

/** Admin-sync as the agent of one server tells it: `status`, or `error` where the agent can't be asked. */
export type SyncView = {
  /** The server, by FQDN. */
  readonly name: string;
  readonly reachable: boolean;
  readonly status?: Omit<SyncStatus, 'sets'> & {
    /** With the age of the oldest change that is not acknowledged, in seconds; null where there is none. */
    readonly sets: readonly (SyncStatus['sets'][number] & { readonly lagSeconds: number | null })[];
  };
  readonly error?: { readonly code: string; readonly message: string; readonly remedy: string | null };
};

/** A conflict, and the server that recorded it, by FQDN. */
export type ConflictLine = Conflict & { readonly server: string };

export type TagLine = {
  readonly tag: string;
  readonly at: string;
  readonly operation: string;
  readonly operator: string;
  readonly files: readonly string[];
  /** `whole`, or why it can't be restored. */
  readonly state: 'whole' | 'partial' | 'pruned' | 'on one server' | 'not settled';
  /** What each server lacks that has not all of it. */
  readonly lacks: readonly string[];
};

/** What a finished operation tells of one server. */
export type ServerResult = {
  readonly name: string;
  readonly role: string | undefined;
  readonly files: readonly string[];
  readonly services: readonly string[];
  readonly verified: readonly string[];
};

/** Screens that a command may show; only the renderer knows how they look. */
export type Screen =
  | { readonly kind: 'preflight'; readonly checks: readonly Check[]; readonly toConfirm: readonly string[] }
  | { readonly kind: 'review'; readonly review: Review }
  /** The same review as unified diffs; never of secrets. */
  | { readonly kind: 'diff'; readonly review: Review }
  | { readonly kind: 'pair'; readonly views: readonly PairView[] }
  | { readonly kind: 'sync'; readonly views: readonly SyncView[] }
  | { readonly kind: 'passes'; readonly passes: readonly PassReport[] }
  | { readonly kind: 'differences'; readonly sets: readonly SetDifference[] }
  | { readonly kind: 'conflicts'; readonly conflicts: readonly ConflictLine[]; readonly notAsked?: string }
  /** The kept copy against the file as it is, both latin1; or why they are not shown. */
  | {
      readonly kind: 'conflict';
      readonly conflict: ConflictLine;
      readonly compared: { readonly kept: string; readonly current: string } | { readonly why: string };
    }
  | { readonly kind: 'tags'; readonly tags: readonly TagLine[] }
  | {
      readonly kind: 'backups';
      readonly title: string;
      readonly tags: readonly KeptTag[];
      readonly notes: readonly string[];
    }
  | {
      readonly kind: 'result';
      readonly title: string;
      readonly servers: readonly ServerResult[];
      readonly notes: readonly string[];
    };

/** What commands tell while they work; one renderer turns it into a terminal's, plain or JSON lines. */
export type Report = {
  /** A step that takes time; returns what ends it. Steps of two servers may overlap. */
  step(text: string): (outcome: 'done' | 'failed') => void;
  /** Another text for the one step whose spinner turns; nothing is written. */
  progress(text: string): void;
  line(text: string): void;
  warn(text: string): void;
  show(screen: Screen): void;
  /** Shows a screen in the place of the last one that was shown so. False once nobody reads any more. */
  live(screen: Screen): boolean;
};

/** One question. `check` returns the value to use, or throws a CmsadmError whose message says why it is not accepted. */
export type Question = {
  readonly text: string;
  /** Taken when the operator just presses Enter; without one an empty answer is checked as ''. */
  readonly preset?: string;
  readonly check: (answer: string) => string | Promise<string>;
};

/** Who answers: a terminal, or lines of a script. The end of input is an error, never an answer. */
export type Asker = {
  text(question: Question): Promise<string>;
  /** Not echoed, not logged. */
  secret(text: string): Promise<string>;
  /** One of the given keys, typed as it is; nothing is preset. */
  choose(text: string, keys: readonly string[]): Promise<string>;
};

/** Runs one step and reports its start and end. */
export async function during<T>(report: Pick<Report, 'step'>, text: string, work: () => Promise<T>): Promise<T> {
  const end = report.step(text);
  try {
    const result = await work();
    end('done');
    return result;
  } catch (error) {
    end('failed');
    throw error;
  }
}
