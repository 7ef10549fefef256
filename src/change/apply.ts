import { dirname } from 'node:path';
import { CmsadmError, exitCodes } from '../errors.ts';
import { hardLink, readFact, readText, removeEmptyFolder, removeIfThere, rename, syncFolder } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { paths, raiseEpoch } from '../pair/state.ts';
import { backupOf, type TransactionId, transactionId } from '../pair/tag.ts';
import type { Change, ServiceWork } from './change.ts';
import { decide, type Manifest, note, readJournal } from './journal.ts';
import { assertSshd, watchSshd } from './ssh-watch.ts';
import { refuseIfChanged, stagedName, unstage } from './stage.ts';
import { disarm } from './way-back.ts';

/** What a way back did, and what it left to a person. */
export type PutBack = {
  readonly files: readonly string[];
  /** Files that somebody edited meanwhile, and where that edit is kept. */
  readonly edited: readonly string[];
  /** Files that were never replaced and that somebody edited meanwhile: left as he made them. */
  readonly left: readonly string[];
  /** Units that a person must restart. */
  readonly leftToDo: readonly string[];
};

/**
 * Makes the staged change live: backups by hard link, renames in a fixed order, then only the services that read the
 * changed files, then their health.
 * @throws CmsadmError sshd-judged-bad, service-failed, service-unhealthy; the caller then puts back
 */
export async function commit(host: Host, change: Change): Promise<void> {
  const id = transactionId(change.tag, change.step);
  const watched = change.sshWatch && host.system.real ? await watchSshd(host, change.sshWatch) : undefined;
  for (const file of change.files) refuseIfChanged(host, file, change); // minutes may lie between stage and now
  const { reload, restart, enable, start } = change.services;
  const units = await host.system.units([...reload, ...restart, ...enable, ...start]);
  const running = Object.keys(units).filter((unit) => units[unit]?.active);
  const enabled = Object.keys(units).filter((unit) => units[unit]?.enabled);
  note(host.root, id, 'committing', host.system.clock(), { running, enabled });
  if (change.epoch !== null) raiseEpoch(host.root, change.epoch);
  await retire(host, change.services.stop);
  for (const file of change.files) {
    if (file.before !== null) hardLink(host.root, file.path, backupOf(file.path, change.tag));
    if (!file.after) removeIfThere(host.root, file.path);
    else if (file.before !== null) rename(host.root, stagedName(file.path, change.tag), file.path);
    else {
      // A new file: link(2) fails where somebody made one meanwhile, rename(2) would swallow it.
      hardLink(host.root, stagedName(file.path, change.tag), file.path);
      removeIfThere(host.root, stagedName(file.path, change.tag));
    }
    syncFolder(host.root, dirname(file.path));
  }
  if (watched) await assertSshd(host, change, watched);
  await workServices(host, change.services, mustBeReread(change), running);
  note(host.root, id, 'committed', host.system.clock());
}

// A unit file that systemd has never read, and that nothing starts now, is read by the boot it is for.
const mustBeReread = ({ files, services }: Change): boolean =>
  files.some(({ kind, before }) => kind === 'unit' && (before !== null || services.start.length > 0));

async function retire(host: Host, units: readonly string[]): Promise<void> {
  await withdraw(host, 'disable', units);
  await withdraw(host, 'stop', units);
}

// While its unit file is still there: systemd disables nothing that it can't read.
async function withdraw(host: Host, verb: 'disable' | 'stop', units: readonly string[]): Promise<void> {
  const states = await host.system.units(units);
  await host.system.control(
    verb,
    units.filter((unit) => states[unit]?.exists),
  );
}

async function workServices(
  host: Host,
  work: ServiceWork,
  unitsChanged: boolean,
  running: readonly string[],
): Promise<void> {
  if (unitsChanged) await host.system.reloadUnitFiles();
  await host.system.control('try-reload-or-restart', work.reload);
  await host.system.control('try-restart', work.restart);
  await host.system.control('enable', [...work.enable, ...work.start]);
  await host.system.control('restart', work.start);
  await healthy(host, [...running, ...work.start], work.seconds);
}

