import { describe, expect, test } from 'vitest';
import { mountOf, parseMounts, savedBelow } from '../../src/backup/mounts.ts';

const mounts = parseMounts(
  [
    '20 1 0:20 / /proc rw - proc proc rw',
    '21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
    '22 21 0:21 / /run rw - tmpfs tmpfs rw',
    '23 21 8:2 / /boot rw - ext4 /dev/sda2 rw',
    '24 23 8:3 / /boot/efi rw - vfat /dev/sda3 rw',
    '25 21 8:4 / /cms rw - xfs /dev/sda4 rw',
    '26 21 8:4 /admin /srv/admin rw - xfs /dev/sda4 rw',
    '27 21 0:40 / /mnt/backup rw - nfs4 nas:/b rw',
    '28 21 8:5 / /data\\040disk rw - btrfs /dev/sda5 rw',
    '29 22 8:6 / /run/media rw - ext4 /dev/sda6 rw',
    '30 21 8:7 / /over rw - ext4 /dev/sda7 rw',
    '31 30 0:50 / /over rw - tmpfs tmpfs rw',
    '',
  ].join('\n'),
);

describe('the file systems that are saved', () => {
  test('are those of disks, each once, reached by way of saved ones', () => {
    expect(savedBelow('/', mounts)).toEqual(['/boot', '/boot/efi', '/cms', '/data disk']);
    expect(savedBelow('/boot', mounts)).toEqual(['/boot/efi']);
    expect(savedBelow('/cms/admin', mounts)).toEqual([]);
  });

  test('are known by the longest mount point, the last of several', () => {
    expect(mountOf('/cms/admin/x', mounts).device).toBe('8:4');
    expect(mountOf('/cmsx', mounts).device).toBe('8:1');
    expect(mountOf('/over/x', mounts).type).toBe('tmpfs');
    expect(() => mountOf('/x', [])).toThrow(/no mounted file system/);
  });
});
