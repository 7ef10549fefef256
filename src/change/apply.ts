import { CmsadmError } from '../errors.ts';
import { inFolder, splitPath } from '../host/held-folder.ts';
import { at, type Root, readFact } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { hardLink, removeDurably, removeIfThere, rename, syncFolder, writeState } from '../host/writing.ts';
import { paths, raiseEpoch } from '../pair/state.ts';
import { backupOf, type TransactionId, transactionId } from '../pair/tag.ts';
import { isLeft, takeAway } from './afterwards.ts';
import { type Change, type FileChange, realPath, type ServiceWork } from './change.ts';
import { decide, type Manifest, note, readJournal, readRuling, realEntry } from './journal.ts';
import { agentProcess, endSwitch, proveAgent, refuseOtherProgram, switchProgram } from './program.ts';
import { assertSshd, assertSshdAnswers, watchSshd } from './ssh-watch.ts';
import { changedSince, refuseIfTouched, type Stamps, stagedName, unstage } from './stage.ts';
import { inTurn } from './turn.ts';
import { withdraw } from './withdraw.ts';

/**
 * Makes the staged change live: backups by hard link, renames in a fixed order, then only the services that read the
 * changed files, then their health.
 * @param stamps from stage
 * @throws CmsadmError file-changed, sshd-judged-bad, service-failed, service-unhealthy, put-back-already; the caller then
 * puts back
 */
export async function commit(host: Host, change: Change, stamps: Stamps): Promise<void> {
  const id = transactionId(change.tag, change.step);
  // The way back may have come first, while this process stood still.
  if (readRuling(host.root, id) !== undefined) throw putBackAlready(id);
  const watched = change.sshWatch && host.system.real ? await watchSshd(host, change.sshWatch) : undefined;
  await refuseIfTouched(host, change, stamps);
  if (change.program) refuseOtherProgram(host.root, change.program);
  const { reload, restart, enable, start } = change.services;
  const units = await host.system.units([...reload, ...restart, ...enable, ...start, ...change.services.stop]);
  const running = Object.keys(units).filter((unit) => units[unit]?.active);
  const enabled = Object.keys(units).filter((unit) => units[unit]?.enabled);
  note(host.root, id, 'committing', host.system.clock(), { running, enabled });
  if (change.epoch !== null) raiseEpoch(host.root, change.epoch);
  await retire(host, change.services.stop);
  // A unit may have taken minutes to stop.
  await refuseIfTouched(host, change, stamps);
  for (const file of change.files) await replaceFile(host.root, file, change);
  await host.system.label(newFiles(change).map((file) => at(host.root, realPath(file))));
  if (watched) await assertSshd(host, change, watched);
  const stays = running.filter((unit) => !change.services.stop.includes(unit));
  const agent = agentProcess(host.root);
  if (change.program) switchProgram(host.root, change.program);
  await workServices(host, change.services, mustBeReread(change), stays);
  // Active is what a program that dies again and again is, too, at times.
  if (change.program && running.length > 0) await proveAgent(host, agent, change.services.seconds);
  if (watched) await assertSshdAnswers(host, change, watched);
  note(host.root, id, 'committed', host.system.clock());
}

export const putBackAlready = (id: TransactionId): CmsadmError =>
  new CmsadmError('put-back-already', `${id} was put back on this server before it could be confirmed.`);

const newFiles = ({ files }: Change): FileChange[] => files.filter(({ before, after }) => before === null && after);

/**
 * One rename after the tagged second name of what was there; durable when it returns.
 * @throws CmsadmError file-changed; the file is as it was found then
 */
const replaceFile = (root: Root, file: FileChange, change: Change): Promise<void> => {
  const { tag } = change;
  const { folder, name } = splitPath(realPath(file));
  return inFolder(root, folder, file.folder?.id, (held) => {
    if (file.before !== null) {
      hardLink(held, name, backupOf(name, tag));
      if (!keepsOld(held, name, backupOf(name, tag), file.before)) {
        removeIfThere(held, backupOf(name, tag));
        throw changedSince(file, change, 'was edited at this moment');
      }
    }
    if (!file.after) removeIfThere(held, name);
    else if (file.before !== null) rename(held, stagedName(name, tag), name);
    else {
      // A new file: link(2) fails where somebody made one meanwhile, rename(2) would swallow it.
      hardLink(held, stagedName(name, tag), name);
      removeIfThere(held, stagedName(name, tag));
    }
    syncFolder(held, '/');
  });
};

