import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { readConflicts } from '../../src/agent/conflicts.ts';
import { exportSet } from '../../src/agent/export.ts';
import type { RunProgram } from '../../src/agent/program.ts';
import { callAgent } from '../../src/agent/socket.ts';
import { list, readText } from '../../src/host/root.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { paths } from '../../src/pair/state.ts';
import { profileSchema } from '../../src/profile/schema.ts';
import { idleAgent } from './faults.ts';
import { drained, setState, startAgent, status } from './running-agents.ts';
import { cms1, cms2, pairAt, profile, savePair, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

/** Exported so rarely that only what is asked for is exported within a test. */
const withTables = (every = 3600) => ({
  dataSets: v.parse(profileSchema.entries.dataSets, [
    { name: 'tables', path: '/var/lib/cmsadm/exports/tables', exported: { export: ['/x'], import: ['/i'], every } },
  ]),
});

const ended = { stdout: '', stderr: '', exitCode: 0 };

/** A database on each server, and agents that export and import it. */
function twoDatabases(every?: number) {
  const { one, two } = twoServers();
  const database = { one: 'rows', two: '', isDown: false as boolean | 'one' | 'two', refuses: false, exports: 0 };
  const programs =
    (own: 'one' | 'two'): RunProgram =>
    async (_argv, { input, output }) => {
      if (output !== undefined) {
        database.exports += 1;
        fs.writeFileSync(output, database[own]);
        return database.isDown === true || database.isDown === own
          ? { ...ended, stderr: 'the database is down', exitCode: 1 }
          : ended;
      }
      if (database.refuses) return { ...ended, stderr: 'ERROR: no such role', exitCode: 3 };
      database[own] = fs.readFileSync(input ?? '', 'latin1');
      return ended;
    };
  const start = {
    one: () => startAgent(one, two, withTables(every), programs('one')),
    two: () => startAgent(two, one, withTables(every), programs('two')),
  };
  const stop = { two: start.two(), one: start.one() };
  return { one, two, database, start, stop };
}

const keptOf = ({ root }: Host): (string | undefined)[] =>
  list(root, `${paths.kept}/tables`).map((time) => readText(root, `${paths.kept}/tables/${time}/export`));

describe('an exported data set', () => {
  it('is exported at once when a full pass is asked for, and before the roles change', async () => {
    const { one, database } = twoDatabases();
    await drained(one);
    expect(database.two).toBe('rows');
    database.one = 'asked for';
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: true, sent: 1 }]);
    expect(database.two).toBe('asked for');
    database.one = 'before the roles change';
    await callAgent(one, 'syncDrain', { seconds: 5 });
    expect(database.two).toBe('before the roles change');
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: true, sent: 0 }]);
  });

  it('is never told to be in step while its export fails, and the export of before stays', async () => {
    const { one, database } = twoDatabases(1);
    await drained(one);
    Object.assign(database, { isDown: true, one: 'half of the ro' });
    await setState(one, 'stopped');
    expect(readAlarms(one.root)).toHaveLength(1);
    // Over many looks at its files, and a full pass: those are as they should be.
    for (const end = Date.now() + 500; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 10))) {
      const { sets, state } = await status(one);
      expect([sets[0]?.state, state]).toEqual(['stopped', expect.stringContaining('could not be exported')]);
    }
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: false, why: expect.stringContaining('exported') }]);
    await expect(callAgent(one, 'syncDrain', { seconds: 5 })).rejects.toMatchObject({ code: 'not-in-step' });
    expect(database.two).toBe('rows');
    expect(readAlarms(one.root)).toHaveLength(1);
    Object.assign(database, { isDown: false, one: 'all rows' });
    await setState(one, 'in step');
    expect(database.two).toBe('all rows');
    expect(readAlarms(one.root)).toEqual([]);
  });

  it('is told to be in step only when the other server has imported it', async () => {
    const { one, two, database } = twoDatabases();
    await drained(one);
    Object.assign(database, { refuses: true, one: 'new rows' });
    expect(await callAgent(one, 'syncNow')).toMatchObject([
      { ok: false, why: expect.stringContaining('failed with 3') },
    ]);
    expect((await status(one)).sets[0]?.state).toBe('stopped');
    expect(database.two).toBe('rows');
    expect(fs.existsSync(join(two.root.prefix, 'var/lib/cmsadm/sync/tables.unapplied'))).toBe(true);
    database.refuses = false;
    await setState(one, 'in step');
    expect(database.two).toBe('new rows');
  });

  it('is not sent while its export fails: the power may have left an empty file of it', async () => {
    const { one, two, database, start, stop } = twoDatabases();
    await drained(one);
    await stop.one();
    await stop.two();
    const [file = '', theirs = ''] = [one, two].map(({ root }) =>
      join(root.prefix, 'var/lib/cmsadm/exports/tables/export'),
    );
    fs.writeFileSync(file, '');
    fs.writeFileSync(join(dirname(theirs), 'own'), 'made there');
    Object.assign(database, { isDown: true, one: 'rows again' });
    start.two();
    start.one();
    await setState(one, 'stopped');
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: false }]);
    fs.writeFileSync(file, 'torn');
    await expect(callAgent(one, 'syncDrain', { seconds: 5 })).rejects.toMatchObject({ code: 'not-in-step' });
    expect(fs.readFileSync(theirs, 'utf8')).toBe('rows');
    database.isDown = false;
    await callAgent(one, 'syncDrain', { seconds: 5 });
    expect(fs.readFileSync(theirs, 'utf8')).toBe('rows again');
    expect(database.two).toBe('rows again');
    // What the other server has was compared, though no full pass came this far.
    expect(fs.readdirSync(dirname(theirs))).toEqual(['export']);
  });

  it('is on the disk before it takes the place of the one before', async () => {
    const { one } = twoServers();
    const files: string[] = [];
    const done: string[] = [];
    const disk = {
      ...fs,
      openSync: (path: string, flags: string | number, mode?: number) => {
        const file = fs.openSync(path, flags, mode);
        files[file] = basename(path);
        return file;
      },
      fsyncSync: (file: number) => void done.push(`fsync ${files[file]}`),
      renameSync: (from: string, to: string) => {
        done.push(`rename ${basename(from)} ${basename(to)}`);
        fs.renameSync(from, to);
      },
    };
    const host = { ...one, root: { ...one.root, disk } };
    const run: RunProgram = async (_argv, { output = '' }) => {
      fs.writeFileSync(output, 'rows');
      return ended;
    };
    const agent = idleAgent(host, { ...profile, ...withTables() }, { run });
    const [live] = agent.sets.values();
    if (!live) throw new Error('the profile has no data set');
    done.length = 0;
    await exportSet(agent, live.set, undefined);
    expect(done).toEqual(['fsync .cmsadm-sync.export', 'rename .cmsadm-sync.export export', 'fsync tables']);
  });

  it('outlives a folder that cannot be written', async () => {
    const { one, database } = twoDatabases();
    await drained(one);
    const folder = join(one.root.prefix, 'var/lib/cmsadm/exports/tables');
    fs.mkdirSync(join(folder, '.cmsadm-sync.export/full'), { recursive: true });
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: false, why: expect.stringContaining('exported') }]);
    fs.rmSync(join(folder, '.cmsadm-sync.export'), { recursive: true });
    database.one = 'rows again';
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: true, sent: 1 }]);
    expect(database.two).toBe('rows again');
  });
});

