import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { programRoot } from './program-root.ts';

const args = process.argv.slice(2);

// The shortest way for the shortest question.
if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) {
  const version: unknown = JSON.parse(readFileSync(join(programRoot, 'package.json'), 'utf8')).version;
  process.stdout.write(`${version}\n`);
} else if (args.length === 1 && args[0] === 'peer') {
  // The other server waits for the greeting.
  const { openToPeer, pipeToAgent, serveBulk } = await import('./peer-door.ts');
  // What the pair's key was asked for, as sshd hands it on (sshd(8), SSH_ORIGINAL_COMMAND): one of three fixed texts.
  const asked = process.env['SSH_ORIGINAL_COMMAND'];
  if (asked === 'cmsadm peer sync') await pipeToAgent('/');
  else if (asked === 'rsync --server --daemon .') await serveBulk('/');
  else await openToPeer('/', undefined);
} else if (args.length === 1 && args[0] === 'agent') {
  // Set up waits for the service: it needs neither menu nor flags.
  const { serveAgent } = await import('./agent-door.ts');
  await serveAgent('/');
} else {
  const { main } = await import('./main.ts');
  await main(args);
}
