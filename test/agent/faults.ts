// What goes wrong on purpose: a disk that refuses, and a session in which something happens at a certain call.
import * as fs from 'node:fs';
import { onTestFinished } from 'vitest';
import { type Agent, type AgentOptions, makeAgent } from '../../src/agent/agent.ts';
import { openAgent } from '../../src/agent/socket.ts';
import type { Session } from '../../src/host/session.ts';
import type { Host } from '../../src/host/system.ts';
import type { Profile } from '../../src/profile/schema.ts';

/** A server on whose disk there is no room for the files that match, until that is said. */
export function fullFor(host: Host, files: RegExp): { readonly host: Host; makeRoom(): void } {
  let isFull = true;
  const openSync = (path: string, flags: number | string, mode?: number): number => {
    if (isFull && flags !== 'r' && files.test(path))
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC', syscall: 'open' });
    return fs.openSync(path, flags, mode);
  };
  return {
    host: { ...host, root: { ...host.root, disk: { ...fs, openSync } } },
    makeRoom: () => {
      isFull = false;
    },
  };
}

/** A login to the other server's agent whose calls pass through a function, which makes each of them or does not. */
export const loginThrough =
  (peer: Host, through: (verb: string, call: () => Promise<unknown>) => Promise<unknown>) =>
  async (): Promise<Session> => {
    const session = await openAgent(peer.root);
    return { ...session, call: (verb, args) => through(verb, () => session.call(verb, args)) };
  };

/** A session whose other end answers each call so. */
export const answering = (call: Session['call']): Session => ({
  greeting: { cmsadm: 'peer', protocol: 1, version: '1.2.3' },
  protocol: 1,
  call,
  close: () => {},
  closed: Promise.resolve(),
});

/** An agent that does nothing by itself; gone after the test. */
export function idleAgent(host: Host, profile: Profile, options: Partial<AgentOptions> = {}): Agent {
  const agent = makeAgent(host, profile, { signal: new AbortController().signal, log: () => {}, ...options }, () => '');
  onTestFinished(() => {
    for (const live of agent.sets.values()) live.close();
    agent.end();
  });
  return agent;
}
