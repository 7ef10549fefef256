import * as fs from 'node:fs';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { noServices } from '../../src/change/change.ts';
import { decide, readJournal, unfinished } from '../../src/change/journal.ts';
import { recover } from '../../src/change/recover.ts';
import { localServer, type Server } from '../../src/change/server.ts';
import { recoverCommand } from '../../src/commands/recover.ts';
import { setUp } from '../../src/commands/setup.ts';
import { CmsadmError } from '../../src/errors.ts';
import { planReverse } from '../../src/ha/roles.ts';
import type { Disk } from '../../src/host/root.ts';
import type { Host } from '../../src/host/system.ts';
import { clearAlarms, raiseAlarm, readAlarms } from '../../src/pair/alarms.ts';
import { readFacts } from '../../src/pair/facts.ts';
import { paths, readPair } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type NewPair, pairMaker, type RehearsalPair } from '../rehearsal/pair.ts';
import { changeOf, changeId as id, serverOf, type TestHost, testHost, textAt, tree } from './test-host.ts';

const folder = tempFolder();
const newTexts = { '/etc/hosts': 'new\n', '/root/.rhosts': null, '/root/.bash_profile': 'made\n' };
const services = { ...noServices, restart: ['cms.service'], affecting: ['cms.service'] };

/** A disk on which nothing can be made, renamed or, where it is read-only, removed. */
function refusing(code: 'ENOSPC' | 'EROFS'): Disk {
  const refuse = (syscall: string) => (): never => {
    throw Object.assign(new Error(`${code}: ${syscall}`), { code, syscall });
  };
  return {
    ...fs,
    openSync: (path, flags, mode) =>
      typeof flags === 'number' && flags & fs.constants.O_CREAT ? refuse('open')() : fs.openSync(path, flags, mode),
    linkSync: refuse('link'),
    renameSync: refuse('rename'),
    mkdirSync: refuse('mkdir'),
    ...(code === 'EROFS' ? { unlinkSync: refuse('unlink'), rmdirSync: refuse('rmdir') } : {}),
  };
}

