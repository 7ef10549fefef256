import { type Change, type FileChange, nothingAfterwards } from '../change/change.ts';
import type { Server } from '../config-files/server.ts';
import type { PublicKey } from '../host/ssh-client.ts';
import type { Facts } from '../pair/facts.ts';
import { type Link, type Pair, paths, unitName } from '../pair/state.ts';
import type { Step } from '../pair/tag.ts';
import type { Profile } from '../profile/schema.ts';
import type { BothFacts, Run, SetupAnswers, UnitTexts } from './answers.ts';
import { attemptFile, changeBase, type FileProblem } from './file-changes.ts';
import { fingerprintOrder } from './order.ts';
import { serviceWork } from './service-work.ts';
import { sshdNeeds, type Wanted, wantedText } from './wanted-files.ts';

/** The two changes of one step. */
export type PlannedStep = { readonly local: Change; readonly peer: Change };

export type SetupPlan = {
  readonly link: PlannedStep;
  readonly change: PlannedStep;
  readonly links: { readonly local: Link; readonly peer: Link };
  readonly pair: Pair;
  readonly problems: { readonly local: readonly FileProblem[]; readonly peer: readonly FileProblem[] };
};

/** What set up needs besides facts and answers. */
export type SetupInputs = {
  readonly profile: Profile;
  readonly run: Run;
  readonly units: UnitTexts;
  /** Public halves of the pair keys; undefined before they are made. */
  readonly keys: { readonly local: PublicKey | undefined; readonly peer: PublicKey | undefined };
  /** What the peer gets as settings where it has none. */
  readonly settings: { readonly settings: string; readonly profile: string | undefined } | undefined;
  /** True if the link brings the program to the peer. */
  readonly bringsProgram: boolean;
};

/**
 * The plan of set up: from the facts of both servers and the answers, everything that each of them will do, in two
 * steps. Pure; the same facts and answers give the same plan.
 */
export function planSetup(facts: BothFacts, answers: SetupAnswers, inputs: SetupInputs): SetupPlan {
  const pair = plannedPair(facts, answers, inputs.profile);
  const links = {
    local: plannedLink(
      facts.local,
      facts.peer,
      answers.self,
      { ...answers.peer, port: answers.peerPort },
      inputs.run.tag,
      { program: false, files: [] },
    ),
    peer: plannedLink(
      facts.peer,
      facts.local,
      answers.peer,
      { ...answers.self, port: answers.selfPort },
      inputs.run.tag,
      { program: inputs.bringsProgram, files: broughtSettings(facts.peer, inputs.settings) },
    ),
  };
  const local: Side = {
    facts: facts.local,
    own: answers.self,
    wanted: wantedOf(
      facts.local,
      facts.peer,
      answers.self,
      answers.peer,
      answers.peerPort,
      inputs.keys.peer,
      links.local,
      undefined,
    ),
  };
  const peer: Side = {
    facts: facts.peer,
    own: answers.peer,
    wanted: wantedOf(
      facts.peer,
      facts.local,
      answers.peer,
      answers.self,
      answers.selfPort,
      inputs.keys.local,
      links.peer,
      inputs.settings,
    ),
  };
  const problems = { local: [] as FileProblem[], peer: [] as FileProblem[] };
  const step = (name: Step): PlannedStep => ({
    local: planSide(local, name, inputs, problems.local, pair),
    peer: planSide(peer, name, inputs, problems.peer, pair),
  });
  return { link: step('link'), change: step('change'), links, pair, problems };

  function wantedOf(
    ownFacts: Facts,
    otherFacts: Facts,
    own: Server,
    other: Server,
    otherPort: number,
    otherKey: PublicKey | undefined,
    link: Link,
    settings: Wanted['settings'],
  ): Wanted {
    const { profile, units } = inputs;
    const { ntpServer, rhosts } = answers;
    return {
      ...{ profile, units, facts: ownFacts, own, other, otherPort, ntpServer, rhosts, link, pair, settings },
      otherHostKeys: fingerprintOrder(otherFacts.hostKeys),
      otherKey: otherKey ?? otherFacts.pairKey,
    };
  }
}

type Side = { readonly facts: Facts; readonly own: Server; readonly wanted: Wanted };

