import { type Change, nothingAfterwards } from '../change/change.ts';
import { CmsadmError } from '../errors.ts';
import type { Facts, ManagedFact } from '../pair/facts.ts';
import { type Pair, paths, printPair } from '../pair/state.ts';
import type { Profile } from '../profile/schema.ts';
import type { BothFacts, Run } from './answers.ts';
import { fileChange, refuseUnknown } from './file-changes.ts';
import { serviceWork } from './service-work.ts';
import type { PlannedStep } from './setup.ts';
import { rendered } from './wanted-files.ts';

/** The pair of this server. @throws CmsadmError not-paired */
export function pairOf(facts: Facts): Pair {
  if (facts.pair) return facts.pair;
  throw new CmsadmError('not-paired', 'This server belongs to no pair.', {
    remedy: 'A pair is made by: cmsadm config_HA setup.',
  });
}

/** The change that saves a pair on one server and lets the agent, and what is rendered by role, act by it. */
function savePair(facts: Facts, server: string, pair: Pair, profile: Profile, run: Run, operation: string): Change {
  const rows = facts.files.filter(({ row }) => row.path === paths.pair || row.kind === 'rendered');
  refuseUnknown(facts, rows, server);
  const isPrimary = server === pair.primary.fqdn;
  const [own, other] = isPrimary ? [pair.primary, pair.secondary] : [pair.secondary, pair.primary];
  const textOf = (file: ManagedFact): string =>
    file.row.kind === 'rendered' ? rendered(file, own, other, isPrimary) : printPair(pair);
  const files = rows.flatMap((file) => fileChange(file, textOf(file)) ?? []);
  return {
    tag: run.tag,
    step: 'change',
    operation,
    operator: run.operator,
    server,
    files,
    services: serviceWork(profile, facts, files, { start: [profile.agentUnit] }),
    epoch: pair.epoch,
    confirmSeconds: profile.confirmSeconds,
    sshWatch: null,
    afterwards: nothingAfterwards,
  };
}

/** Reverse: the roles swapped on both servers under a new epoch; everything else stays as it is. */
export function planReverse(facts: BothFacts, profile: Profile, run: Run): PlannedStep & { readonly pair: Pair } {
  const saved = pairOf(facts.local);
  const pair: Pair = {
    ...saved,
    epoch: Math.max(facts.local.epoch, facts.peer.epoch, saved.epoch) + 1,
    primary: saved.secondary,
    secondary: saved.primary,
  };
  return {
    pair,
    local: savePair(facts.local, saved.primary.fqdn, pair, profile, run, 'reverse roles'),
    peer: savePair(facts.peer, saved.secondary.fqdn, pair, profile, run, 'reverse roles'),
  };
}

/** Activate: this server, the secondary, becomes the primary by itself under a new epoch. */
export function planActivate(
  facts: Facts,
  profile: Profile,
  run: Run,
): { readonly change: Change; readonly pair: Pair } {
  const saved = pairOf(facts);
  const pair: Pair = {
    ...saved,
    epoch: Math.max(facts.epoch, saved.epoch) + 1,
    primary: saved.secondary,
    secondary: saved.primary,
  };
  return { pair, change: savePair(facts, saved.secondary.fqdn, pair, profile, run, 'activate this server') };
}
