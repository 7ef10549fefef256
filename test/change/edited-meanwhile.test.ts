// Somebody edits a managed file while a change is under way: his edit is never swallowed, and the change is settled.
import * as fs from 'node:fs';
import { linkSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { noServices } from '../../src/change/change.ts';
import { runAlone } from '../../src/change/coordinator.ts';
import { unfinished } from '../../src/change/journal.ts';
import { recover } from '../../src/change/recover.ts';
import type { Server } from '../../src/change/server.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import type { Disk } from '../../src/host/root.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { collected } from '../rehearsal/pair.ts';
import { changeOf, changeId as id, serverOf, type TestHost, tag, testHost, textAt, tree } from './test-host.ts';

const folder = tempFolder();
let host: TestHost;
let server: Server;
let number = 0;
beforeEach(() => {
  number += 1;
  host = testHost(join(folder, String(number)));
  server = serverOf(host);
});

const file = (path: string): string => join(host.root.prefix, path);
/** Replaced, taken away, made: in this order. */
const newTexts = { '/etc/hosts': 'new\n', '/root/.rhosts': null, '/root/.bash_profile': 'made\n' };
const edits = [
  { name: 'a file to be replaced', path: '/etc/hosts' },
  { name: 'a file to be taken away', path: '/root/.rhosts' },
  { name: 'a file that appears where one was to be made', path: '/root/.bash_profile' },
] as const;
const refusal = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: unknown) => (error instanceof CmsadmError ? error.code : String(error)),
  );
const keptEdits = (): string[] => Object.keys(tree(host)).filter((path) => path.includes('.edited'));

/** How an editor may write just before, or just after, the second name of the file is made. */
const ways = [
  {
    name: 'before its second name',
    disk: (place: string, byHand: () => void): Disk => ({
      ...fs,
      linkSync: (from, to) => {
        if (isItself(place, from, to)) byHand();
        fs.linkSync(from, to);
      },
    }),
  },
  {
    name: 'as a file of its own after its second name',
    disk: (place: string, byHand: () => void): Disk => ({
      ...fs,
      linkSync: (from, to) => {
        // A file that is made has no second name.
        const isMade = from.endsWith('.staged');
        if (isItself(place, from, to) && isMade) byHand();
        fs.linkSync(from, to);
        if (!isItself(place, from, to) || isMade) return;
        unlinkSync(place);
        byHand();
      },
    }),
  },
];
const isItself = (place: string, ...names: string[]): boolean =>
  names.some((name) => basename(name) === basename(place));

describe.each(edits)('between stage and commit, $name', ({ path }) => {
  test('refuses the commit before anything is replaced, and is left as it is', async () => {
    const change = changeOf(host, newTexts);
    await server.stage({ change, part: 'alone' });
    writeFileSync(file(path), 'by hand\n');
    const edited = tree(host);
    expect(await refusal(server.commit({ id }))).toBe('file-changed');
    expect(tree(host)).toEqual(edited);
    expect(await server.putBack({ id, by: 'operator' })).toMatchObject({ files: [], edited: [], left: [path] });
    expect(textAt(host, path)).toBe('by hand\n');
    expect(Object.keys(tree(host)).filter((name) => name.includes(tag))).toEqual([]);
    expect(unfinished(host.root)).toEqual([]);
  });

  test('and the run that finds it ends as put back', async () => {
    const side = { name: 'cms1', server, change: changeOf(host, newTexts) };
    const arm: Server['arm'] = async (args) => {
      await server.arm(args);
      writeFileSync(file(path), 'by hand\n');
    };
    const run = runAlone({ ...side, server: { ...server, arm } }, collected().report, { requested: false });
    await expect(run).rejects.toMatchObject({ code: 'file-changed', exitCode: exitCodes.putBack });
    expect(textAt(host, path)).toBe('by hand\n');
    expect(unfinished(host.root)).toEqual([]);
  });

  test('is left by the settling of a run that died there', async () => {
    await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
    writeFileSync(file(path), 'by hand\n');
    const [settled] = await recover(host, undefined, 'itself');
    expect(settled).toMatchObject({ did: 'put back', why: expect.stringContaining(`${path} was edited meanwhile`) });
    expect(textAt(host, path)).toBe('by hand\n');
    expect(keptEdits()).toEqual([]);
    expect(unfinished(host.root)).toEqual([]);
  });
});