describe('without asking the other server', () => {
  let host: TestHost;
  let server: Server;
  let before: unknown;
  let number = 0;
  beforeEach(() => {
    number += 1;
    host = testHost(join(folder, `alone-${number}`));
    server = serverOf(host);
    before = tree(host);
  });
  const reach = async (part: 'alone' | 'peer' | 'coordinator', state: 'staged' | 'committed'): Promise<void> => {
    await server.stage({ change: changeOf(host, newTexts, { services }), part });
    if (state === 'committed') await server.commit({ id });
    host.did.length = 0;
  };

  test.each([
    ['alone', 'staged'],
    ['alone', 'committed'],
    ['peer', 'staged'],
    ['peer', 'committed'],
    ['coordinator', 'staged'],
    ['coordinator', 'committed'],
  ] as const)('%s, %s and never confirmed: put back', async (part, state) => {
    await reach(part, state);
    expect(await recover(host, undefined, 'operator')).toMatchObject([{ id, did: 'put back' }]);
    expect(tree(host)).toEqual(before);
    expect(unfinished(host.root)).toEqual([]);
    expect(await recover(host, undefined, 'operator'), 'there is nothing left').toEqual([]);
  });

  test('decided to put back, and died: it is finished', async () => {
    await reach('peer', 'committed');
    decide(host.root, id, 'put-back');
    expect(await recover(host, undefined, 'operator')).toMatchObject([{ did: 'put back' }]);
    expect(tree(host)).toEqual(before);
  });

  test('confirmed, and died: it is finished, not put back', async () => {
    await reach('peer', 'committed');
    decide(host.root, id, 'confirmed');
    expect(await recover(host, undefined, 'itself')).toMatchObject([{ did: 'confirmed' }]);
    expect(textAt(host, '/etc/hosts')).toBe('new\n');
    expect(unfinished(host.root)).toEqual([]);
  });

  test('a coordinator that has asked and has no link any more decides nothing by itself', async () => {
    await reach('coordinator', 'committed');
    await server.asked({ id });
    expect(await recover(host, undefined, 'operator')).toMatchObject([
      { id, did: 'waits', why: expect.stringContaining('the link is gone') },
    ]);
    expect(textAt(host, '/etc/hosts')).toBe('new\n');
    expect(unfinished(host.root)).toEqual([id]);
  });

  test('a coordinator that put itself back, while its run stood still, asks no more', async () => {
    await reach('coordinator', 'committed');
    await recover(host, id, 'itself');
    await expect(server.asked({ id })).rejects.toMatchObject({ code: 'put-back-already' });
    await expect(server.commit({ id })).rejects.toMatchObject({ code: 'put-back-already' });
    expect(tree(host)).toEqual(before);
  });

  test('by itself: nothing that interrupts the service is restarted, an alarm names it', async () => {
    await reach('peer', 'committed');
    const [settled] = await recover(host, undefined, 'itself');
    expect(settled?.why).toContain('cms.service');
    expect(host.did.filter((line) => line.includes('cms.service'))).toEqual([]);
    expect(readAlarms(host.root).map(({ text }) => text)).toEqual([expect.stringMatching(/put back.*cms\.service/)]);
  });

  test('by itself: the journal tells each end once, by its id', async () => {
    await reach('peer', 'committed');
    const refused: Host = { ...host, root: { ...host.root, disk: refusing('ENOSPC') } };
    await recover(refused, id, 'itself');
    await recover(host, id, 'itself');
    await recover(host, id, 'itself');
    expect(host.journal).toEqual([
      expect.stringMatching(`^event change-not-settled: ${id}: left: .*ENOSPC`),
      expect.stringMatching(`^event change-put-back: ${id}: put back: it was never confirmed; .*cms.service`),
    ]);
  });

  test('by itself: what was decided and is finished, and what waits, have ids of their own', async () => {
    await reach('coordinator', 'committed');
    await server.asked({ id });
    for (const _ of [1, 2]) await recover(host, id, 'itself');
    expect(host.journal).toEqual([
      expect.stringMatching(`^event change-waits: ${id}: waits: the other server must say`),
    ]);
    decide(host.root, id, 'confirmed');
    await recover(host, id, 'itself');
    expect(host.journal.slice(1)).toEqual([expect.stringMatching(`^event change-confirmed-late: ${id}: confirmed`)]);
  });

  describe('an alarm that found no room after the change was put back', () => {
    const untold = async (): Promise<void> => {
      await reach('peer', 'committed');
      const openSync: Disk['openSync'] = (path, flags, mode) => {
        const isAlarm = path.endsWith(paths.alarms) && flags !== 'r';
        if (isAlarm) throw Object.assign(new Error('ENOSPC: open'), { code: 'ENOSPC', syscall: 'open' });
        return fs.openSync(path, flags, mode);
      };
      const refused: Host = { ...host, root: { ...host.root, disk: { ...fs, openSync } } };
      expect(await recover(refused, id, 'itself')).toMatchObject([{ did: 'put back' }]);
      expect(unfinished(host.root)).toEqual([]);
      expect(readAlarms(host.root)).toEqual([]);
      expect(host.did.at(-1)).toBe(`arm 60 recover --way-back ${id}`);
    };

    test.each([
      { name: 'the try that it armed', only: id, by: 'itself' },
      { name: 'a boot', only: undefined, by: 'itself' },
      { name: 'recover', only: undefined, by: 'operator' },
    ] as const)('is raised by $name, once', async ({ only, by }) => {
      await untold();
      for (const _ of [1, 2]) expect(await recover(host, only, by)).toEqual([]);
      expect(readAlarms(host.root).map(({ text }) => text)).toEqual([expect.stringMatching(/put back.*cms\.service/)]);
      clearAlarms(host.root);
      await recover(host, only, by);
      expect(readAlarms(host.root), 'a person has seen it').toEqual([]);
      expect(host.journal, 'the journal of the system heard it at once').toHaveLength(1);
    });

    test('is not raised of what an earlier version put back', async () => {
      await untold();
      const journal = join(host.root.prefix, paths.journal, `${id}.jsonl`);
      writeFileSync(journal, readFileSync(journal, 'utf8').replace(',"byItself":true', ''));
      await recover(host, undefined, 'operator');
      expect(readAlarms(host.root)).toEqual([]);
    });
  });

  test('by an operator: the service is restarted, and no alarm is raised', async () => {
    await reach('peer', 'committed');
    await recover(host, undefined, 'operator');
    expect(host.journal).toEqual([]);
    expect(host.did).toContain('restart cms.service');
    await recover(host, undefined, 'itself');
    expect(readAlarms(host.root)).toEqual([]);
  });

  test('a journal that is damaged is named with its remedy, and keeps nothing else from being settled', async () => {
    await reach('peer', 'committed');
    const damaged = 'zdt_4710_1600000000.change';
    writeFileSync(join(host.root.prefix, paths.journal, `${damaged}.jsonl`), '{"operation":\n{"state":"staged"}\n');
    expect(unfinished(host.root)).toEqual([damaged, id]);
    expect(await server.tags(), 'a list of tags goes without it').toMatchObject([
      { manifest: { tag: 'zdt_4711_1700000000' } },
    ]);
    expect(await recover(host, undefined, 'operator')).toMatchObject([
      { id: damaged, did: 'left', toDo: [expect.stringContaining(`move ${paths.journal}/${damaged}.jsonl away`)] },
      { id, did: 'put back' },
    ]);
    expect(tree(host)).toEqual(before);
    expect(unfinished(host.root)).toEqual([damaged]);
  });

  test('a decision that can’t be read is named by its own file, and nobody decides', async () => {
    await reach('peer', 'committed');
    writeFileSync(join(host.root.prefix, paths.journal, `${id}.decision`), 'perhaps\n');
    expect(await recover(host, undefined, 'operator')).toMatchObject([
      { id, did: 'left', toDo: [expect.stringContaining(`${id}.decision`)] },
    ]);
    expect(textAt(host, '/etc/hosts')).toBe('new\n');
  });

  test('what can’t be put back is named, and tried again by itself', async () => {
    await reach('peer', 'committed');
    rmSync(join(host.root.prefix, '/root/.rhosts.zdt_4711_1700000000'));
    const [settled] = await recover(host, id, 'itself');
    expect(settled).toMatchObject({ did: 'left', why: expect.stringContaining('/root/.rhosts') });
    expect(host.did.at(-1)).toBe(`arm 60 recover --way-back ${id}`);
  });

  test.each([
    ['ENOSPC', undefined],
    ['EROFS', undefined],
    ['ENOSPC', 'put-back'],
    ['EROFS', 'put-back'],
    ['EROFS', 'confirmed'],
  ] as const)(
    '%s, decided: %s: the last thing it does is to come again in a minute, and then it settles',
    async (code, decided) => {
      await reach('peer', 'committed');
      if (decided) decide(host.root, id, decided);
      const standing = tree(host);
      const refused: Host = { ...host, root: { ...host.root, disk: refusing(code) } };
      for (const only of [id, undefined]) {
        host.did.length = 0;
        expect(await recover(refused, only, 'itself')).toMatchObject([{ id, did: 'left' }]);
        expect(host.did.at(-1)).toBe(`arm 60 recover --way-back ${id}`);
        expect(host.did, 'the timer that is armed already stays').not.toContain('disarm');
      }
      expect(tree(host), 'nothing was done by halves').toEqual(standing);
      expect(unfinished(host.root)).toEqual([id]);
      expect(await recover(host, id, 'itself')).toMatchObject([
        { did: decided === 'confirmed' ? 'confirmed' : 'put back' },
      ]);
      expect(tree(host)).toEqual(decided === 'confirmed' ? standing : before);
      expect(unfinished(host.root)).toEqual([]);
      expect(readAlarms(host.root)).toHaveLength(1);
    },
  );

  test('on a disk that is full each open change is tried again', async () => {
    await reach('peer', 'committed');
    const other = 'zdt_4710_1600000000.change';
    const journal = (one: string): string => join(host.root.prefix, paths.journal, `${one}.jsonl`);
    writeFileSync(
      journal(other),
      readFileSync(journal(id), 'utf8').replace('zdt_4711_1700000000', 'zdt_4710_1600000000'),
    );
    await recover({ ...host, root: { ...host.root, disk: refusing('ENOSPC') } }, undefined, 'itself');
    expect(host.did.filter((line) => line.startsWith('arm'))).toEqual(
      [other, id].map((one) => `arm 60 recover --way-back ${one}`),
    );
  });

  test('a refusal that names another temporary file at each try raises one alarm only', async () => {
    await reach('peer', 'committed');
    for (const pid of [101, 102]) {
      const path = `/var/lib/cmsadm/journal/${id}.decision.${pid}`;
      const openSync = (...[place, flags, mode]: Parameters<Disk['openSync']>): number => {
        if (!place.includes('.decision.')) return fs.openSync(place, flags, mode);
        throw Object.assign(new Error(`ENOSPC: no space left on device, open '${path}'`), {
          code: 'ENOSPC',
          syscall: 'open',
          path,
        });
      };
      await recover({ ...host, root: { ...host.root, disk: { ...fs, openSync } } }, id, 'itself');
    }
    expect(readAlarms(host.root)).toHaveLength(1);
  });

  test('an edit made meanwhile is kept and told', async () => {
    await reach('peer', 'committed');
    writeFileSync(join(host.root.prefix, 'etc/hosts'), 'edited\n');
    const [settled] = await recover(host, undefined, 'operator');
    expect(settled?.why).toContain('/etc/hosts.zdt_4711_1700000000.edited');
    expect(textAt(host, '/etc/hosts.zdt_4711_1700000000.edited')).toBe('edited\n');
  });

  test('while another operation runs it is left alone; the timer ends the run that is late, and settles', async () => {
    await reach('peer', 'committed');
    const journal = join(host.root.prefix, paths.journal, `${id}.jsonl`);
    const late = process.pid + 1;
    const owner = { operation: 'set up roles', operator: 'anna', startedOn: 'cms1.example.com' };
    const busy = { ...host, system: { ...host.system, processStart: () => '100' } };
    mkdirSync(join(host.root.prefix, 'run/cmsadm'), { recursive: true });
    const lock = {
      ...owner,
      since: '2026-01-01T00:00:00Z',
      pid: late,
      processStart: '100',
      bootId: 'boot-1',
    };
    writeFileSync(join(host.root.prefix, 'run/cmsadm/lock'), JSON.stringify(lock));
    expect(await recover(busy, undefined, 'operator')).toMatchObject([
      { did: 'left', why: expect.stringContaining('anna') },
    ]);
    expect(textAt(host, '/etc/hosts')).toBe('new\n');
    expect(await recover(busy, 'zdt_9_1700000000.change', 'itself'), 'another timer').toEqual([]);
    expect(await recover(busy, id, 'itself'), 'the operation is another one').toMatchObject([{ did: 'left' }]);
    expect(host.did.filter((line) => line.startsWith('end'))).toEqual([]);
    writeFileSync(journal, readFileSync(journal, 'utf8').replace(`"pid":${process.pid}`, `"pid":${late}`));
    const ended = { ...busy.system, endProcess: async () => rmSync(join(host.root.prefix, 'run/cmsadm/lock')) };
    expect(await recover({ ...busy, system: ended }, id, 'itself')).toMatchObject([{ did: 'put back' }]);
    expect(tree(host)).toEqual(before);
  });
});

