/** What a full pass did with one data set. */
export type PassReport = {
  readonly set: string;
  readonly ok: boolean;
  /** What was in the way; empty where nothing was. */
  readonly why: string;
  readonly sent: number;
  readonly removed: number;
  readonly bytes: number;
  readonly milliseconds: number;
};

/** Names that differ between the servers, as they can be shown. */
export type SetDifference = {
  readonly set: string;
  readonly onlyHere: readonly string[];
  readonly different: readonly string[];
  readonly onlyThere: readonly string[];
  /** True if there are more than are told. */
  readonly more: boolean;
};

/** This server had a version of its own that the other one's replaced. */
export type Conflict = {
  readonly id: string;
  readonly set: string;
  readonly path: string;
  readonly at: string;
  /** Owner of the losing file. */
  readonly owner: string;
  /** Where the losing copy lies on this server. */
  readonly kept: string;
};
