import type { Host } from './system.ts';

/** True where the programs of this machine see the files of this server: not for one in memory, or in a rehearsal. */
export const hasPrograms = ({ root, system }: Host): boolean => system.real && root.disk === undefined;
