import { mkdirSync, renameSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { sshdFiles } from '../../src/host/sshd-files.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const prefix = tempFolder();
const root = { prefix, ownersCount: false };
const put = (path: string, text = ''): void => {
  mkdirSync(dirname(join(prefix, path)), { recursive: true });
  writeFileSync(join(prefix, path), text);
};
const paths = (): string[] => sshdFiles(root).map(({ path }) => path);

test('without a file of its own there is none', () => {
  expect(sshdFiles(root)).toEqual([]);
});

test('sshd reads its own file and what is included, by wildcard, below /etc/ssh and by what was included, once each', () => {
  put(
    '/etc/ssh/sshd_config',
    'Include /etc/ssh/sshd_config.d/*.conf site+?\n  include "/opt/sshd extra"\n# Include /none\n',
  );
  put('/etc/ssh/sshd_config.d/50-a.conf', 'Include 50-*.conf\nInclude /etc/ssh/sshd_config.d/50-a.conf\n');
  put('/etc/ssh/sshd_config.d/60-b.conf');
  for (const other of ['60-b.conf.zdt_1_2', '.hidden.conf', 'readme']) put(`/etc/ssh/sshd_config.d/${other}`);
  put('/etc/ssh/site+1');
  put('/etc/ssh/site+12');
  put('/opt/sshd extra');
  const folder = '/etc/ssh/sshd_config.d';
  const read = [
    '/etc/ssh/sshd_config',
    `${folder}/50-a.conf`,
    `${folder}/60-b.conf`,
    '/etc/ssh/site+1',
    '/opt/sshd extra',
  ];
  expect(paths()).toEqual(read);
});

test('an old file that is moved into its place was changed then, and so was what a link leads to', async () => {
  put('/etc/ssh/sshd_config');
  put('/root/old');
  utimesSync(join(prefix, '/root/old'), 1_000, 1_000);
  const began = Date.now() - 50; // a file's times are those of the last tick
  renameSync(join(prefix, '/root/old'), join(prefix, '/etc/ssh/sshd_config'));
  expect(sshdFiles(root)[0]?.changedAt).toBeGreaterThan(began);
  renameSync(join(prefix, '/etc/ssh/sshd_config'), join(prefix, '/root/main'));
  symlinkSync('../../root/main', join(prefix, '/etc/ssh/sshd_config'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  put('/root/main', 'X11Forwarding no\n');
  expect(sshdFiles(root)[0]?.changedAt).toBeGreaterThanOrEqual(statSync(join(prefix, '/root/main')).ctimeMs);
});
