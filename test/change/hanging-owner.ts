// A process that takes the lock of a server and keeps it; the test ends it. HOW: `leaves` at SIGTERM after giving the
// lock back, `deaf` to it.
// node --import tsx hanging-owner.ts PREFIX HOW
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { releaseLock, takeLock } from '../../src/change/lock.ts';
import { realSystem } from '../../src/host/real-system.ts';

const [prefix = '', how = ''] = process.argv.slice(2);
const host = { root: { prefix, ownersCount: false }, system: realSystem(), programRoot: prefix };
takeLock(host, { operation: 'reverse roles', operator: 'anna', startedOn: 'cms1.example.com' });
process.on('SIGTERM', () => {
  if (how === 'deaf') return;
  releaseLock(host);
  process.exit(0);
});
setInterval(() => {}, 1000);
writeFileSync(join(prefix, 'holds'), '');