describe('an exported data set of a primary that was cut off', () => {
  /** The first server goes on alone with its database while the second takes over. */
  async function cutOff() {
    const all = twoDatabases();
    const { one, two, database, start, stop } = all;
    await drained(one);
    await stop.one();
    database.one = 'rows, and what was typed on cms1 meanwhile';
    savePair(two, pairAt(2, cms2));
    const comesBack = (): unknown => start.one();
    const mark = (): unknown => JSON.parse(readText(one.root, `${paths.sync}/tables.undecided`) ?? 'null');
    const keeps = ({ fqdn }: typeof cms1): Promise<unknown> =>
      callAgent(two, 'syncKeep', { set: 'tables', server: fqdn });
    return { ...all, comesBack, mark, keeps };
  }

  it('waits for a decision where only the database was changed, and nothing of it is lost', async () => {
    const { one, two, database, comesBack, mark, keeps } = await cutOff();
    comesBack();
    await setState(two, 'undecided');
    expect(mark()).toMatchObject({ own: 1, epoch: 1 });
    expect(database.one).toBe('rows, and what was typed on cms1 meanwhile');
    await keeps(cms1);
    expect(database.two).toBe('rows, and what was typed on cms1 meanwhile');
    await setState(one, 'in step');
  });

  it('waits for a decision where its database does not run', async () => {
    const { one, two, database, comesBack, mark, keeps } = await cutOff();
    database.isDown = 'one';
    comesBack();
    await setState(two, 'undecided');
    expect(mark()).toMatchObject({ own: null, epoch: 1 });
    expect((await status(one)).role).toBe('secondary');
    // A version that cannot be read does not win.
    await expect(keeps(cms1)).rejects.toMatchObject({ code: 'export-failed' });
    expect(database.two).toBe('rows');
    database.isDown = false;
    await keeps(cms2);
    expect(database.one).toBe('rows');
    expect(readConflicts(one)).toMatchObject([{ set: 'tables', path: 'export' }]);
    expect(keptOf(one)).toEqual(['rows, and what was typed on cms1 meanwhile']);
    await setState(two, 'in step');
  });

  it('takes the primary’s version as soon as its database runs again, where that was decided before', async () => {
    const { two, database, comesBack, keeps } = await cutOff();
    Object.assign(database, { isDown: 'one', refuses: true });
    comesBack();
    await setState(two, 'undecided');
    expect(await keeps(cms2)).toMatchObject([{ ok: false, why: expect.stringContaining('failed with 3') }]);
    Object.assign(database, { isDown: false, refuses: false });
    await setState(two, 'in step');
    expect(database).toMatchObject({ one: 'rows', two: 'rows' });
  });

  it('loses nothing of the primary’s database either, when its version is kept', async () => {
    const { two, database, comesBack, keeps } = await cutOff();
    comesBack();
    await setState(two, 'undecided');
    Object.assign(database, { isDown: 'two', two: 'rows, and what was typed on cms2 since its last export' });
    await expect(keeps(cms1)).rejects.toMatchObject({ code: 'export-failed' });
    expect(database.two).toBe('rows, and what was typed on cms2 since its last export');
    expect((await status(two)).sets[0]?.state).toBe('undecided');
    database.isDown = false;
    await keeps(cms1);
    expect(database.two).toBe('rows, and what was typed on cms1 meanwhile');
    expect(keptOf(two)).toEqual(['rows, and what was typed on cms2 since its last export']);
    expect(readConflicts(two)).toMatchObject([{ set: 'tables', path: 'export' }]);
  });

  it('goes on at once where nothing was changed', async () => {
    const { one, two, database, comesBack } = await cutOff();
    database.one = 'rows';
    comesBack();
    await setState(two, 'in step');
    expect((await status(one)).sets[0]?.state).toBe('in step');
  });
});

