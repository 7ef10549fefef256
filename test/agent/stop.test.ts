import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { watchAcdLinks } from '../../src/agent/acd-links.ts';
import { type AgentOptions, makeAgent } from '../../src/agent/agent.ts';
import { type RunProgram, runProgram } from '../../src/agent/program.ts';
import { runAgent } from '../../src/agent/run-agent.ts';
import { openAgent } from '../../src/agent/socket.ts';
import { keepWanted } from '../../src/agent/wanted.ts';
import type { Host } from '../../src/host/system.ts';
import { loadProfile } from '../../src/profile/load.ts';
import { profileSchema } from '../../src/profile/schema.ts';
import { startAgent } from './running-agents.ts';
import { profile, twoServers } from './two-servers.ts';
import { until } from './until.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const done = { stdout: '', stderr: '', exitCode: 0 };
const setsOf = (more: object) => ({
  ...profile,
  dataSets: v.parse(profileSchema.entries.dataSets, [
    { name: 'tables', path: '/var/lib/cmsadm/exports/tables', ...more },
  ]),
});
const withTables = setsOf({ exported: { export: ['/x'], import: ['/i'], every: 3600 } });

/** An agent that is stopped by hand. */
function start(host: Host, options: Partial<AgentOptions>, own = withTables) {
  const aborter = new AbortController();
  const login = (): Promise<never> => new Promise(() => {});
  const ended = runAgent(host, own, { signal: aborter.signal, log: () => {}, login, ...options });
  return { ended, stop: () => aborter.abort() };
}

describe('an agent that stops', () => {
  it('lets an import come to its end', async () => {
    const { one, two } = twoServers();
    let state = 'none';
    const run: RunProgram = async (_argv, { output }) => {
      if (output !== undefined) return done;
      state = 'begun';
      await sleep(300);
      state = 'ended';
      return done;
    };
    const { ended, stop } = start(two, { run, login: () => openAgent(one.root) });
    const exports: RunProgram = async (_argv, { output }) => {
      fs.writeFileSync(output ?? '', 'rows');
      return done;
    };
    startAgent(one, two, withTables, exports);
    await until(
      () => state,
      (now) => now === 'begun',
    );
    stop();
    await ended;
    expect(state).toBe('ended');
  });

  it('lets what makes things as wanted come to its end, and asks for no report then', async () => {
    const { one } = twoServers();
    const ran: string[] = [];
    const run: RunProgram = async ([program = '']) => {
      ran.push(program);
      await sleep(200);
      ran.push('ended');
      return done;
    };
    const wanted = setsOf({ wanted: { apply: ['/apply'], report: ['/report'] } });
    const { ended, stop } = start(one, { run, timing: { wantedFirst: 1 } }, wanted);
    await until(
      () => ran.length,
      (count) => count > 0,
    );
    stop();
    await ended;
    expect(ran).toEqual(['/apply', 'ended']);
  });

  it('ends while rsync brings what wanted state waits for', async () => {
    const { one } = twoServers();
    const aborter = new AbortController();
    const wanted = setsOf({ wanted: { apply: ['/apply'], report: ['/report'], every: 3600 } });
    const agent = makeAgent(
      one,
      wanted,
      { signal: aborter.signal, log: () => {}, run: async () => done, timing: { wantedFirst: 1 } },
      () => '',
    );
    agent.senders.inBulk = true;
    const ended = keepWanted(agent, aborter.signal);
    await sleep(50);
    aborter.abort();
    // The transfer is over at the same moment.
    agent.senders.inBulk = false;
    await ended;
  });

  it('ends while it asks how the links of its ACDs stand', async () => {
    const { one } = twoServers();
    const aborter = new AbortController();
    const host = { ...one, system: { ...one.system, real: true } };
    const began = performance.now();
    const ended = watchAcdLinks(
      { host, profile: loadProfile('cms', [`${repository}/profiles`]) },
      aborter.signal,
      () => {
        aborter.abort();
        return false;
      },
    );
    await ended;
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it('ends soon at whatever instant that is', async () => {
    const { one, two } = twoServers();
    const wanted = setsOf({
      exported: { export: ['/x'], import: ['/i'], every: 1 },
      wanted: { apply: ['/a'], report: ['/r'] },
    });
    const more = { ...wanted, dataSets: [...profile.dataSets, ...wanted.dataSets] };
    const run: RunProgram = async (_argv, { output }) => {
      await sleep(2);
      if (output !== undefined) fs.writeFileSync(output, `${Date.now()}`);
      return done;
    };
    const timing = { wantedFirst: 1, wanted: 2, retry: 20, settle: 5, heartbeat: 10, reachable: 20, prune: 5 };
    for (let round = 0; round < 100; round += 1) {
      for (let name = 0; name < 20; name += 1) fs.writeFileSync(`${one.root.prefix}/admin/${round}-${name}`, 'new');
      const stops = [startAgent(one, two, more, run, timing), startAgent(two, one, more, run, timing)];
      // From before the login to long after the first pass.
      await sleep(round % 50);
      for (const [index, stop] of (round % 4 < 2 ? stops : stops.reverse()).entries()) {
        const ended = await Promise.race([stop().then(() => true), sleep(3_000).then(() => false)]);
        expect(ended, `round ${round}, agent ${index}`).toBe(true);
        await sleep(round % 3);
      }
    }
  });

  it('ends an export, and a login to a server that does not answer', async () => {
    const { one, two } = twoServers();
    const took = async (stopped: ReturnType<typeof start>): Promise<number> => {
      const began = performance.now();
      stopped.stop();
      await stopped.ended;
      return performance.now() - began;
    };
    let exporting = false;
    const run: RunProgram = (_argv, how) => {
      exporting = how.output !== undefined;
      return runProgram(['sleep', '20'], how);
    };
    const receiver = startAgent(two, one, withTables);
    const sender = start(one, { run, login: () => openAgent(two.root) });
    await until(
      () => exporting,
      (now) => now,
    );
    expect(await took(sender)).toBeLessThan(5_000);
    await receiver();
    const lonely = start(one, {});
    await sleep(100);
    expect(await took(lonely)).toBeLessThan(1_000);
  });

  it('is waited for by its unit, and for so long that a change of both servers is still confirmed in time', () => {
    const unit = fs.readFileSync(`${repository}/templates/cmsadm-agent.service`, 'utf8');
    expect(unit).toMatch(/^KillMode=mixed$/m);
    const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]);
    expect(seconds).toBeGreaterThan(60);
    expect(2 * (seconds + 30)).toBeLessThan(loadProfile('cms', [`${repository}/profiles`]).confirmSeconds);
  });
});
