import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as v from 'valibot';
import { readAccounts } from './accounts.ts';
import { answered } from './answers.ts';
import { baseOf, mtimeOf, orGone, placeIn } from './data-set.ts';
import type { Line } from './line.ts';
import type { LiveSet } from './live-set.ts';
import { stampOf } from './tree.ts';
import { makeWindow } from './window.ts';

/** Files told in one message. */
const BATCH = 1_000;

/** A file that rsync brings, as it was before. */
export type Bulk = { readonly path: string; readonly stat: fs.Stats };
/** One that the other server has taken, the sign under which it did, and whether it is here still as it was. */
export type Taken = Bulk & { readonly sign: string; readonly isUnchanged: boolean };

/**
 * Has the other server take what rsync brought: what was sent a while ago already while rsync still brings the others. A
 * file that was not there yet is asked for again in the end.
 */
export function makeTaker(line: Line, { set, tree }: LiveSet, files: readonly Bulk[]) {
  const accounts = readAccounts(tree.host.root);
  const window = makeWindow();
  const waiting = new Map(files.map((file) => [file.path, file]));
  const sent: Bulk[] = [];
  const taken: Taken[] = [];
  const base = baseOf(tree.host, set);
  // Changed while it was read: what arrived may be half of each.
  const isUnchanged = ({ path, stat }: Bulk): boolean => {
    const now = orGone(() => fs.lstatSync(placeIn(base, path)));
    return now !== undefined && stampOf(now) === stampOf(stat);
  };

  const take = (some: readonly Bulk[]): Promise<void> =>
    window.add(BATCH, async () => {
      const signed = some.map((file) => ({ ...file, sign: `f${randomBytes(16).toString('base64').slice(0, 22)}` }));
      const told = signed.map(({ path, stat, sign }) => {
        const own = { owner: accounts.owner(stat.uid), group: accounts.group(stat.gid), mode: stat.mode & 0o7777 };
        return { path, ...own, mtimeMs: mtimeOf(stat), size: stat.size, sign };
      });
      const answer = await line.session.call('agentTake', { epoch: line.epoch, set: set.name, files: told });
      const paths = new Set(answered(v.array(v.string()), answer));
      for (const one of signed)
        if (paths.has(one.path) && waiting.delete(one.path)) taken.push({ ...one, isUnchanged: isUnchanged(one) });
    });

  return {
    /** A file's last byte was sent. */
    wasSent: (path: string): void => {
      const file = waiting.get(path);
      if (!file) return;
      sent.push(file);
      // The later half may still be on its way. What fails is told by the rest.
      if (sent.length >= 2 * BATCH) take(sent.splice(0, BATCH)).catch(() => {});
    },
    /** rsync has ended. @throws what any of the messages ended with */
    takeRest: async (): Promise<readonly Taken[]> => {
      await window.empty();
      const rest = [...waiting.values()];
      for (let start = 0; start < rest.length; start += BATCH) await take(rest.slice(start, start + BATCH));
      await window.empty();
      return taken;
    },
  };
}
