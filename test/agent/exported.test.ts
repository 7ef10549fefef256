import * as fs from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import type { RunProgram } from '../../src/agent/program.ts';
import { callAgent } from '../../src/agent/socket.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { profileSchema } from '../../src/profile/schema.ts';
import { drained, setState, startAgent, status } from './running-agents.ts';
import { twoServers } from './two-servers.ts';

/** Exported so rarely that only what is asked for is exported within a test. */
const withTables = (every = 3600) => ({
  dataSets: v.parse(profileSchema.entries.dataSets, [
    { name: 'tables', path: '/var/lib/cmsadm/exports/tables', exported: { export: ['/x'], import: ['/i'], every } },
  ]),
});

const done = { stdout: '', stderr: '', exitCode: 0 };

/** A database on each server, and agents that export and import it. */
function twoDatabases(every?: number) {
  const { one, two } = twoServers();
  const database = { one: 'rows', two: '', isDown: false, refuses: false, exports: 0 };
  const programs =
    (own: 'one' | 'two'): RunProgram =>
    async (_argv, { input, output }) => {
      if (output !== undefined) {
        database.exports += 1;
        fs.writeFileSync(output, database[own]);
        return database.isDown ? { ...done, stderr: 'the database is down', exitCode: 1 } : done;
      }
      if (database.refuses) return { ...done, stderr: 'ERROR: no such role', exitCode: 3 };
      database[own] = fs.readFileSync(input ?? '', 'latin1');
      return done;
    };
  startAgent(two, one, withTables(every), programs('two'));
  startAgent(one, two, withTables(every), programs('one'));
  return { one, two, database };
}

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
