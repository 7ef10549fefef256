import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { at, list } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { paths } from '../pair/state.ts';
import type { Agent } from './agent.ts';
import { applySet } from './apply.ts';
import type { DataSet } from './entry.ts';
import { digestOf, EXPORT, exportAnew } from './export.ts';
import { keep } from './kept.ts';
import type { LiveSet } from './live-set.ts';
import { raiseOnce } from './standing-alarms.ts';
import { forgetUnapplied, isOwed } from './unapplied.ts';

/**
 * On the server that administers: applies what it took as the secondary and was never asked to apply. The other server
 * was told that it is there, so until then nothing is exported over it. What fails is told with the set, and tried again.
 */
export async function applyOwed(agent: Agent, live: LiveSet): Promise<void> {
  const { set } = live;
  const { host, unapplied } = agent;
  // What the other server asked for while it administered may still be under way.
  await agent.senders.taking;
  try {
    if (isOwed(host, set)) {
      const applying = applyAsItCame(agent, live);
      // Whoever asks for quiet waits for it.
      agent.senders.taking = applying.catch(() => undefined);
      await applying;
    }
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    const failure = new CmsadmError(
      'apply-failed',
      `What this server took as the secondary is not applied: ${error.message}` +
        ` If what stands here now shall stay instead: ${forgetUnapplied(set)}`,
      { details: error.details, ...(error.remedy === undefined ? {} : { remedy: error.remedy }) },
    );
    unapplied.set(set.name, failure);
    return agent.tellSet(set.name, { state: 'stopped', why: `${set.name}: ${failure.message}` }, 0);
  }
  if (unapplied.delete(set.name)) agent.tellSet(set.name, undefined, 0);
}

async function applyAsItCame(agent: Agent, live: LiveSet): Promise<void> {
  const { set } = live;
  if (!set.exported || !fs.existsSync(at(agent.host.root, `${set.path}/${EXPORT}`))) return applySet(agent, live);
  let isImported = false;
  // Somebody may have administered this database since.
  await exportAnew(agent, set, async (now, file) => {
    isImported = digestOf(now) === digestOf(file);
    if (!isImported) await keepOnce(agent.host, set, now);
  });
  await applySet(agent, live, !isImported);
  if (!isImported)
    raiseOnce(
      agent.host,
      `What this server took of the data set ${set.name} as the secondary was imported when it administered already. What stood in its database before is kept in ${keptOf(set)}: look whether anything of it was changed in between.`,
    );
}

/** Keeps an export, on the disk; not again at each try. */
async function keepOnce(host: Host, set: DataSet, file: string): Promise<void> {
  if (digestOf(at(host.root, newestKept(host, set))) === digestOf(file)) return;
  const kept = await keep(host, set, EXPORT, Buffer.from(file));
  for (const place of [file, ...(kept?.unsynced ?? [])]) {
    const handle = fs.openSync(place, 'r');
    fs.fsyncSync(handle);
    fs.closeSync(handle);
  }
}

const keptOf = ({ name }: DataSet): string => `${paths.kept}/${name}`;

const newestKept = (host: Host, set: DataSet): string =>
  `${keptOf(set)}/${list(host.root, keptOf(set)).at(-1) ?? ''}/${EXPORT}`;