describe.each(edits)('after the first look of the commit, $name', ({ path }) => {
  /** Commits while somebody edits the file at a certain moment, on a server that stops a unit for this change. */
  const commitEdited = async (name: string, edit: 'units' | 'stop' | (typeof ways)[number]): Promise<TestHost> => {
    const late = testHost(join(folder, `${number}-${name}`));
    const place = join(late.root.prefix, path);
    const byHand = (): void => writeFileSync(place, 'by hand\n');
    const { units, control } = late.system;
    const edited: TestHost = {
      ...late,
      root: typeof edit === 'string' ? late.root : { ...late.root, disk: edit.disk(place, byHand) },
      system: {
        ...late.system,
        units: (asked) => {
          if (edit === 'units') byHand();
          return units(asked);
        },
        control: (verb, asked) => {
          if (edit === 'stop' && verb === 'stop') byHand();
          return control(verb, asked);
        },
      },
    };
    const before = tree(late);
    const services = { ...noServices, stop: ['ids.service'] };
    const one = serverOf(edited);
    await one.stage({ change: changeOf(late, newTexts, { services }), part: 'alone' });
    expect(await refusal(one.commit({ id }))).toBe(
      typeof edit === 'string' || before[path] ? 'file-changed' : 'system-refused',
    );
    const { edited: kept, left } = await one.putBack({ id, by: 'operator' });
    expect({ kept, left }).toEqual({ kept: [], left: [path] });
    expect(tree(late)).toEqual({ ...before, [path]: expect.stringMatching(/^\d+ by hand\n$/) });
    expect(unfinished(late.root)).toEqual([]);
    return late;
  };

  test('while the units are asked for, it is left as it is', async () => {
    await commitEdited('units', 'units');
  });

  test('while a unit stops, it is left as it is, and the unit runs again', async () => {
    const { units, did } = await commitEdited('stop', 'stop');
    expect(did).toContain('stop ids.service');
    expect(units.get('ids.service')).toMatchObject({ active: true, enabled: true });
  });

  test.each(ways)('in the moment of its replacement, $name, it is left as it is', async (way) => {
    await commitEdited(way.name.replaceAll(' ', '-'), way);
  });
});

test('half committed: a file that was not reached yet and was edited is left, the others are put back', async () => {
  await server.stage({ change: changeOf(host, { ...newTexts, '/etc/services': 'new\n' }), part: 'peer' });
  rmSync(file(`/root/..bash_profile.${tag}.staged`));
  expect(await refusal(server.commit({ id }))).toBe('system-refused');
  writeFileSync(file('/etc/services'), 'by hand\n');
  expect(await server.putBack({ id, by: 'operator' })).toMatchObject({ left: ['/etc/services'], edited: [] });
  expect(textAt(host, '/etc/services')).toBe('by hand\n');
  expect(textAt(host, '/etc/hosts')).toBe('127.0.0.1 localhost\n');
  expect(unfinished(host.root)).toEqual([]);
});

test('a crash between the two names of a new file leaves nothing of it after the put back', async () => {
  const before = tree(host);
  await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
  await server.commit({ id });
  linkSync(file('/root/.bash_profile'), file(`/root/..bash_profile.${tag}.staged`));
  await server.putBack({ id, by: 'operator' });
  expect(tree(host)).toEqual(before);
});

test.each([
  ['/etc/hosts', 'while a unit stops'],
  ['/root/.rhosts', 'while a unit stops'],
  ['/root/.rhosts', 'in the moment of its removal'],
])('%s, deleted by somebody else %s, is left as it is, and the change is settled', async (path, when) => {
  const deleting: TestHost = {
    ...host,
    root: {
      ...host.root,
      disk: {
        ...fs,
        linkSync: (from, to) => {
          if (when === 'in the moment of its removal' && basename(from) === basename(path)) unlinkSync(file(path));
          fs.linkSync(from, to);
        },
      },
    },
    system: {
      ...host.system,
      control: async (verb, units) => {
        if (when === 'while a unit stops' && verb === 'stop' && units.length > 0) unlinkSync(file(path));
        await host.system.control(verb, units);
      },
    },
  };
  const { [path]: _, ...others } = tree(host);
  const one = serverOf(deleting);
  const services = { ...noServices, stop: ['ids.service'] };
  await one.stage({ change: changeOf(host, newTexts, { services }), part: 'alone' });
  expect(await refusal(one.commit({ id }))).toMatch(/file-changed|system-refused/);
  expect(await one.putBack({ id, by: 'operator' })).toMatchObject({ edited: [], left: [path] });
  expect(tree(host)).toEqual(others);
  expect(unfinished(host.root)).toEqual([]);
});

