import { basename, join } from 'node:path';
import type { Place } from '../host/held-folder.ts';
import type { Ownership } from '../host/root.ts';
import type { Judge } from '../host/system.ts';
import type { FileKind } from '../pair/managed-files.ts';
import type { Step, Tag } from '../pair/tag.ts';

/** What one file becomes. Content is latin1 text, one character per byte. */
export type FileChange = {
  readonly path: string;
  readonly kind: FileKind;
  /** SHA-256 of what the plan saw; null where there was no file. */
  readonly before: string | null;
  /** Mode, owner and group that the plan saw. */
  readonly was?: Ownership;
  /** Where its folder really is. */
  readonly folder?: Place;
  /** The backup whose access lists, attributes and label the new file gets; those of the file itself otherwise. */
  readonly like?: string;
  /** The new file; null where the file goes away. */
  readonly after: {
    readonly content: string;
    readonly mode: number;
    readonly owner: string;
    readonly group: string;
  } | null;
  /** The program that is asked about it, where its kind does not tell that already. */
  readonly judge?: Judge;
  /** Never shown in a diff or a journal. */
  readonly secret: boolean;
  /** True for a pair key: the server makes the content itself, it is never sent. */
  readonly generated: boolean;
};

/** The path of a managed file without links in it. */
export const realPath = ({ path, folder }: Pick<FileChange, 'path' | 'folder'>): string =>
  folder === undefined ? path : join(folder.real, basename(path));

/** The services that a change touches, by unit name. */
export type ServiceWork = {
  readonly reload: readonly string[];
  readonly restart: readonly string[];
  /** Enabled for the next boot only. */
  readonly enable: readonly string[];
  /** Enabled for the next boot and started. */
  readonly start: readonly string[];
  /** Stopped and disabled. */
  readonly stop: readonly string[];
  /** Restarted only when a person is present: their restart interrupts the service. */
  readonly affecting: readonly string[];
  /** Longest time in seconds until all of them are healthy again. */
  readonly seconds: number;
};

/** Another version of the program: names of releases, and the SHA-256 of the new one's manifest. */
export type ProgramSwitch = { readonly from: string; readonly to: string; readonly digest: string };

/** Everything that one server does in one transaction: plain data, made by a pure plan. */
export type Change = {
  readonly tag: Tag;
  readonly step: Step;
  /** As the operator knows it: `set up roles`, `reverse roles`… */
  readonly operation: string;
  readonly operator: string;
  /** FQDN of the server that carries it out. */
  readonly server: string;
  readonly files: readonly FileChange[];
  readonly services: ServiceWork;
  /** Only where another version comes; both releases are unpacked. */
  readonly program?: ProgramSwitch;
  /** The new epoch, written to the high-water mark; null where roles stay as they are. */
  readonly epoch: number | null;
  /** Seconds until an unconfirmed change is put back. */
  readonly confirmSeconds: number;
  /** Connections whose effective sshd settings must not change; only where sshd's files change. */
  readonly sshWatch: {
    readonly peer: { readonly address: string; readonly fqdn: string };
    readonly own: string;
    readonly port: number;
    /** root must be able to come in from the peer afterwards. */
    readonly mayEnter: boolean;
  } | null;
  /** Done after the confirmation only: what a way back would have needed. */
  readonly afterwards: {
    readonly removeFiles: readonly string[];
    readonly disableUnits: readonly string[];
    readonly removeProgram: boolean;
  };
};

export const noServices: ServiceWork = {
  reload: [],
  restart: [],
  enable: [],
  start: [],
  stop: [],
  affecting: [],
  seconds: 0,
};
export const nothingAfterwards: Change['afterwards'] = { removeFiles: [], disableUnits: [], removeProgram: false };

/** Nothing to do on this server. */
export const isEmpty = (change: Change): boolean =>
  change.files.length === 0 &&
  change.program === undefined &&
  change.services.enable.length === 0 &&
  change.services.start.length === 0 &&
  change.services.stop.length === 0 &&
  change.services.restart.length === 0 &&
  change.services.reload.length === 0;
