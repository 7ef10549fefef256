import { CmsadmError } from '../errors.ts';
import type { System } from '../host/system.ts';
import type { AcdLink } from './link.ts';

/** Whether an address of a switch takes a connection, or why not. */
export type Probe = { readonly host: string; readonly port: number; readonly answers: boolean; readonly why: string };

/** Both addresses of a link, tried one after the other; never two connections at once. */
export type LinkProbes = { readonly main: Probe; readonly survivable?: Probe };

/** Opens a TCP connection and ends it at once. */
export async function probe({ connect }: Pick<System, 'connect'>, host: string, port: number): Promise<Probe> {
  try {
    const socket = await connect(host, port);
    socket.on('error', () => undefined).destroy();
    return { host, port, answers: true, why: '' };
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return { host, port, answers: false, why: error.message };
  }
}

export async function probeLink(
  system: Pick<System, 'connect'>,
  { host, port, survivable }: AcdLink,
): Promise<LinkProbes> {
  const main = await probe(system, host, port);
  return survivable ? { main, survivable: await probe(system, survivable.host, survivable.port) } : { main };
}

/** What is wrong with a link, a sentence each: nobody answers, or both do, of which only one may be active. */
export function linkFaults({ main, survivable }: LinkProbes): string[] {
  const at = ({ host, port }: Probe): string => `${host} port ${port}`;
  if (!survivable) return main.answers ? [] : [`the switch does not answer: ${main.why}`];
  if (main.answers && survivable.answers)
    return [`both addresses answer (${at(main)}, ${at(survivable)}): only one may be active`];
  return main.answers || survivable.answers
    ? []
    : [`no address answers: ${main.why}`, `and the survivable one: ${survivable.why}`];
}