describe('a put back that is repeated', () => {
  test.each(edits)('never touches a newer edit of $name', async ({ path }) => {
    await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
    await server.commit({ id });
    await server.putBack({ id, by: 'operator' });
    writeFileSync(file(path), 'by hand, later\n');
    const edited = tree(host);
    expect(await server.putBack({ id, by: 'operator' })).toMatchObject({ files: [], edited: [], left: [] });
    expect(tree(host)).toEqual(edited);
  });

  test('after it could not be finished keeps a second edit under a name of its own', async () => {
    await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
    await server.commit({ id });
    unlinkSync(file(`/root/.rhosts.${tag}`));
    writeFileSync(file('/root/.bash_profile'), 'first edit\n');
    expect(await refusal(server.putBack({ id, by: 'operator' }))).toBe('put-back-incomplete');
    writeFileSync(file('/root/.bash_profile'), 'second edit\n');
    writeFileSync(file(`/root/.rhosts.${tag}`), 'old root\n');
    expect((await server.putBack({ id, by: 'operator' })).edited).toEqual([`/root/.bash_profile.${tag}.edited-2`]);
    expect(textAt(host, `/root/.bash_profile.${tag}.edited`)).toBe('first edit\n');
    expect(textAt(host, `/root/.bash_profile.${tag}.edited-2`)).toBe('second edit\n');
    expect(unfinished(host.root)).toEqual([]);
  });

  test('leaves what the first one left to the administrator, and says so again', async () => {
    const made = '/root/.bash_profile';
    let byHand = (): void => writeFileSync(file(made), 'by hand\n');
    let isFull = true;
    const refused = Object.assign(new Error('ENOSPC: write'), { code: 'ENOSPC', syscall: 'write' });
    const late: TestHost = {
      ...host,
      root: {
        ...host.root,
        disk: {
          ...fs,
          writeFileSync: (handle, data) => {
            if (isFull && String(data).startsWith('{"state":"put-back"')) throw refused;
            fs.writeFileSync(handle, data);
          },
        },
      },
      system: {
        ...host.system,
        control: async (verb, units) => {
          if (verb === 'stop' && units.length > 0) byHand();
          await host.system.control(verb, units);
        },
      },
    };
    const one = serverOf(late);
    const services = { ...noServices, stop: ['ids.service'] };
    await one.stage({ change: changeOf(host, newTexts, { services }), part: 'alone' });
    expect(await refusal(one.commit({ id }))).toBe('file-changed');
    byHand = () => undefined;
    expect(await refusal(one.putBack({ id, by: 'operator' }))).toBe('system-refused');
    expect(Object.keys(tree(host)).filter((path) => path.endsWith('.staged'))).toEqual([]);
    isFull = false;
    expect(await one.putBack({ id, by: 'operator' })).toMatchObject({ edited: [], left: [made] });
    expect(textAt(host, made)).toBe('by hand\n');
    expect(keptEdits()).toEqual([]);
    expect(unfinished(host.root)).toEqual([]);
  });

  test('because a service was refused leaves what the administrator has made since', async () => {
    let isRefused = true;
    const late: TestHost = {
      ...host,
      system: {
        ...host.system,
        control: async (verb, units) => {
          if (isRefused && verb === 'start' && units.length > 0) throw new CmsadmError('service-failed', 'Not now.');
          await host.system.control(verb, units);
        },
      },
    };
    const one = serverOf(late);
    const services = { ...noServices, stop: ['ids.service'] };
    await one.stage({ change: changeOf(host, newTexts, { services }), part: 'alone' });
    await one.commit({ id });
    expect(await refusal(one.putBack({ id, by: 'operator' }))).toBe('put-back-incomplete');
    for (const { path } of edits) writeFileSync(file(path), 'by hand\n');
    isRefused = false;
    await one.putBack({ id, by: 'operator' });
    for (const { path } of edits) expect(textAt(host, path)).toBe('by hand\n');
    expect(keptEdits()).toEqual([]);
    expect(unfinished(host.root)).toEqual([]);
  });
});
