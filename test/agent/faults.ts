// What goes wrong on purpose: a disk that refuses, and a session in which something happens at a certain call.
import calls, * as fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
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

/** Has calls of node:fs go another way until the test ends. */
export function replaceCalls(others: Partial<typeof fs>): void {
  const names = Object.keys(others) as (keyof typeof fs)[];
  const before = Object.fromEntries(names.map((name) => [name, calls[name]]));
  const put = (ones: Partial<typeof fs>): void => {
    Object.assign(calls, ones);
    syncBuiltinESMExports();
  };
  put(others);
  onTestFinished(() => put(before));
}

/** A `link` for which the places that match lie on another file system. */
export function linkNotTo(places: RegExp): typeof fs.linkSync {
  const { linkSync } = calls;
  return (from, to) => {
    if (places.test(to.toString())) throw Object.assign(new Error('EXDEV'), { code: 'EXDEV', syscall: 'link' });
    linkSync(from, to);
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