describe('a coordinator that has asked', () => {
  let newPair: NewPair;
  let pattern: RehearsalPair;
  beforeAll(async () => {
    newPair = await pairMaker(folder);
    pattern = newPair('set-up');
    await setUp(pattern.context(pattern.cms1), pattern.answers);
  });

  /** Both servers have reversed their roles, this one has asked; nobody has decided. */
  async function asked(name: string): Promise<{ pair: RehearsalPair; one: Host; two: Host; peer: Server; id: string }> {
    const pair = newPair(name, pattern);
    const [one, two] = [pair.context(pair.cms1).host, pair.context(pair.cms2).host];
    const { profile } = pair.context(pair.cms1);
    const about = [
      { address: '192.0.2.12', fqdn: 'cms2.example.com' },
      { address: '192.0.2.11', fqdn: 'cms1.example.com' },
    ] as const;
    const facts = { local: await readFacts(one, profile, about[0]), peer: await readFacts(two, profile, about[1]) };
    const plan = planReverse(facts, profile, { tag: 'zdt_77_1900000000', operator: 'ops' });
    const [local, peer] = [one, two].map((host) =>
      localServer({ host, profile, family: 'debian', carriedIn: undefined }),
    );
    if (!local || !peer) throw new Error('there are two');
    const { id } = await peer.stage({ change: plan.peer, part: 'peer' });
    await local.stage({ change: plan.local, part: 'coordinator' });
    await peer.commit({ id });
    await local.commit({ id });
    await local.asked({ id });
    return { pair, one, two, peer, id };
  }
  const primaries = (...hosts: Host[]): (string | undefined)[] =>
    hosts.map(({ root }) => readPair(root)?.primary.hostname);

  test('confirms when the peer has confirmed', async () => {
    const { one, two, peer, id } = await asked('confirmed');
    await peer.confirm({ id });
    expect(await recover(one, undefined, 'operator')).toMatchObject([{ id, did: 'confirmed' }]);
    expect(primaries(one, two)).toEqual(['cms2', 'cms2']);
    expect(unfinished(one.root)).toEqual([]);
  });

  test('puts back when the peer has put back', async () => {
    const { one, two, peer, id } = await asked('back');
    await peer.putBack({ id, by: 'itself' });
    expect(await recover(one, undefined, 'operator')).toMatchObject([{ id, did: 'put back' }]);
    expect(primaries(one, two)).toEqual(['cms1', 'cms1']);
  });

  test('puts both back when the peer never heard the question', async () => {
    const { one, two, id } = await asked('undecided');
    expect(await recover(one, undefined, 'operator')).toMatchObject([{ id, did: 'put back' }]);
    expect(primaries(one, two)).toEqual(['cms1', 'cms1']);
    expect([one, two].map(({ root }) => readJournal(root, id).decision)).toEqual(['put-back', 'put-back']);
  });

  test('waits while the peer cannot be reached, says so, and settles when it is back', async () => {
    const { pair, one, two, peer, id } = await asked('away');
    await peer.confirm({ id });
    const cable = one.system.connect;
    const cut: Host = {
      ...one,
      system: { ...one.system, connect: () => Promise.reject(new CmsadmError('unreachable', 'cut')) },
    };
    expect(await recover(cut, undefined, 'itself')).toMatchObject([{ id, did: 'waits' }]);
    expect(readAlarms(one.root).map(({ text }) => text)).toEqual([expect.stringContaining('waits')]);
    expect(primaries(one), 'nothing was done').toEqual(['cms2']);
    const said = await recoverCommand({ ...pair.context(pair.cms1), host: cut });
    expect(said).toMatchObject({ exitCode: 5, result: { outcome: 'open' } });
    expect(readAlarms(one.root), 'the alarm stays').not.toEqual([]);
    const healed: Host = { ...one, system: { ...one.system, connect: cable } };
    expect(await recoverCommand({ ...pair.context(pair.cms1), host: healed })).toMatchObject({ exitCode: 0 });
    expect(primaries(one, two)).toEqual(['cms2', 'cms2']);
    expect(readAlarms(one.root), 'a person has seen it').toEqual([]);
  });

  test('says the same again and again, and raises one alarm only', async () => {
    const { one } = await asked('patient');
    const cut: Host = { ...one, system: { ...one.system, connect: () => Promise.reject(new Error('cut')) } };
    for (const _ of [1, 2, 3]) expect(await recover(cut, undefined, 'itself')).toMatchObject([{ did: 'waits' }]);
    expect(readAlarms(one.root)).toHaveLength(1);
    const log = readFileSync(join(one.root.prefix, paths.adminLog), 'utf8');
    expect(log.match(/cmsadm outcome: zdt_.*: waits: /g)).toHaveLength(1);
  });

  test('puts itself back when an operator says that its peer is gone for good, and names it', async () => {
    const { pair, one, peer, id } = await asked('gone');
    await expect(recoverCommand(pair.context(pair.cms2), { 'peer-gone': 'wrong.example.com' })).rejects.toMatchObject({
      message: '"wrong.example.com" is not the name of the other server.',
    });
    await peer.confirm({ id });
    const away = { ...one.system, connect: () => Promise.reject(new CmsadmError('unreachable', 'no answer')) };
    const context = { ...pair.context(pair.cms1), host: { ...one, system: away } };
    await expect(recoverCommand(context, { 'peer-gone': 'cms3.example.com' })).rejects.toMatchObject({
      code: 'answer-refused',
    });
    expect(primaries(one), 'nothing was done').toEqual(['cms2']);
    const said = await recoverCommand(context, { 'peer-gone': 'cms2.example.com' });
    expect(said).toMatchObject({ exitCode: 5, result: { settled: [{ id, did: 'put back' }] } });
    expect(primaries(one)).toEqual(['cms1']);
    expect(unfinished(one.root)).toEqual([]);
  });

  test.each(['cms1', 'cms2'] as const)('recover on %s settles both servers and tells of both', async (where) => {
    const { pair, one, two, id } = await asked(`both-${where}`);
    for (const { root } of [one, two]) raiseAlarm(root, 'what nobody has seen', 0);
    const said = await recoverCommand(pair.context(pair[where]));
    expect(said).toMatchObject({ exitCode: 0, result: { outcome: 'done' } });
    expect(said.result['servers']).toMatchObject([
      { name: `${where}.example.com`, reachable: true, settled: [{ id, did: 'put back' }] },
      { name: where === 'cms1' ? 'cms2.example.com' : 'cms1.example.com', reachable: true },
    ]);
    expect(primaries(one, two)).toEqual(['cms1', 'cms1']);
    for (const { root } of [one, two]) {
      expect(unfinished(root)).toEqual([]);
      expect(readAlarms(root), 'a person has seen them').toEqual([]);
    }
    expect(await recoverCommand(pair.context(pair[where])), 'it may be repeated').toMatchObject({
      exitCode: 0,
      result: { servers: [{ settled: [] }, { settled: [] }] },
    });
  });

  test('a dry run of recover tells what is open and touches nothing', async () => {
    const { pair, one, two, id } = await asked('dry');
    const said = await recoverCommand(pair.context(pair.cms1, { dryRun: true }));
    expect(said).toMatchObject({ exitCode: 2, result: { open: [id] } });
    expect(primaries(one, two)).toEqual(['cms2', 'cms2']);
  });

  test('does not believe a server that is not the one of the link', async () => {
    const { one, id } = await asked('other-key');
    const link = join(one.root.prefix, paths.link);
    writeFileSync(link, readFileSync(link, 'utf8').replace(/"base64": "[^"]*"/, '"base64": "AAAAC3NzaC1lZDI1NTE5"'));
    expect(await recover(one, undefined, 'operator')).toMatchObject([{ id, did: 'waits' }]);
  });
});