describe('what was acknowledged and not applied', () => {
  /** The import of the second row failed, and the primary went before it was asked again. */
  async function takenOver() {
    const all = twoDatabases();
    const { one, two, database, stop } = all;
    await drained(one);
    Object.assign(database, { refuses: true, one: 'row1 row2' });
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: false }]);
    await stop.one();
    const takesOver = (): void => savePair(two, pairAt(2, cms2));
    return { ...all, takesOver };
  }
  const alarmsOf = (host: Host): string[] => readAlarms(host.root).map(({ text }) => text);
  const isMarked = (host: Host): boolean => fs.existsSync(join(host.root.prefix, paths.sync, 'tables.unapplied'));

  it('is imported by the server that takes over, alone, and kept by both when the old primary comes back', async () => {
    const { one, two, database, start, takesOver } = await takenOver();
    Object.assign(database, { refuses: false, two: 'rows of before' });
    takesOver();
    await until(
      () => database.two,
      (rows) => rows === 'row1 row2',
    );
    await until(
      () => isMarked(two),
      (marked) => !marked,
    );
    expect(keptOf(two)).toContain('rows of before');
    await until(
      () => alarmsOf(two),
      (alarms) => alarms.some((text) => text.includes('/var/lib/cmsadm/kept/tables')),
    );
    start.one();
    await setState(two, 'in step');
    expect(database).toMatchObject({ one: 'row1 row2', two: 'row1 row2' });
    expect(await callAgent(two, 'syncNow')).toMatchObject([{ ok: true }]);
    expect(database).toMatchObject({ one: 'row1 row2', two: 'row1 row2' });
    expect((await status(one)).role).toBe('secondary');
  });

  it('is never exported over while it cannot be imported, which is an alarm, and is imported as soon as it can be', async () => {
    const { two, database, start, stop, takesOver } = await takenOver();
    const file = join(two.root.prefix, 'var/lib/cmsadm/exports/tables/export');
    takesOver();
    await until(
      () => alarmsOf(two),
      (alarms) => alarms.some((text) => text.includes('took as the secondary')),
    );
    expect(alarmsOf(two)[0]).toContain('rm /var/lib/cmsadm/sync/tables.unapplied');
    start.one();
    await until(
      () => status(two),
      ({ sets, lastPass }) => sets[0]?.state === 'stopped' && lastPass !== null,
    );
    expect(await callAgent(two, 'syncNow')).toMatchObject([
      { ok: false, why: expect.stringContaining('failed with 3') },
    ]);
    await expect(callAgent(two, 'syncDrain', { seconds: 5 })).rejects.toMatchObject({ code: 'not-in-step' });
    expect(fs.readFileSync(file, 'utf8')).toBe('row1 row2');
    expect(database.two).toBe('rows');
    // Tried often, kept once; over a restart too.
    await stop.two();
    start.two();
    await setState(two, 'stopped');
    expect(keptOf(two).filter((text) => text === 'rows')).toHaveLength(1);
    database.refuses = false;
    await setState(two, 'in step');
    expect(database).toMatchObject({ one: 'row1 row2', two: 'row1 row2' });
    expect(alarmsOf(two).some((text) => text.includes('is stopped'))).toBe(false);
  });

  it('is not imported again where the import ended and only its mark was left, nor for a mark of an earlier version', async () => {
    const { two, database, takesOver } = await takenOver();
    database.two = 'row1 row2';
    takesOver();
    await until(
      () => isMarked(two),
      (marked) => !marked,
    );
    expect(alarmsOf(two)).toEqual([]);
    database.two = 'row3';
    fs.writeFileSync(join(two.root.prefix, paths.sync, 'tables.unapplied'), '');
    savePair(two, pairAt(3, cms2));
    await until(
      () => status(two),
      ({ epoch }) => epoch === 3,
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(database.two).toBe('row3');
  });

  it('is applied by its program on the server that takes over', async () => {
    const { one, two } = twoServers();
    const sets = {
      dataSets: v.parse(profileSchema.entries.dataSets, [
        { name: 'admin', path: '/admin', apply: { run: ['/take'], seconds: 5 } },
      ]),
    };
    let refuses = false;
    const ran: string[] = [];
    const program =
      (name: string): RunProgram =>
      async () => {
        if (!refuses) ran.push(name);
        return refuses ? { ...ended, exitCode: 1 } : ended;
      };
    startAgent(two, one, sets, program('two'));
    const stopOne = startAgent(one, two, sets, program('one'));
    await drained(one);
    refuses = true;
    write(one, 'queues', 'calls');
    await until(
      () => tree(two)['queues'],
      (text) => text === 'calls',
    );
    await setState(one, 'stopped');
    await stopOne();
    ran.length = 0;
    refuses = false;
    savePair(two, pairAt(2, cms2));
    await until(
      () => ran.length,
      (count) => count > 0,
    );
    expect(ran).toEqual(['two']);
  });
});