function planSide(side: Side, step: Step, inputs: SetupInputs, problems: FileProblem[], pair: Pair): Change {
  const { facts, own, wanted } = side;
  const files = [
    ...(step === 'link' ? keyFiles(facts, problems) : []),
    ...facts.files
      .filter(({ row }) => row.step === step && row.kind !== 'pair_key')
      .flatMap((file) => attemptFile(file, () => wantedText(file, wanted), problems) ?? []),
  ];
  const touches = (path: string): boolean => files.some((file) => file.path === path);
  const agent = inputs.profile.agentUnit;
  const boot = unitName(paths.recoverUnit);
  // A disable that died may have left the file of the unit, switched off. An older program tells nothing of it.
  const needsBoot = step === 'link' && (touches(paths.recoverUnit) || facts.units[boot]?.enabled === false);
  const needsAgent =
    step === 'change' && (touches(paths.agentUnit) || touches(paths.pair) || !facts.units[agent]?.active);
  return {
    tag: inputs.run.tag,
    step,
    operation: 'set up roles',
    operator: inputs.run.operator,
    server: own.fqdn,
    files,
    services: serviceWork(inputs.profile, facts, files, {
      enable: needsBoot ? [boot] : [],
      start: needsAgent ? [agent] : [],
    }),
    epoch: step === 'change' && touches(paths.pair) ? pair.epoch : null,
    confirmSeconds: inputs.profile.confirmSeconds,
    sshWatch: files.some(({ kind }) => kind === 'sshd_config' || kind === 'sshd_drop_in')
      ? {
          peer: { address: wanted.other.address, fqdn: wanted.other.fqdn },
          own: own.address,
          port: facts.sshPort,
          mayEnter: sshdNeeds(wanted).length > 0,
        }
      : null,
    afterwards: nothingAfterwards,
  };
}

// The server makes its own key; the plan only says that it will. Half a key is none: both files are made anew.
function keyFiles(facts: Facts, problems: FileProblem[]): FileChange[] {
  const halves = facts.files.filter(({ row }) => row.kind === 'pair_key');
  if (halves.every(({ fact }) => fact.state === 'file')) return [];
  return halves.flatMap((file): FileChange[] => {
    const { row, fact } = file;
    // Told as any other file that can't be worked on.
    if (fact.state === 'refused') return [attemptFile(file, () => undefined, problems) ?? []].flat();
    const before = fact.state === 'file' ? fact.sha256 : null;
    const after = { content: '', mode: row.mode, owner: 'root', group: 'root' };
    return [{ ...changeBase(file), before, after, generated: true }];
  });
}

const sameServer = (a: Server, b: Server): boolean =>
  a.address === b.address && a.fqdn === b.fqdn && a.hostname === b.hostname;

/** The saved pair as it will be: its epoch grows only if something about it changes. */
function plannedPair(facts: BothFacts, answers: SetupAnswers, profile: Profile): Pair {
  const { self, peer, ntpServer, rhosts, licencePackage, haPackage } = answers;
  const wanted = {
    primary: self,
    secondary: peer,
    ntpServer,
    rhosts,
    licencePackage,
    haPackage,
    profile: profile.name,
  };
  const [saved, theirs] = [facts.local.pair, facts.peer.pair];
  const unchanged =
    saved !== undefined &&
    theirs?.epoch === saved.epoch &&
    sameServer(saved.primary, self) &&
    sameServer(saved.secondary, peer) &&
    saved.ntpServer === ntpServer &&
    saved.rhosts === rhosts &&
    saved.licencePackage === licencePackage &&
    saved.haPackage === haPackage &&
    saved.profile === profile.name;
  return { epoch: unchanged ? saved.epoch : Math.max(facts.local.epoch, facts.peer.epoch) + 1, ...wanted };
}

// What the link brings is taken away by disable; what the administrator had stays.
const broughtSettings = (facts: Facts, settings: SetupInputs['settings']): string[] =>
  facts.files.flatMap(({ row, fact }) => {
    const text = row.kind === 'settings' ? settings?.settings : row.kind === 'profile' ? settings?.profile : undefined;
    return text !== undefined && fact.state === 'absent' ? [row.path] : [];
  });

function plannedLink(
  facts: Facts,
  otherFacts: Facts,
  self: Server,
  other: Server & { port: number },
  tag: string,
  brings: { readonly program: boolean; readonly files: readonly string[] },
): Link {
  const { address, fqdn, hostname, port } = other;
  return {
    self: { address: self.address, fqdn: self.fqdn, hostname: self.hostname },
    peer: { address, fqdn, hostname, port, hostKeys: fingerprintOrder(otherFacts.hostKeys) },
    tag: facts.link?.tag ?? tag,
    broughtProgram: facts.link?.broughtProgram ?? brings.program,
    broughtFiles: facts.link?.broughtFiles ?? [...brings.files],
  };
}
