import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { programRoot } from './program-root.ts';

const args = process.argv.slice(2);

// The shortest way for the shortest question.
if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) {
  const version: unknown = JSON.parse(readFileSync(join(programRoot, 'package.json'), 'utf8')).version;
  process.stdout.write(`${version}\n`);
} else if (args[0] === 'peer' && (args.length === 1 || (args.length === 3 && args[1] === '--first-contact'))) {
  // The other server waits for the greeting. What the pair's key was asked for, as sshd hands it on (sshd(8),
  // SSH_ORIGINAL_COMMAND): one of three fixed texts; the third, rsync's, never comes here (bin/cmsadm).
  const asked = process.env['SSH_ORIGINAL_COMMAND'];
  if (asked === 'cmsadm peer sync') await (await import('./pipe-door.ts')).pipeToAgent('/');
  else await (await import('./peer-door.ts')).openToPeer('/', args[2]);
} else if (args.length === 1 && args[0] === 'agent') {
  // Set up waits for the service: it needs neither menu nor flags.
  const { serveAgent } = await import('./agent-door.ts');
  await serveAgent('/');
} else if (args.length === 2 && args[0] === 'wanted' && (args[1] === 'apply' || args[1] === 'report')) {
  // The agent asks often.
  const { tellWanted } = await import('./wanted-door.ts');
  process.exitCode = await tellWanted('/', args[1]);
} else {
  const { main } = await import('./main.ts');
  await main(args);
}
