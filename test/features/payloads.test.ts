// What the packages of fixtures/packages bring really works: their programs are run as on a server.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
const program = (path: string): string => fileURLToPath(new URL(`../../fixtures/packages/${path}`, import.meta.url));
const made = (name: string): string => {
  mkdirSync(join(folder, name), { recursive: true });
  return join(folder, name);
};
const environment = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' };

test('external call history: each record becomes one row, and what is no record is set aside', async () => {
  const [source, rows] = [made('records'), made('rows')];
  const record = (end: string, agent: string): string => `end=${end}\nagent=${agent}\nvdn=4100\nskill=12\nseconds=75\n`;
  writeFileSync(join(source, '1.call'), record('2026-03-02T09:15:00', '2001'));
  writeFileSync(join(source, '2.call'), record('2026-03-03T10:00:00', '2002'));
  writeFileSync(join(source, '3.call'), 'end=$(id)\nseconds=x\n');
  writeFileSync(join(source, 'not-yet.tmp'), record('2026-03-03T10:00:00', '2003'));
  // What a crash between row and record would leave: the row is there already.
  writeFileSync(join(rows, 'calls-2026-03-03.csv'), '2026-03-03T10:00:00,2002,4100,12,75\n');
  const running = spawn(program('external_call_history/files/bin/export-calls'), {
    env: { ...environment, SETTING_SOURCE: source, SETTING_INTERVAL: '1', STATE_DIRECTORY: rows },
  });
  try {
    await expect.poll(() => readdirSync(source), { timeout: 20_000 }).toEqual(['not-yet.tmp']);
  } finally {
    running.kill('SIGKILL');
  }
  expect(readFileSync(join(rows, 'calls-2026-03-02.csv'), 'utf8')).toBe('2026-03-02T09:15:00,2001,4100,12,75\n');
  expect(readFileSync(join(rows, 'calls-2026-03-03.csv'), 'utf8')).toBe('2026-03-03T10:00:00,2002,4100,12,75\n');
  expect(readdirSync(join(rows, 'refused'))).toEqual(['3.call']);
});

describe('forecasting', () => {
  // 2026-03-02 and 2026-02-23 are Mondays.
  const history = made('history');
  writeFileSync(
    join(history, 'calls-2026-03-02.csv'),
    ['2026-03-02T09:15:00,1,2,12,75', '2026-03-02T09:45:00,1,2,12,75', '2026-03-02T10:00:00,1,2,13,75', ''].join('\n'),
  );
  writeFileSync(join(history, 'calls-2026-02-23.csv'), '2026-02-23T09:00:00,1,2,12,75\n');
  writeFileSync(join(history, 'calls-2025-01-06.csv'), '2025-01-06T09:00:00,1,2,12,75\n');
  const forecast = (method: string): string => {
    const own = made(`forecast-${method}`);
    execFileSync(program('forecasting/files/bin/forecast'), {
      env: {
        ...environment,
        ...{ HISTORY_DIRECTORY: history, STATE_DIRECTORY: own, FORECAST_TODAY: '2026-03-04' },
        ...{ SETTING_WEEKS: '2', SETTING_METHOD: method },
      },
    });
    expect(readdirSync(own)).toEqual(['forecast.csv']);
    return readFileSync(join(own, 'forecast.csv'), 'utf8');
  };

  test('expects the mean of the weeks that it looks back on', () => {
    expect(forecast('mean')).toBe('1,09,12,1.50\n1,10,13,0.50\n');
  });

  test('gives the last weeks more weight where it is told', () => {
    expect(forecast('recent')).toBe('1,09,12,1.67\n1,10,13,0.67\n');
  });
});

test('multi-tenancy: its hook refuses fewer tenants than there are', () => {
  const home = made('multi/1.0.0');
  execFileSync('cp', ['-r', `${program('multi_tenancy/files')}/.`, home]);
  const tenants = join(folder, 'tenants');
  const hook = (): string => {
    try {
      execFileSync(join(home, 'hooks/tenants'), ['settings'], {
        env: { ...environment, TENANTS_FILE: tenants },
        stdio: 'pipe',
      });
      return 'accepted';
    } catch (error) {
      return error instanceof Error && 'stdout' in error ? String(error.stdout).trim() : String(error);
    }
  };
  expect(existsSync(tenants)).toBe(false);
  expect(hook()).toBe('accepted');
  writeFileSync(tenants, '# name\nnorth\n\n  south\neast\n');
  writeFileSync(join(home, '../settings.env'), 'SETTING_TENANTS="3"\nSETTING_DEFAULT_TENANT="Head office"\n');
  expect(hook()).toBe('accepted');
  writeFileSync(join(home, '../settings.env'), 'SETTING_TENANTS="2"\n');
  expect(hook()).toBe('3 tenants are defined, 2 would be allowed');
});

test('dual IP: its hook keeps the package while a link has a second address', () => {
  const links = made('links');
  const hook = (): string => {
    try {
      execFileSync(program('dual_ip/files/hooks/unused'), ['remove'], {
        env: { ...environment, LINKS_FOLDER: links },
        stdio: 'pipe',
      });
      return 'accepted';
    } catch (error) {
      return error instanceof Error && 'stdout' in error ? String(error.stdout).trim() : String(error);
    }
  };
  expect(hook()).toBe('accepted');
  writeFileSync(join(links, '1-link.yaml'), 'host: 192.0.2.1\nport: 5001\n');
  expect(hook()).toBe('accepted');
  writeFileSync(join(links, '2-link.yaml'), 'host: 192.0.2.1\nsurvivable:\n  host: 192.0.2.2\n  port: 5001\n');
  expect(hook()).toBe('ACD 2 has a survivable address: take it away first (acd_link change), or the ACD (acd_remove)');
});
