import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { runCms } from '../../src/commands/run-cms.ts';
import { runIds } from '../../src/commands/run-ids.ts';
import {
  bothOff,
  type OtherServer,
  type ProductServices,
  type ServiceState,
  serviceSteps,
} from '../../src/commands/service-steps.ts';
import { setUp } from '../../src/commands/setup.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { bootId, processStart } from '../../src/host/process-table.ts';
import type { System } from '../../src/host/system.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, refusalOf } from '../rehearsal/pair.ts';

const folder = tempFolder();
let make: NewPair;
let linked: RehearsalPair;
beforeAll(async () => {
  make = await pairMaker(folder);
  linked = make('linked');
  await setUp(linked.context(linked.cms1), linked.answers);
}, 60_000);

const state = (name: 'database' | 'application', now: ServiceState['state']): ServiceState => ({
  name,
  label: name === 'database' ? 'IDS' : 'CMS',
  unit: name === 'database' ? 'ids.service' : 'cms.service',
  state: now,
  seconds: 60,
});
const standing = (database: ServiceState['state'], application: ServiceState['state']): ProductServices => ({
  database: state('database', database),
  application: state('application', application),
});

describe('what a choice does', () => {
  const rows: readonly [Parameters<typeof serviceSteps>[0], Parameters<typeof serviceSteps>[1], string][] = [
    ['run_ids', 'on', 'on/on: start; off/off: start ids; on/off: start'],
    ['run_ids', 'off', 'on/on: application-on; off/off: stop; on/off: stop ids'],
    ['run_cms', 'on', 'on/on: start; off/off: start ids cms; on/off: start cms'],
    ['run_cms', 'off', 'on/on: stop cms; off/off: stop; on/off: stop'],
    ['run_cms', 'all-off', 'on/on: stop cms ids; off/off: stop; on/off: stop ids'],
  ];
  test.each(rows)('%s %s: %s', (command, action, told) => {
    const tell = (database: 'on' | 'off', application: 'on' | 'off'): string => {
      try {
        const { verb, services } = serviceSteps(command, action, standing(database, application));
        return [`${database}/${application}: ${verb}`, ...services.map(({ unit }) => unit.slice(0, 3))].join(' ');
      } catch (error) {
        if (error instanceof CmsadmError) return `${database}/${application}: ${error.code}`;
        throw error;
      }
    };
    expect([tell('on', 'on'), tell('off', 'off'), tell('on', 'off')].join('; ')).toBe(told);
  });

  test('a service that failed is down: it is started, and not stopped', () => {
    expect(serviceSteps('run_cms', 'on', standing('on', 'failed')).services).toHaveLength(1);
    expect(serviceSteps('run_cms', 'off', standing('on', 'failed')).services).toHaveLength(0);
  });

  test.each([
    ['run_ids', 'on', standing('starting', 'off'), 'IDS is just starting.'],
    ['run_ids', 'on', standing('stopping', 'off'), 'IDS is just stopping.'],
    ['run_ids', 'off', standing('on', 'starting'), 'CMS is just starting, and stands on IDS.'],
    ['run_ids', 'off', standing('on', 'stopping'), 'CMS is just stopping, and stands on IDS.'],
    ['run_ids', 'off', standing('stopping', 'off'), 'IDS is just stopping.'],
    ['run_ids', 'off', standing('starting', 'failed'), 'stop ids'],
    ['run_cms', 'on', standing('on', 'starting'), 'CMS is just starting.'],
    ['run_cms', 'on', standing('starting', 'off'), 'IDS is just starting.'],
    ['run_cms', 'on', standing('on', 'stopping'), 'CMS is just stopping.'],
    ['run_cms', 'off', standing('on', 'stopping'), 'CMS is just stopping.'],
    ['run_cms', 'off', standing('on', 'starting'), 'stop cms'],
    ['run_cms', 'off', standing('starting', 'on'), 'stop cms'],
    ['run_cms', 'all-off', standing('starting', 'starting'), 'stop cms ids'],
    ['run_cms', 'all-off', standing('stopping', 'off'), 'IDS is just stopping.'],
  ] as const)('on its way is not off: %s %s, case %#', (command, action, services, told) => {
    const tell = (): string => {
      try {
        const steps = serviceSteps(command, action, services);
        return [steps.verb, ...steps.services.map(({ unit }) => unit.slice(0, 3))].join(' ');
      } catch (error) {
        if (!(error instanceof CmsadmError)) throw error;
        expect(error).toMatchObject({ code: 'service-changing', remedy: expect.stringContaining('systemctl status') });
        return error.message;
      }
    };
    expect(tell()).toBe(told);
  });

  test('warns where the other server has it off, or failed, or cannot be asked; never before a start', () => {
    const other = (services: ProductServices): OtherServer => ({ name: 'cms2', services });
    const allOff = serviceSteps('run_cms', 'all-off', standing('on', 'on'));
    expect(bothOff(allOff, undefined)).toEqual([]);
    expect(bothOff(allOff, other(standing('on', 'on')))).toEqual([]);
    expect(bothOff(allOff, other(standing('on', 'failed')))).toEqual([
      'CMS is off on cms2 too: it would be off on both servers.',
    ]);
    expect(bothOff(allOff, other(standing('off', 'off')))).toHaveLength(2);
    expect(bothOff(allOff, other(standing('on', 'starting')))).toEqual([
      'CMS is just starting on cms2: it may be off on both servers.',
    ]);
    const away = { name: 'cms2', away: 'no answer' };
    expect(bothOff(allOff, away)).toEqual([
      "cms2 can't be asked: nobody knows whether CMS and IDS would be on anywhere.",
    ]);
    expect(bothOff(serviceSteps('run_cms', 'on', standing('off', 'off')), away)).toEqual([]);
  });
});

