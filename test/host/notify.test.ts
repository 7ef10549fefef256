import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeNotifier } from '../../src/host/notify.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();

/** A stand-in for systemd-notify that writes down its socket and its words, one call a line. */
function recorder(name: string, then = ''): { readonly program: string; readonly calls: () => string[] } {
  const program = join(folder, name);
  const file = `${program}.calls`;
  writeFileSync(program, `#!/bin/sh\necho "$NOTIFY_SOCKET|$*" >> ${file}\n${then}\n`);
  chmodSync(program, 0o755);
  return { program, calls: () => (existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []) };
}

const manager = { NOTIFY_SOCKET: '/run/systemd/notify' };

test('the service manager hears everything, in the order in which it was told', async () => {
  const { program, calls } = recorder('all');
  const notifier = makeNotifier(manager, program);
  notifier.status('in step\nforged');
  notifier.ready();
  notifier.alive();
  await expect
    .poll(calls)
    .toEqual([
      '/run/systemd/notify|--status=in step forged',
      '/run/systemd/notify|--ready',
      '/run/systemd/notify|WATCHDOG=1',
    ]);
});

test('a message that failed does not keep the next one back', async () => {
  const { program, calls } = recorder('fails', 'exit 1');
  const notifier = makeNotifier(manager, program);
  notifier.ready();
  notifier.alive();
  await expect.poll(() => calls().length).toBe(2);
  const without = makeNotifier(manager, join(folder, 'missing'));
  without.ready();
  without.alive();
});

test.each([{}, { NOTIFY_SOCKET: '' }])('without a service manager nothing is run: %j', async (environment) => {
  const { program, calls } = recorder(`none-${Object.keys(environment).length}`);
  const notifier = makeNotifier(environment, program);
  notifier.ready();
  notifier.status('x');
  notifier.alive();
  // What another notifier sends afterwards is there first.
  const other = recorder(`${program}-other`.slice(folder.length + 1));
  makeNotifier(manager, other.program).ready();
  await expect.poll(other.calls).toHaveLength(1);
  expect(calls()).toEqual([]);
});
