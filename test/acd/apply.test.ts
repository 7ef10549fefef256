import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { acdsWanted } from '../../src/acd/apply.ts';
import { type AcdDefinition, printDefinition } from '../../src/acd/definition.ts';
import { archiveFile, printRemoval, writeDone } from '../../src/acd/removal.ts';
import { run } from '../../src/host/processes.ts';
import type { Host } from '../../src/host/system.ts';
import { has } from '../backup/has-program.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type NewPair, pairMaker } from '../rehearsal/pair.ts';

const folder = tempFolder();
const repository = fileURLToPath(new URL('../..', import.meta.url));
const slow = fileURLToPath(new URL('slow-applying.ts', import.meta.url));
let make: NewPair;
beforeAll(async () => {
  make = await pairMaker(folder);
}, 60_000);

const id = '2-1700000000-1';
const data = 'cms/data/acd/2';
const definition: AcdDefinition = {
  ...{ id, name: 'south', release: '10.x', master: false, vectoring: true, expertAgentSelection: false },
  ...{ disconnectSupervision: true, splits: 1, splitMembers: 1, shifts: [], trunkGroups: 1, trunks: 1 },
  ...{ unmeasuredFacilities: 1, callWorkCodes: 1, vectors: 1, vdns: 1 },
};

/** A server on which ACD 2 was removed by its administration alone: its part here, with data, is still to be done. */
function removed(name: string) {
  const pair = make(name);
  const server = pair.cms1;
  const { host, profile } = pair.context(server);
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(server, path)), { recursive: true });
    writeFileSync(join(server, path), text);
  };
  const removal = { number: 2, at: '2026-01-01T00:00:00.000Z', by: 'ops', definition, links: {}, users: {} };
  put(`cms/admin/acd/removed/${id}.yaml`, printRemoval(removal));
  put(`${data}/deep/calls`, 'one\n');
  put(`${data}/agents`, 'two\n');
  /** Programs that were run, but for the one that asks for the state. */
  const ran: string[] = [];
  const runProgram: typeof run = (argv, options) => {
    if (argv.at(-2) !== 'state') ran.push(argv.join(' '));
    return run(argv, options);
  };
  const recording: Host = { ...host, runProgram };
  return { server, host, profile, put, ran, apply: () => acdsWanted.apply(recording, profile) };
}

/** Defines the ACD again, as `acd_create --from-archive` does, with its data still to be brought back. */
function bringBack({ put, host }: Pick<ReturnType<typeof removed>, 'put' | 'host'>): void {
  put('cms/admin/acd/2.yaml', printDefinition(2, { ...definition, id: '2-1700000001-1', restoredFrom: id }));
  writeDone(host.root, { removed: [id], restored: [] });
}

/** Starts a process that is at it when this returns. */
async function another(server: string) {
  const argv = ['--import', 'tsx', slow, server, join(folder, 'program')];
  const ended = promisify(execFile)(process.execPath, argv, { cwd: repository });
  onTestFinished(() => void ended.child.kill());
  // Looked at later; by then it may have failed.
  ended.catch(() => {});
  for (let looks = 0; !existsSync(join(server, 'at-it')) && looks < 2000; looks += 1) await sleep(10);
  return async (): Promise<string> => {
    writeFileSync(join(server, 'go'), '');
    return (await ended).stdout;
  };
}