describe('run_ids and run_cms', () => {
  const onOf = async (pair: RehearsalPair, where = pair.cms1): Promise<string> => {
    const units = await pair.context(where).host.system.units(['ids.service', 'cms.service']);
    return Object.values(units)
      .map(({ active }) => (active ? 'on' : 'off'))
      .join('/');
  };

  test('show the state, turn off and on in their order, and are done at once where it stands so', async () => {
    const pair = make('alone');
    const refused = await refusalOf(runIds(pair.context(pair.cms1), { action: 'off' }));
    expect(refused).toMatchObject({ code: 'answers-refused', exitCode: exitCodes.refused });
    const off = await runCms(pair.context(pair.cms1), { action: 'all-off' });
    expect(pair.lines).toContain('This server: IDS (ids.service) is on, CMS (cms.service) is on.');
    expect(pair.lines).toContain('recorded on cms1: systemctl stop cms.service ids.service');
    expect(off.result).toMatchObject({ outcome: 'done', other: null });
    expect(misfits(publishedSchema('run_cms'), { exitCode: off.exitCode, ...off.result })).toEqual([]);
    const again = await runCms(pair.context(pair.cms1), { action: 'all-off' });
    expect(again).toMatchObject({ exitCode: exitCodes.done, result: { outcome: 'nothing' } });
    const dry = await runIds(pair.context(pair.cms1, { dryRun: true }), { action: 'on' });
    expect(dry).toMatchObject({ exitCode: exitCodes.pending, result: { outcome: 'pending', units: ['ids.service'] } });
    expect(misfits(publishedSchema('run_ids'), { exitCode: dry.exitCode, ...dry.result })).toEqual([]);
    expect(await onOf(pair)).toBe('off/off');
    await runCms(pair.context(pair.cms1), { action: 'on' });
    expect(pair.lines).toContain('recorded on cms1: systemctl start ids.service cms.service');
    expect(await onOf(pair)).toBe('on/on');
  });

  /** Has systemd be half-way with CMS. */
  const halfWay = async (pair: RehearsalPair, server: string, changing: 'starting' | 'stopping'): Promise<void> => {
    const units = await pair.context(server).host.system.units(['ids.service', 'cms.service']);
    const cms = { exists: true, active: false, enabled: true, changing };
    writeFileSync(`${server}.units.json`, JSON.stringify({ ...units, 'cms.service': cms }));
  };

  test.each(['starting', 'stopping'] as const)('say that CMS is %s, and keep the database on', async (changing) => {
    const pair = make(changing);
    await halfWay(pair, pair.cms1, changing);
    const refused = await refusalOf(runIds(pair.context(pair.cms1), { action: 'off' }));
    expect(refused).toMatchObject({
      code: 'answers-refused',
      details: [expect.stringContaining(`CMS is just ${changing}, and stands on IDS.`)],
    });
    expect(pair.lines).toContain(`This server: IDS (ids.service) is on, CMS (cms.service) is ${changing}.`);
    expect(await onOf(pair)).toBe('on/off');
  });

  test('turn off what is just starting, on this server or the other one, and say that in JSON too', async () => {
    const pair = make('starting-pair', linked);
    await halfWay(pair, pair.cms1, 'starting');
    await halfWay(pair, pair.cms2, 'starting');
    const dry = await runCms(pair.context(pair.cms1, { dryRun: true }), { action: 'off' });
    const application = { state: 'starting' };
    expect(dry.result).toMatchObject({
      units: ['cms.service'],
      services: [{ state: 'on' }, application],
      other: { services: { application } },
    });
    expect(misfits(publishedSchema('run_cms'), { exitCode: dry.exitCode, ...dry.result })).toEqual([]);
    expect(pair.lines).toContain('cms2.example.com: IDS (ids.service) is on, CMS (cms.service) is starting.');
    const off = await runCms(pair.context(pair.cms1), { action: 'off', 'both-off': '' });
    expect(off.result).toMatchObject({ outcome: 'done', services: [{ state: 'on' }, { state: 'off' }] });
    await halfWay(pair, pair.cms1, 'starting');
    const stays = withSystem(pair, { control: async () => {} });
    expect(await refusalOf(runCms(stays, { action: 'off', 'both-off': '' }))).toMatchObject({
      code: 'service-failed',
      message: 'CMS did not stay off.',
    });
  });

  test('refuse a wrong choice at the question, and leave all as it is on q and n', async () => {
    const pair = make('asks');
    const refused: string[] = [];
    const ask = answering({ 'Proceed?': 'n' });
    const leaving = (typed: readonly string[]) => ({
      yes: false,
      ask: {
        ...ask,
        text: async ({ check }: Parameters<typeof ask.text>[0]) => {
          for (const one of typed)
            try {
              return await check(one);
            } catch (error) {
              if (!(error instanceof CmsadmError)) throw error;
              refused.push(`${one}: ${error.code}`);
            }
          throw new Error('nothing was accepted');
        },
      },
    });
    const context = pair.context(pair.cms1, leaving(['', '0', '3', 'OFF', '2', 'q']));
    expect((await runIds(context, {})).result).toEqual({ outcome: 'declined' });
    expect(refused).toEqual([': usage', '0: usage', '3: usage', 'OFF: usage', '2: application-on']);
    const n = await runCms(pair.context(pair.cms1, leaving(['3'])), {});
    expect(n.result).toEqual({ outcome: 'declined' });
    expect(await onOf(pair)).toBe('on/on');
    expect(await refusalOf(runCms(pair.context(pair.cms1), {}))).toMatchObject({ code: 'usage' });
  });

  test('in a pair say how the other server stands, and turn nothing off everywhere without being told so', async () => {
    const pair = make('pair', linked);
    await runCms(pair.context(pair.cms2), { action: 'off' });
    expect(pair.lines).toContain('cms1.example.com: IDS (ids.service) is on, CMS (cms.service) is on.');
    expect(await onOf(pair, pair.cms2)).toBe('on/off');
    const both = runCms(pair.context(pair.cms1), { action: 'off' });
    expect(await refusalOf(both)).toMatchObject({ code: 'both-off', exitCode: exitCodes.refused });
    expect(await onOf(pair)).toBe('on/on');
    const meant = await runCms(pair.context(pair.cms1), { action: 'off', 'both-off': '' });
    expect(meant.result).toMatchObject({ outcome: 'done', other: { name: 'cms2.example.com' } });
    expect(misfits(publishedSchema('run_cms'), { exitCode: meant.exitCode, ...meant.result })).toEqual([]);
    const asked = await runCms(
      pair.context(pair.cms1, { yes: false, ask: answering({ '1 turn': '3', 'Proceed?': 'n' }) }),
      {},
    );
    expect(asked.result).toEqual({ outcome: 'declined' });
  });

  test('say so where the other server cannot be asked', async () => {
    const pair = make('away', linked);
    const context = pair.context(pair.cms1);
    const connect = async (): Promise<never> => {
      throw new CmsadmError('unreachable', 'No cable.');
    };
    const apart = { ...context, host: { ...context.host, system: { ...context.host.system, connect } } };
    expect(await refusalOf(runCms(apart, { action: 'off' }))).toMatchObject({
      code: 'both-off',
      message: "cms2.example.com can't be asked: nobody knows whether CMS would be on anywhere.",
    });
  });

  const withSystem = (pair: RehearsalPair, more: Partial<System>, stop = { requested: false }) => {
    const context = pair.context(pair.cms1, { stop });
    return { ...context, host: { ...context.host, system: { ...context.host.system, ...more } } };
  };

  test('a service that does not come up needs a person, with what its journal said', async () => {
    const pair = make('fails');
    await runCms(pair.context(pair.cms1), { action: 'off' });
    const control = async (verb: string): Promise<void> => {
      if (verb === 'start') throw new CmsadmError('service-failed', 'systemctl start failed.', { details: ['why'] });
    };
    const failed = await refusalOf(runCms(withSystem(pair, { control }), { action: 'on' }));
    expect(failed).toMatchObject({ code: 'service-failed', exitCode: exitCodes.needsPerson, details: ['why'] });
    const silent = await refusalOf(runCms(withSystem(pair, { control: async () => {} }), { action: 'on' }));
    expect(silent).toMatchObject({ code: 'service-failed', message: 'CMS did not stay on.' });
  });

  test('Ctrl-C while it waits takes it back', async () => {
    const pair = make('interrupted');
    const stop = { requested: false };
    const told: string[] = [];
    const control = async (verb: string, units: readonly string[], seconds?: number): Promise<void> => {
      told.push(`${verb} ${units.join(' ')} ${seconds ?? ''}`.trim());
      if (verb !== 'stop') return;
      stop.requested = true;
      await new Promise(() => {});
    };
    const failed = await refusalOf(runCms(withSystem(pair, { control }, stop), { action: 'all-off' }));
    expect(failed).toMatchObject({ code: 'interrupted', exitCode: exitCodes.putBack });
    expect(told.filter((line) => line !== 'reset-failed')).toEqual([
      'stop cms.service ids.service 300',
      'start cms.service ids.service 300',
    ]);
  });

  test('are refused while another operation holds this server', async () => {
    const pair = make('locked');
    const { mkdirSync } = await import('node:fs');
    mkdirSync(join(pair.cms1, 'run/cmsadm'), { recursive: true });
    const owner = { operation: 'set up', operator: 'eve', startedOn: 'cms1', since: '2026-01-01T00:00:00.000Z' };
    writeFileSync(
      join(pair.cms1, 'run/cmsadm/lock'),
      JSON.stringify({ ...owner, pid: process.pid, bootId: bootId(), processStart: processStart(process.pid) }),
    );
    expect(await refusalOf(runCms(pair.context(pair.cms1), { action: 'off' }))).toMatchObject({ code: 'locked' });
    expect(await onOf(pair)).toBe('on/on');
  });
});

