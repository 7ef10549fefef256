import { expect, test } from 'vitest';
import { parseUnits } from '../../src/host/units.ts';

/** A block of `systemctl show`, as Debian's systemd prints it. */
const block = (name: string, state: string, more = ''): string =>
  `MainPID=${state === 'active' ? 812 : 0}\nId=${name}\nLoadState=loaded\nActiveState=${state}\nUnitFileState=enabled\nConditionResult=yes\n${more}`;

test.each([
  ['active', { active: true, failed: false }, undefined],
  ['reloading', { active: true, failed: false }, undefined],
  ['refreshing', { active: true, failed: false }, undefined],
  ['activating', { active: false, failed: false }, 'starting'],
  ['deactivating', { active: false, failed: false }, 'stopping'],
  ['inactive', { active: false, failed: false }, undefined],
  ['failed', { active: false, failed: true }, undefined],
])('a unit that is %s', (state, is, changing) => {
  const { 'cms.service': unit } = parseUnits(['cms.service'], block('cms.service', state));
  expect(unit).toMatchObject({ exists: true, enabled: true, ...is });
  expect(unit?.changing).toBe(changing);
});

test('reads a block for each unit in their order, and what a socket listens on', () => {
  const shown = [
    block(
      'ssh.socket',
      'active',
      'StateChangeTimestamp=Sat 2026-11-28 21:38:34 UTC\nListen=0.0.0.0:22 (Stream)\nListen=[::]:22 (Stream)\n',
    ),
    'MainPID=0\nId=none.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\nConditionResult=no\nStateChangeTimestamp=\n',
  ];
  expect(parseUnits(['ssh.socket', 'none.service'], shown.join('\n'))).toMatchObject({
    // In whole seconds: the end of it.
    'ssh.socket': {
      changedAt: Date.UTC(2026, 10, 28, 21, 38, 34, 999),
      daemon: true,
      idle: false,
      listens: ['0.0.0.0:22 (Stream)', '[::]:22 (Stream)'],
    },
    'none.service': { exists: false, active: false, enabled: false, idle: true, daemon: false, listens: [] },
  });
});