describe('two processes that make a server stand as is wanted of its ACDs', () => {
  test('archive and remove once: the second one waits, and finds it done', async () => {
    const { server, host, ran, apply } = removed('two-remove');
    const goOn = await another(server);
    const second = apply();
    await sleep(500);
    expect(ran).toEqual([]);
    expect(existsSync(join(server, data, 'deep/calls'))).toBe(true);
    expect(await goOn()).toContain(`/${data} removed, kept in ${archiveFile(id)}`);
    expect(await second).toEqual([]);
    expect(ran).toEqual([]);
    const { stdout } = await run(['tar', '--list', `--file=${join(server, archiveFile(id))}`]);
    expect(stdout).toContain(`${data}/deep/calls\n`);
    expect(existsSync(join(server, data))).toBe(false);
    expect(existsSync(join(host.root.prefix, 'run/cmsadm/acds'))).toBe(false);
  });

  test('bring back once: what was written meanwhile stays', async () => {
    const { server, host, put, ran, apply } = removed('two-restore');
    await apply();
    bringBack({ put, host });
    ran.length = 0;
    const goOn = await another(server);
    const second = apply();
    await sleep(500);
    expect(ran).toEqual([]);
    await goOn();
    writeFileSync(join(server, data, 'deep/calls'), 'one\nlater\n');
    expect(await second).toEqual([]);
    expect(readFileSync(join(server, data, 'deep/calls'), 'utf8')).toBe('one\nlater\n');
  });
});

describe('the archive of a removed ACD', () => {
  test.skipIf(process.getuid?.() !== 0 || !has('setfattr') || !has('getfattr'))(
    'keeps every attribute, not only those of users',
    async () => {
      const { server, host, put, apply } = removed('attributes');
      const file = join(server, data, 'deep/calls');
      execFileSync('setfattr', ['--name=trusted.cmsadm', '--value=kept', file]);
      await apply();
      expect(existsSync(file)).toBe(false);
      bringBack({ put, host });
      await apply();
      const { stdout } = await run(['getfattr', '--only-values', '--absolute-names', '--name=trusted.cmsadm', file]);
      expect(stdout).toBe('kept');
    },
  );

  test('is not made of a data folder that is a link: nothing is touched', async () => {
    const { server, ran, apply } = removed('link');
    renameSync(join(server, data), join(server, 'elsewhere'));
    symlinkSync('../../../elsewhere', join(server, data));
    await expect(apply()).rejects.toMatchObject({
      code: 'data-is-link',
      message: `/${data} is a link to ../../../elsewhere: data of ACD 2 lies elsewhere.`,
    });
    expect(ran).toEqual([]);
    expect(existsSync(join(server, data, 'deep/calls'))).toBe(true);
  });

  test('has every name in it, or nothing is removed', async () => {
    const { server, host, profile, put, ran } = removed('left-out');
    put(`${data}/deep/site.conf`, 'mine\n');
    const leavingOut: typeof run = (argv, options) => {
      ran.push(argv.join(' '));
      return run(argv[0] === 'tar' ? ['tar', '--exclude=*.conf', ...argv.slice(1)] : argv, options);
    };
    await expect(acdsWanted.apply({ ...host, runProgram: leavingOut }, profile)).rejects.toMatchObject({
      code: 'archive-failed',
      details: [expect.stringContaining('It holds 5 names, and 6 are there')],
    });
    expect(ran.some((line) => line.startsWith('tar --create'))).toBe(true);
    expect(readFileSync(join(server, data, 'deep/site.conf'), 'utf8')).toBe('mine\n');
    expect(existsSync(join(server, archiveFile(id)))).toBe(false);
  });

  test('holds names of every kind, but for sockets', async () => {
    const { server, apply } = removed('kinds');
    const deep = join(server, data, 'deep');
    writeFileSync(join(deep, 'two\nlines \\n ü'), '');
    symlinkSync('calls', join(deep, 'link'));
    linkSync(join(deep, 'calls'), join(deep, 'second-name'));
    mkdirSync(join(deep, 'empty'));
    execFileSync('mkfifo', [join(deep, 'pipe')]);
    const socket = createServer().listen(join(deep, 'socket'));
    await once(socket, 'listening');
    expect(await apply()).toEqual([expect.stringContaining(`/${data} removed, kept in`)]);
    socket.close();
    expect(existsSync(join(server, data))).toBe(false);
    const { stdout } = await run(['tar', '--list', `--file=${join(server, archiveFile(id))}`]);
    expect(stdout.split('\n').slice(0, -1)).toHaveLength(10);
  });
});
