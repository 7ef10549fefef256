import { type Change, type FileChange, realPath } from '../change/change.ts';
import type { Facts } from '../pair/facts.ts';
import type { Profile } from '../profile/schema.ts';
import { touchedServices } from './service-work.ts';

export type ReviewFile = {
  readonly path: string;
  /** Where it really is, if a folder of its path is a link. */
  readonly real?: string;
  readonly what: 'changed' | 'created' | 'removed' | 'stays';
  /** Other names of the file (hard links): they keep the old content. */
  readonly otherNames?: number;
  readonly secret: boolean;
  /** latin1 text; undefined where it must not be shown. */
  readonly before: string | undefined;
  readonly after: string | undefined;
};

export type ReviewService = {
  readonly label: string;
  readonly unit: string;
  readonly how: string;
  readonly because: readonly string[];
  readonly interruption: number;
};

/** What the operator sees of one server before he says `y`. */
export type ReviewServer = {
  readonly name: string;
  readonly address: string;
  readonly becomes: string;
  readonly services: readonly ReviewService[];
  readonly files: readonly ReviewFile[];
  /** Expected interruption in seconds, the sum over its restarted services. */
  readonly interruption: number;
};

export type Review = {
  readonly operation: string;
  readonly tag: string;
  readonly servers: readonly ReviewServer[];
  readonly notes: readonly string[];
};

const text = (file: FileChange): string | undefined =>
  file.secret ? undefined : file.generated ? '<public key of this server, made at apply>\n' : file.after?.content;

/** One server's part of the review, from its facts and its changes. */
export function reviewServer(
  who: { readonly name: string; readonly address: string; readonly becomes: string },
  facts: Pick<Facts, 'files' | 'family' | 'units'>,
  changes: readonly Change[],
  profile: Profile,
): ReviewServer {
  const changed = changes.flatMap((change) => change.files);
  const services: ReviewService[] = touchedServices(profile, facts, changed).map(({ how, ...service }) => ({
    ...service,
    how,
  }));
  const own = changes.flatMap(({ services: work }) => [
    ...work.start.map((unit) => ({
      label: 'admin-sync',
      unit,
      // A start that finds it running is a restart: it shall read its new role.
      how: facts.units[unit]?.active ? 'restart' : 'start',
      because: ['the new role'],
      interruption: 0,
    })),
    ...work.stop.map((unit) => ({
      label: 'admin-sync',
      unit,
      how: 'stop',
      because: ['the end of the pair'],
      interruption: 0,
    })),
  ]);
  const afterwards = changes.flatMap((change) => change.afterwards.removeFiles);
  return {
    ...who,
    services: [...services, ...own],
    interruption: services.reduce((sum, service) => sum + service.interruption, 0),
    files: facts.files.flatMap(({ row, fact }): ReviewFile[] => {
      const change = changed.find((file) => file.path === row.path);
      const before = fact.state === 'file' && !row.secret ? fact.content : undefined;
      if (change)
        return [
          {
            path: row.path,
            ...(realPath(change) === row.path ? {} : { real: realPath(change) }),
            ...(fact.state === 'file' && fact.otherNames !== undefined ? { otherNames: fact.otherNames } : {}),
            what: change.after === null ? 'removed' : change.before === null ? 'created' : 'changed',
            secret: row.secret,
            before,
            after: text(change),
          },
        ];
      if (afterwards.includes(row.path))
        return [{ path: row.path, what: 'removed', secret: false, before, after: undefined }];
      return fact.state === 'absent'
        ? []
        : [{ path: row.path, what: 'stays', secret: row.secret, before: undefined, after: undefined }];
    }),
  };
}
