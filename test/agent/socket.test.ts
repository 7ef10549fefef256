import * as fs from 'node:fs';
import * as net from 'node:net';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { dialAgent, pipe } from '../../src/agent/socket.ts';
import { paths } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();

/** An agent's socket whose other end answers each piece with the same in capitals. */
async function echo(name: string) {
  const root = { prefix: join(folder, name), ownersCount: false };
  fs.mkdirSync(join(root.prefix, dirname(paths.agentSocket)), { recursive: true });
  const ends: net.Socket[] = [];
  const server = net.createServer((socket) => {
    ends.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => socket.write(data.toString().toUpperCase()));
  });
  await new Promise<void>((resolve) => server.listen(join(root.prefix, paths.agentSocket), resolve));
  return { root, ends, close: () => server.close() };
}

test('the pipe carries bytes both ways, and ends with its input', async () => {
  const { root, ends, close } = await echo('a');
  const [input, output] = [new PassThrough(), new PassThrough()];
  const piped = pipe(await dialAgent(root), input, output);
  input.write('hello\n');
  await expect.poll(() => output.read()?.toString()).toBe('HELLO\n');
  input.end();
  await piped;
  await expect.poll(() => ends.every(({ destroyed }) => destroyed)).toBe(true);
  close();
});

test('the pipe ends with the agent', async () => {
  const { root, ends, close } = await echo('b');
  const piped = pipe(await dialAgent(root), new PassThrough(), new PassThrough());
  await expect.poll(() => ends.length).toBe(1);
  ends[0]?.destroy();
  await piped;
  close();
});

test.each([
  ['there is no socket', () => undefined],
  [
    'a dead agent left its socket',
    (place: string) => {
      // A name that nobody listens at any more: another kind of file refuses in the same way (connect(2), ECONNREFUSED).
      fs.writeFileSync(place, '');
    },
  ],
])('an agent that does not run is told with the remedy: %s', async (what, prepare) => {
  const prefix = join(folder, what.slice(0, 5).trim());
  fs.mkdirSync(join(prefix, dirname(paths.agentSocket)), { recursive: true });
  prepare(join(prefix, paths.agentSocket));
  await expect(dialAgent({ prefix, ownersCount: false })).rejects.toMatchObject({
    code: 'agent-not-running',
    exitCode: 3,
    remedy: expect.stringContaining('systemctl start cmsadm-agent'),
  });
});