/** Waits until all units are active. @throws CmsadmError service-unhealthy */
async function healthy(host: Host, units: readonly string[], seconds: number): Promise<void> {
  const deadline = host.system.clock() + seconds * 1000;
  for (let pause = 20; ; pause = Math.min(2 * pause, 320)) {
    const states = await host.system.units(units);
    const down = units.filter((unit) => !states[unit]?.active);
    if (down.length === 0) return;
    if (host.system.clock() > deadline)
      throw new CmsadmError('service-unhealthy', `${down.join(', ')} did not become active within ${seconds} s.`, {
        remedy: `See \`journalctl -u ${down[0]}\` there.`,
      });
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/**
 * Confirms: from here on nothing puts this change back.
 * @throws CmsadmError put-back-already
 */
export async function confirm(host: Host, id: TransactionId): Promise<void> {
  const { manifest, states } = readJournal(host.root, id);
  if (decide(host.root, id, 'confirmed') === 'put-back')
    throw new CmsadmError('put-back-already', `${id} was put back on this server before it could be confirmed.`);
  await disarm(host, id);
  unstage(
    host,
    manifest.files.map((file) => file.path),
    manifest.tag,
  );
  // A private key that ends with the link must not live on as a backup.
  for (const file of manifest.files)
    if (file.kind === 'pair_key' && file.after === null) removeIfThere(host.root, backupOf(file.path, manifest.tag));
  await retire(host, manifest.afterwards.disableUnits);
  for (const path of manifest.afterwards.removeFiles) {
    if (readText(host.root, path) === undefined) continue;
    hardLinkOnce(host, path, backupOf(path, manifest.tag));
    removeIfThere(host.root, path);
  }
  if (manifest.afterwards.disableUnits.length > 0) await host.system.reloadUnitFiles();
  if (!states.includes('confirmed')) note(host.root, id, 'confirmed', host.system.clock());
  if (manifest.afterwards.removeProgram) await host.system.runInstaller(`${paths.program}/templates`, ['--remove']);
}

const hardLinkOnce = (host: Host, from: string, to: string): void => {
  if (readFact(host.root, to).state === 'absent') hardLink(host.root, from, to);
};

/**
 * Puts a change back: files newest first, then the services that read them. Repeatable; a failing step does not stop
 * the others, all failures are told at the end.
 * @param by `operator`: a person is there, so service-affecting units are restarted; `itself`: they are left and named
 * @throws CmsadmError confirmed-already, put-back-incomplete
 */
export async function putBack(host: Host, id: TransactionId, by: 'operator' | 'itself'): Promise<PutBack> {
  const { manifest, states, running, enabled } = readJournal(host.root, id);
  if (decide(host.root, id, 'put-back') === 'confirmed')
    throw new CmsadmError('confirmed-already', `${id} is confirmed on this server; restore its tag instead.`, {
      remedy: 'cmsadm config_HA restore',
    });
  // What was put back belongs to the administrator again.
  if (states.includes('put-back')) return { files: [], edited: [], left: [], leftToDo: [] };
  const problems: string[] = [];
  const edited: string[] = [];
  const left: string[] = [];
  const files: string[] = [];
  const live = states.includes('committing');
  const { enable, start } = manifest.services;
  const own = [...enable, ...start];
  const disabled = own.filter((unit) => !enabled.includes(unit));
  // Only what commit started: the boot unit, which may be the one that runs this, is just enabled.
  const stopped = start.filter((unit) => !running.includes(unit));
  if (live) await attempt(problems, () => withdraw(host, 'disable', disabled));
  if (live) await attempt(problems, () => withdraw(host, 'stop', stopped));
  for (const file of [...manifest.files].reverse()) {
    try {
      const { outcome, kept } = putBackFile(host, file, manifest, live);
      if (outcome === 'restored') files.push(file.path);
      if (outcome === 'left') left.push(file.path);
      if (kept !== undefined) edited.push(kept);
    } catch (error) {
      problems.push(`${file.path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const leftToDo = live ? await servicesBack(host, manifest, running, by, problems) : [];
  const enabledAgain = own.filter((unit) => enabled.includes(unit));
  const startedAgain = start.filter((unit) => running.includes(unit));
  if (live) await attempt(problems, () => host.system.control('enable', enabledAgain));
  if (live) await attempt(problems, () => host.system.control('restart', startedAgain));
  await disarm(host, id);
  if (problems.length > 0)
    throw new CmsadmError('put-back-incomplete', `Not everything of ${id} could be put back.`, {
      details: problems,
      exitCode: exitCodes.needsPerson,
      remedy: 'Remove the cause (disk, permissions), then run `cmsadm recover`.',
    });
  unstage(
    host,
    manifest.files.map((file) => file.path),
    manifest.tag,
  );
  for (const folder of [...manifest.madeFolders].reverse()) removeEmptyFolder(host.root, folder);
  note(host.root, id, 'put-back', host.system.clock());
  return { files, edited, left, leftToDo };
}

/** @returns what was done, and where an edit that had to give way is kept */
function putBackFile(
  host: Host,
  file: Manifest['files'][number],
  manifest: Manifest,
  live: boolean,
): { outcome: 'untouched' | 'restored' | 'left'; kept?: string } {
  const backup = backupOf(file.path, manifest.tag);
  const now = readFact(host.root, file.path);
  const found = now.state === 'file' ? now.sha256 : null;
  // What is still staged was never put in place.
  const isStaged = readFact(host.root, stagedName(file.path, manifest.tag)).state === 'file';
  const hasBackup = readFact(host.root, backup).state === 'file';
  if (found === file.before) {
    // Not yet replaced; a backup is then only a second name of the file itself.
    if (hasBackup) removeIfThere(host.root, backup);
    return { outcome: 'untouched' };
  }
  // A crash may have come between the two names of a new file.
  const halfMade = isStaged && file.before === null && found === file.after;
  const replaced = live && (halfMade || (!isStaged && (file.before === null || hasBackup || found === file.after)));
  if (replaced && file.before !== null && !hasBackup) throw new Error(`its backup ${backup} is gone`);
  if (!replaced) return { outcome: 'left' }; // never ours: the edit is the administrator's
  const kept = found !== null && found !== file.after ? keepEdited(host, file.path, backup) : undefined;
  if (file.before === null) removeIfThere(host.root, file.path);
  else rename(host.root, backup, file.path);
  syncFolder(host.root, dirname(file.path));
  return { outcome: 'restored', ...(kept === undefined ? {} : { kept }) };
}

/** A name that is free, however often somebody edited between two attempts. */
function keepEdited(host: Host, path: string, backup: string): string {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? `${backup}.edited` : `${backup}.edited-${number}`;
    if (readFact(host.root, name).state !== 'absent') continue;
    hardLink(host.root, path, name);
    return name;
  }
}

async function attempt(problems: string[], work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    problems.push(error instanceof CmsadmError ? [error.message, ...error.details].join(' / ') : String(error));
  }
}

async function servicesBack(
  host: Host,
  manifest: Manifest,
  running: readonly string[],
  by: 'operator' | 'itself',
  problems: string[],
): Promise<string[]> {
  const { services } = manifest;
  const mayRestart = services.restart.filter((unit) => by === 'operator' || !services.affecting.includes(unit));
  await attempt(problems, () => host.system.reloadUnitFiles());
  await attempt(problems, () => host.system.control('try-reload-or-restart', services.reload));
  // A unit that failed on the new configuration, and those that went down with it, would not be tried again.
  const again = by === 'operator' ? mayRestart.filter((unit) => running.includes(unit)) : [];
  await attempt(problems, () => host.system.control('restart', again));
  await attempt(problems, () =>
    host.system.control(
      'try-restart',
      mayRestart.filter((unit) => !again.includes(unit)),
    ),
  );
  await attempt(problems, () => host.system.control('enable', services.stop));
  await attempt(problems, () => host.system.control('start', services.stop));
  return services.restart.filter((unit) => !mayRestart.includes(unit));
}
