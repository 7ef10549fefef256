import type { Server } from '../config-files/server.ts';
import type { Facts } from '../pair/facts.ts';

/** What set up was told, checked when it was given. */
export type SetupAnswers = {
  readonly ntpServer: string | null;
  /** The primary, where set up runs. */
  readonly self: Server;
  readonly selfPort: number;
  /** The secondary. */
  readonly peer: Server;
  readonly peerPort: number;
  readonly rhosts: boolean;
  readonly licencePackage: string;
  readonly haPackage: string;
};

/** Read once at the edge and passed on. */
export type Run = { readonly tag: string; readonly operator: string };

/** The texts of our own unit files. */
export type UnitTexts = { readonly agent: string; readonly recover: string };

/** Facts of both servers, from where the program runs. */
export type BothFacts = { readonly local: Facts; readonly peer: Facts };

/** First label of an FQDN. */
export const hostnameOf = (fqdn: string): string => fqdn.split('.')[0] ?? fqdn;
