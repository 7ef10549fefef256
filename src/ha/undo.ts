import { type Change, type FileChange, nothingAfterwards, realPath } from '../change/change.ts';
import type { TagFacts } from '../change/server.ts';
import { CmsadmError } from '../errors.ts';
import type { Facts, ManagedFact } from '../pair/facts.ts';
import { type Link, type Pair, parsePair, paths, printPair, unitName } from '../pair/state.ts';
import { backupOf, type Step } from '../pair/tag.ts';
import type { Profile } from '../profile/schema.ts';
import type { Run } from './answers.ts';
import { changeBase, fileChange, refuseUnknown } from './file-changes.ts';
import { serviceWork } from './service-work.ts';
import { undoneText } from './wanted-files.ts';

/**
 * Restore on one server: every file of a tag gets back what stood there before, under a new tag and a new epoch. What
 * was edited since is kept in the new tag's backup. The link stays.
 * @throws CmsadmError backup-missing, with the names of the backups that are gone; not-managed, with the files that this
 * server's profile has no row for any more
 */
export function planRestore(
  facts: Facts,
  server: string,
  tag: TagFacts,
  epoch: number,
  profile: Profile,
  run: Run,
): Change {
  if (tag.missing.length > 0)
    throw new CmsadmError('backup-missing', `The tag ${tag.manifest.tag} is not whole on ${server}.`, {
      server,
      details: tag.missing.map((path) => `missing: ${path}`),
      remedy: 'Restore another tag, or put the named files back from your own backup.',
    });
  const rows = facts.files.filter(({ row }) => row.step === 'change' && tag.before[row.path] !== undefined);
  refuseUnmanaged(rows, tag, server);
  refuseUnknown(facts, rows, server);
  const files = rows.flatMap((file): FileChange[] => {
    const before = tag.before[file.row.path];
    if (before === undefined) return [];
    const change = before === null ? fileChange(file, undefined) : restoredFile(file, before, epoch, tag);
    return change ? [change] : [];
  });
  const agentGoes = files.some((file) => file.path === paths.agentUnit && file.after === null);
  const agentActs = !agentGoes && files.some((file) => file.path === paths.pair || file.path === paths.agentUnit);
  return {
    ...whole(facts, server, 'restore backup tag', files, profile, run),
    services: serviceWork(profile, facts, files, {
      start: agentActs ? [profile.agentUnit] : [],
      stop: agentGoes ? [profile.agentUnit] : [],
    }),
    epoch,
  };
}

/** The profile may be another one since; half a tag must not go back without a word. */
function refuseUnmanaged(rows: readonly ManagedFact[], { before, manifest: { tag } }: TagFacts, server: string): void {
  const unmanaged = Object.keys(before).filter((path) => !rows.some(({ row }) => row.path === path));
  if (unmanaged.length === 0) return;
  throw new CmsadmError('not-managed', `The profile of ${server} no longer manages every file of the tag ${tag}.`, {
    server,
    details: unmanaged.map((path) =>
      before[path] === null ? `${path}: there was none before` : `${path}: as it was before in ${backupOf(path, tag)}`,
    ),
    remedy: `Have the profile there manage these files again (${paths.settings}) and restore the tag then; or put its files back by hand.`,
  });
}

/** Text, mode and owner as the backup has them, whoever took the file away since; undefined where nothing differs. */
function restoredFile(
  file: ManagedFact,
  { content: text, mode, owner, group }: NonNullable<TagFacts['before'][string]>,
  epoch: number,
  { manifest }: TagFacts,
): FileChange | undefined {
  const { fact, folder } = file;
  const { path } = file.row;
  const content = path === paths.pair ? atEpoch(text, epoch) : text;
  const isSame =
    fact.state === 'file' &&
    fact.content === content &&
    fact.mode === mode &&
    fact.owner === owner &&
    fact.group === group;
  if (isSame) return undefined;
  // Where a link leads elsewhere by now, the backup lies in the folder of then.
  const then = manifest.files.find((one) => one.path === path)?.real ?? path;
  const isBeside = then === realPath({ path, ...(folder ? { folder } : {}) });
  return {
    ...changeBase(file),
    before: fact.state === 'file' ? fact.sha256 : null,
    ...(isBeside ? { like: backupOf(path, manifest.tag) } : {}),
    after: { content, mode, owner, group },
  };
}

// A restored role is a new role: it must not look older than what the other server knows.
const atEpoch = (text: string, epoch: number): string => {
  const pair: Pair = parsePair(text);
  return printPair({ ...pair, epoch });
};

const whole = (
  facts: Facts,
  server: string,
  operation: string,
  files: readonly FileChange[],
  profile: Profile,
  run: Run,
): Change => ({
  tag: run.tag,
  step: 'change',
  operation,
  operator: run.operator,
  server,
  files,
  services: serviceWork(profile, facts, files),
  epoch: null,
  confirmSeconds: profile.confirmSeconds,
  sshWatch: null,
  afterwards: nothingAfterwards,
});

/** Files that a way back needs until the end; they go after the confirmation. */
const lastToGo: readonly string[] = [paths.recoverUnit];

/** Disable on one server: first the change is undone, over the link; then the link, by each server for itself. */
export type DisablePlan = { readonly change: Change; readonly link: Change };

/** Our lines out of every file, our own files and units gone, backups kept. */
export function planDisable(facts: Facts, server: string, link: Link, profile: Profile, run: Run): DisablePlan {
  const ours = facts.files.filter(({ row }) => row.kind !== 'untouched');
  refuseUnknown(facts, ours, server);
  const undone = (step: Step): FileChange[] =>
    ours
      .filter(({ row }) => row.step === step && !lastToGo.includes(row.path))
      .flatMap((file): FileChange[] => {
        const text = link.broughtFiles.includes(file.row.path) ? undefined : undoneText(file);
        // A file that held nothing but our lines was ours.
        const change = fileChange(file, text === '' ? undefined : text);
        return change && !(file.fact.state === 'file' && file.fact.content === text) ? [change] : [];
      });
  const present = (path: string): boolean =>
    facts.files.some(({ row, fact }) => row.path === path && fact.state === 'file');
  const [ofChange, ofLink] = [undone('change'), undone('link')];
  const watched = ofLink.some(({ kind }) => kind === 'sshd_config' || kind === 'sshd_drop_in');
  return {
    change: {
      ...whole(facts, server, 'disable HA', ofChange, profile, run),
      services: serviceWork(profile, facts, ofChange, {
        stop: facts.units[profile.agentUnit]?.exists ? [profile.agentUnit] : [],
      }),
    },
    link: {
      ...whole(facts, server, 'disable HA: link', ofLink, profile, run),
      step: 'link',
      sshWatch: watched
        ? {
            peer: { address: link.peer.address, fqdn: link.peer.fqdn },
            own: link.self.address,
            port: facts.sshPort,
            mayEnter: false,
          }
        : null,
      afterwards: {
        removeFiles: lastToGo.filter(present),
        disableUnits: lastToGo.filter(present).map(unitName),
        removeProgram: link.broughtProgram,
      },
    },
  };
}
