/** Set by the build for a test package of another age: `npm run package -- --version X --protocol N`. */
declare const CMSADM_PROTOCOL: number | undefined;

/** The number of the language that two servers' programs speak with each other; the one before it is spoken too. */
export const PROTOCOL: number = typeof CMSADM_PROTOCOL === 'undefined' ? 2 : CMSADM_PROTOCOL;

/**
 * Verbs that did not exist in protocol 1, and the number they came with. A verb never changes its meaning: what it takes
 * or tells only grows by parts that may be missing.
 */
const newerVerbs: Readonly<Record<string, number>> = {
  release: 2,
  takePackage: 2,
  stageRelease: 2,
  keepReleases: 2,
  recover: 2,
  backups: 2,
  prune: 2,
  endOwner: 2,
  administered: 2,
  acds: 2,
  agentOpen: 2,
  agentEdits: 2,
  agentDigests: 2,
  agentList: 2,
  agentAgree: 2,
  agentChanges: 2,
  agentPut: 2,
  agentApply: 2,
  agentBulk: 2,
  agentBulkEnd: 2,
  agentTake: 2,
  syncStatus: 2,
  syncNow: 2,
  syncPause: 2,
  syncResume: 2,
  syncRelease: 2,
  syncDiff: 2,
  syncConflicts: 2,
  syncDrain: 2,
};

/** The lowest protocol in which a verb is understood. */
export const protocolOf = (verb: string): number => (Object.hasOwn(newerVerbs, verb) ? (newerVerbs[verb] ?? 1) : 1);