describe('somebody else acts while the question is read', () => {
  const onOf = async (pair: RehearsalPair, where: string): Promise<string> => {
    const units = await pair.context(where).host.system.units(['ids.service', 'cms.service']);
    return Object.values(units)
      .map(({ active }) => (active ? 'on' : 'off'))
      .join('/');
  };
  const meanwhile = (work: () => Promise<unknown>) => {
    const ask = answering({});
    const choose = async (): Promise<string> => {
      await work();
      return 'y';
    };
    return { yes: false, ask: { ...ask, choose } };
  };

  test('and turns the other server off: not both', async () => {
    const pair = make('turned-there', linked);
    const other = meanwhile(() => runCms(pair.context(pair.cms2), { action: 'off' }));
    const told = await refusalOf(runCms(pair.context(pair.cms1, other), { action: 'off' }));
    expect(told).toMatchObject({ code: 'plan-changed' });
    expect([await onOf(pair, pair.cms1), await onOf(pair, pair.cms2)]).toEqual(['on/on', 'on/off']);
  });

  test('and turns the application on: the database stays', async () => {
    const pair = make('turned-here');
    await runCms(pair.context(pair.cms1), { action: 'off' });
    const other = meanwhile(() => runCms(pair.context(pair.cms1), { action: 'on' }));
    const told = await refusalOf(runIds(pair.context(pair.cms1, other), { action: 'off' }));
    expect(told).toMatchObject({ code: 'application-on' });
    expect(await onOf(pair, pair.cms1)).toBe('on/on');
  });
});