// Looked at last of all: what is edited after this goes under the backup's name, or, where the edit is a file of its own
// that takes this one's name, is lost. No call of the system compares and renames in one. By content, for on an overlay
// the two names of one file may tell two inodes.
const keepsOld = (held: Root, name: string, backup: string, before: string): boolean =>
  [name, backup].every((one) => {
    const fact = readFact(held, one);
    return fact.state === 'file' && fact.sha256 === before;
  });

// A unit file that systemd has never read, and that nothing starts now, is read by the boot it is for.
const mustBeReread = ({ files, services }: Change): boolean =>
  files.some(({ kind, before }) => kind === 'unit' && (before !== null || services.start.length > 0));

async function retire(host: Host, units: readonly string[]): Promise<void> {
  await withdraw(host, 'disable', units);
  await withdraw(host, 'stop', units);
}

async function workServices(
  host: Host,
  work: ServiceWork,
  unitsChanged: boolean,
  running: readonly string[],
): Promise<void> {
  if (unitsChanged) await host.system.reloadUnitFiles();
  // Side by side: none of them needs another one to be done. All are waited for, whatever becomes of one.
  const { system } = host;
  const settled = await Promise.allSettled([
    system.control('try-reload-or-restart', work.reload),
    system.control('try-restart', work.restart),
    system.control('enable', [...work.enable, ...work.start]).then(() => system.control('restart', work.start)),
  ]);
  for (const one of settled) if (one.status === 'rejected') throw one.reason;
  await healthy(host, [...running, ...work.start], work.seconds);
}

/** Waits until all units are active, or have nothing to do any more. @throws CmsadmError service-unhealthy */
async function healthy(host: Host, units: readonly string[], seconds: number): Promise<void> {
  const deadline = host.system.elapsed() + seconds * 1000;
  for (let pause = 20; ; pause = Math.min(2 * pause, 320)) {
    const states = await host.system.units(units);
    const down = units.filter((unit) => !states[unit]?.active && !states[unit]?.idle);
    if (down.length === 0) return;
    // systemd tries no more: waiting would only leave it down for longer.
    if (host.system.elapsed() > deadline || down.some((unit) => states[unit]?.failed))
      throw new CmsadmError(
        'service-unhealthy',
        `${down.join(', ')} failed, or did not become active within ${seconds} s.`,
        {
          remedy: `See \`journalctl -u ${down[0]}\` there.`,
        },
      );
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/**
 * Confirms: from here on nothing puts this change back.
 * @param rest when what goes with the end of a link is taken away: `later` is for the caller's last step (afterwards.ts)
 * @throws CmsadmError put-back-already
 */
export async function confirm(host: Host, id: TransactionId, rest: 'at once' | 'later' = 'at once'): Promise<void> {
  const { manifest } = readJournal(host.root, id);
  if (decide(host.root, id, 'confirmed') === 'put-back') throw putBackAlready(id);
  await inTurn(host, manifest, async () => {
    if (!readJournal(host.root, id).states.includes('confirmed')) await finish(host, id, manifest, rest);
  });
}

async function finish(host: Host, id: TransactionId, manifest: Manifest, rest: 'at once' | 'later'): Promise<void> {
  if (manifest.program) endSwitch(host.root);
  unstage(host, manifest.files.map(realEntry), manifest.tag);
  // A private key that ends with the link must not live on as a backup.
  for (const file of manifest.files)
    if (file.kind === 'pair_key' && file.after === null)
      removeDurably(host.root, backupOf(realEntry(file), manifest.tag));
  // The link keeps the program from now on; with its end the program goes too, if only by a later process.
  if (manifest.afterwards.removeProgram) writeState(host.root, paths.brought, '');
  else if (manifest.step === 'link') removeDurably(host.root, paths.brought);
  note(host.root, id, 'confirmed', host.system.clock());
  if (rest === 'at once' || !isLeft(host, manifest)) await takeAway(host, id, manifest);
}
