// What is not heard in time, or not at all, is no answer.
import * as net from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { firewall } from '../../src/host/firewall-in-force.ts';
import { run } from '../../src/host/processes.ts';
import { realSystem } from '../../src/host/real-system.ts';

vi.mock(import('../../src/host/processes.ts'), async (original) => ({ ...(await original()), run: vi.fn() }));
afterEach(() => void vi.mocked(run).mockReset());

const ended = { stdout: '', stderr: '', exitCode: 127 };

test('a firewall that was not heard of is not taken for none', async () => {
  vi.mocked(run).mockResolvedValue(ended);
  await expect(firewall(undefined)).rejects.toMatchObject({ code: 'firewall-unreadable' });
});

describe('a judge', () => {
  test('that is not there says nothing', async () => {
    vi.mocked(run).mockResolvedValue({ ...ended, stderr: 'spawn keepalived ENOENT' });
    expect(await realSystem().judge('keepalived', '/x')).toEqual({ ran: false });
  });
  test('that died of the file, or was ended over it, has not passed it', async () => {
    vi.mocked(run).mockResolvedValue(ended);
    expect(await realSystem().judge('keepalived', '/x')).toMatchObject({
      ran: true,
      problem: expect.stringMatching(/./),
    });
  });
});

test('a connection that was made while this process stood still is one', async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const connecting = realSystem().connect('127.0.0.1', address.port);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 11_500);
  (await connecting).destroy();
  server.close();
});
