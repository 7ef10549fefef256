// unlock: what it tells, refuses and ends. The processes that it ends are shown in test/change/end-owner.test.ts.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { lockOwner } from '../../src/change/lock.ts';
import { localServer } from '../../src/change/server.ts';
import type { CommandContext } from '../../src/commands/context.ts';
import { unlock } from '../../src/commands/unlock.ts';
import { exitCodes } from '../../src/errors.ts';
import type { ProcessState } from '../../src/host/system.ts';
import { changeOf } from '../change/test-host.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, standing } from '../rehearsal/pair.ts';

const folder = tempFolder();
let make: NewPair;
beforeAll(async () => {
  make = await pairMaker(folder);
});
let number = 0;

type Hung = { pair: RehearsalPair; context: CommandContext; signals: string[] };

/** cms1, where process 4711 of anna holds the lock; it goes at the first signal that it can hear. */
function hung(state: ProcessState, more: Partial<CommandContext> = {}): Hung {
  number += 1;
  const pair = make(`hung-${number}`);
  const signals: string[] = [];
  let alive = true;
  const context = pair.context(pair.cms1, more);
  const { system } = context.host;
  const host = {
    ...context.host,
    system: {
      ...system,
      processStart: (pid: number) => (pid === 4711 ? (alive ? '7' : undefined) : system.processStart(pid)),
      processState: (pid: number) => (pid === 4711 ? (alive ? state : undefined) : system.processState(pid)),
      askToLeave: () => {
        signals.push('asked');
        alive = false;
      },
      endProcess: async () => {
        signals.push('killed');
        alive = false;
      },
    },
  };
  const owner = {
    operation: 'reverse roles',
    operator: 'anna',
    startedOn: 'cms1.example.com',
    since: '2026-01-02T03:04:05Z',
  };
  mkdirSync(join(pair.cms1, 'run/cmsadm'), { recursive: true });
  writeFileSync(
    join(pair.cms1, 'run/cmsadm/lock'),
    JSON.stringify({ ...owner, pid: 4711, processStart: '7', bootId: system.bootId() }),
  );
  return { pair, context: { ...context, host }, signals };
}

test('tells who, what, since when, from where and what the process does, and ends it when it is named', async () => {
  const { pair, context, signals } = hung('stopped');
  expect(await unlock(context, { operation: 'reverse roles' })).toMatchObject({
    exitCode: exitCodes.done,
    result: { outcome: 'done', ended: [{ server: 'cms1', pid: 4711, ended: 'killed' }], unfinished: [] },
  });
  expect(pair.lines.join('\n')).toMatch(
    /anna.*reverse roles, since 2026-01-02T03:04:05Z, from cms1\.example\.com; process 4711 is stopped/,
  );
  expect(signals).toEqual(['killed']);
  expect(lockOwner(context.host)).toBeUndefined();
});

test('one that runs is asked to leave first, and the operator is told that it runs', async () => {
  const { pair, context, signals } = hung('running');
  expect(await unlock(context, { operation: 'reverse roles' })).toMatchObject({
    result: { ended: [{ ended: 'left' }] },
  });
  expect(signals).toEqual(['asked']);
  expect(pair.lines.join('\n')).toMatch(/It runs: it may only need its time/);
});

test.each([
  { name: 'another name', given: { operation: 'set up roles' }, code: 'answers-refused' },
  { name: 'half a name', given: { operation: 'reverse' }, code: 'answers-refused' },
  { name: 'no name', given: {}, code: 'usage' },
])('for $name nothing is ended', async ({ given, code }) => {
  const { context, signals } = hung('stopped');
  await expect(unlock(context, given)).rejects.toMatchObject({ code });
  expect(signals).toEqual([]);
  expect(lockOwner(context.host)?.operator).toBe('anna');
});

test.each([
  { name: 'a dry run', more: { dryRun: true, yes: false }, exitCode: exitCodes.pending },
  { name: 'an n', more: { yes: false, ask: answering({ 'Proceed?': 'n' }) }, exitCode: exitCodes.done },
])('after $name the lock is as it was', async ({ more, exitCode }) => {
  const { pair, context, signals } = hung('stopped', more);
  const before = standing(pair);
  expect(await unlock(context, { operation: 'reverse roles' })).toMatchObject({ exitCode });
  expect(signals).toEqual([]);
  expect(lockOwner(context.host)?.operator).toBe('anna');
  expect(standing(pair)).toEqual(before);
});

test('what it leaves unsettled is named, and needs a person', async () => {
  const { pair, context } = hung('stopped');
  const server = localServer({ ...context, family: 'debian', carriedIn: undefined });
  const { id } = await server.stage({ change: changeOf(context.host, { '/etc/hosts': 'new\n' }), part: 'alone' });
  expect(await unlock(context, { operation: 'reverse roles' })).toMatchObject({
    exitCode: exitCodes.needsPerson,
    result: { outcome: 'open', unfinished: [{ server: 'cms1', id }] },
  });
  expect(pair.lines.join('\n')).toMatch(/is not settled: run `cmsadm recover` there/);
});

test('where nobody holds a lock there is nothing to do', async () => {
  const pair = make('nobody');
  expect(await unlock(pair.context(pair.cms1), { operation: 'reverse roles' })).toMatchObject({
    exitCode: exitCodes.done,
    summary: 'unlock: nothing is locked',
  });
});
