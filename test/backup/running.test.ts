import { spawn } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { places } from '../../src/backup/places.ts';
import { running, settleDead } from '../../src/backup/running.ts';
import { CmsadmError } from '../../src/errors.ts';
import { testHost, textAt } from '../change/test-host.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
const hostIn = (system = {}) => testHost(mkdtempSync(join(folder, 'server-')), system);
const claim = { operation: 'filesystem backup', operator: 'ops', startedOn: 'cms1' };
const blocks = { blocks: 'CMSADM-1-2', warn: () => undefined };

describe('a backup that runs', () => {
  test('blocks log-ins, has its end watched, and leaves nothing behind, whole or failed', async () => {
    for (const fails of [false, true]) {
      const host = hostIn();
      const part = join(host.root.prefix, '.part');
      const run = running(host, claim, blocks, async (noted) => {
        noted.begins(part);
        writeFileSync(part, 'half');
        expect(textAt(host, '/run/nologin')).toContain('CMSADM-1-2');
        expect(host.did).toEqual(['arm 20 backup unblock']);
        if (fails) throw new Error('broken');
        renameSync(part, `${part}.whole`);
      });
      if (fails) await expect(run).rejects.toThrow('broken');
      else await run;
      expect(existsSync(part)).toBe(false);
      expect(existsSync(`${part}.whole`)).toBe(!fails);
      for (const file of [places.nologin, places.ownNologin, places.begun, places.lock])
        expect(textAt(host, file), file).toBeUndefined();
      expect(host.did).toEqual(['arm 20 backup unblock', 'disarm']);
    }
  });

  test('is the only one', async () => {
    const host = hostIn();
    await running(host, claim, blocks, async () => {
      const second = running(host, { ...claim, operation: 'restore of x' }, blocks, async () => undefined);
      await expect(second).rejects.toThrow(/ops runs: filesystem backup, since .* Two of them never run together/);
      // The second one has not let anybody in.
      expect(textAt(host, '/run/nologin')).toContain('CMSADM-1-2');
      expect(await settleDead(host, claim)).toBeUndefined();
      expect(textAt(host, '/run/nologin')).toContain('CMSADM-1-2');
    });
    expect(await settleDead(host, claim)).toEqual([]);
  });

  test('that cannot be watched does not begin', async () => {
    const host = hostIn({ arm: () => Promise.reject(new CmsadmError('program-failed', 'no systemd')) });
    await expect(running(host, claim, blocks, async () => undefined)).rejects.toThrow('no systemd');
    expect(textAt(host, '/run/nologin')).toBeUndefined();
    expect(textAt(host, places.lock)).toBeUndefined();
  });
});

describe('what a backup that died has left', () => {
  const dies = async (host: ReturnType<typeof hostIn>, begin: () => void, note: object): Promise<void> => {
    for (const path of ['run/cmsadm', dirname(places.begun)])
      mkdirSync(join(host.root.prefix, path), { recursive: true });
    begin();
    writeFileSync(join(host.root.prefix, places.begun), JSON.stringify(note));
  };

  test('goes: its archiver, its file, its block of log-ins', async () => {
    const sleeper = spawn('sleep', ['600'], { stdio: 'ignore' });
    const ended = new Promise((resolve) => sleeper.once('exit', resolve));
    const pid = sleeper.pid ?? 0;
    const host = hostIn({
      processStart: (one: number) => (one === pid ? '77' : undefined),
      endProcess: async (one: number) => void process.kill(one),
    });
    const part = join(host.root.prefix, '.part');
    await dies(host, () => writeFileSync(part, 'half'), { parts: [part], archiver: { pid, start: '77' } });
    writeFileSync(
      join(host.root.prefix, places.ownNologin),
      'The backup X is running on this server. New log-ins are possible again when it has ended.\n',
    );
    linkSync(join(host.root.prefix, places.ownNologin), join(host.root.prefix, places.nologin));
    expect(await settleDead(host, claim)).toEqual([
      'its archiver was ended',
      '.part was removed',
      'new log-ins are possible again',
    ]);
    await ended;
    expect(existsSync(part)).toBe(false);
    expect(await settleDead(host, claim)).toEqual([]);
  });

  test('spares a process that has the number of its archiver by now', async () => {
    const host = hostIn({ endProcess: () => Promise.reject(new Error('ended a stranger')) });
    await dies(host, () => undefined, { parts: [], archiver: { pid: process.pid, start: 'another' } });
    expect(await settleDead(host, claim)).toEqual([]);
  });
});
