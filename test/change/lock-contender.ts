// A process that takes and gives back the lock of a server until its time is over; the test starts several of them.
// node --import tsx lock-contender.ts PREFIX MILLISECONDS: starts with two others, and writes what it saw as one JSON
// line. With 0 milliseconds it takes the lock once, says so with a file, and holds it until it is killed.
import { mkdirSync, readdirSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockOwner, releaseLock, takeLock } from '../../src/change/lock.ts';
import { CmsadmError } from '../../src/errors.ts';
import { realSystem } from '../../src/host/real-system.ts';
import type { Host } from '../../src/host/system.ts';

const [prefix = '', milliseconds = '0'] = process.argv.slice(2);
const host: Host = { root: { prefix, ownersCount: false }, system: realSystem(), programRoot: prefix };
const seen = { taken: 0, refused: 0, twice: 0, stolen: 0, died: 0, stuck: 0, faults: [] as string[] };
const held = join(prefix, 'held');

/** As if this process had died while it held the lock: what stands there names a process that is gone. */
function die(): void {
  const owner = { ...lockOwner(host), pid: 4194304, processStart: '1', since: `${process.pid}-${seen.died}` };
  writeFileSync(join(prefix, `dead.${process.pid}`), JSON.stringify(owner));
  renameSync(join(prefix, `dead.${process.pid}`), join(prefix, 'run/cmsadm/lock'));
  seen.died += 1;
}

/** Only one process may be between these two lines. */
function work(): void {
  try {
    mkdirSync(held);
  } catch {
    seen.twice += 1;
    return;
  }
  for (const until = performance.now() + 0.3; performance.now() < until; );
  if (lockOwner(host)?.pid !== process.pid) seen.stolen += 1;
  rmdirSync(held);
}

const claim = { operation: 'reverse roles', operator: 'ops', startedOn: 'cms1.example.com' };
if (milliseconds === '0') {
  takeLock(host, claim);
  writeFileSync(join(prefix, `holds.${process.pid}`), '');
  setInterval(() => {}, 1000);
}
writeFileSync(join(prefix, `ready.${process.pid}`), '');
while (milliseconds !== '0' && readdirSync(prefix).filter((name) => name.startsWith('ready')).length < 3);
const end = Date.now() + Number(milliseconds);
while (Date.now() < end) {
  try {
    takeLock(host, claim);
    seen.taken += 1;
    work();
    if (seen.taken % 3 === 0) die();
    else releaseLock(host);
  } catch (error) {
    if (error instanceof CmsadmError && error.code === 'locked') {
      seen.refused += 1;
      // Given back, and yet it stands there in our name.
      if (lockOwner(host)?.pid === process.pid) seen.stuck += 1;
    } else seen.faults.push(String(error));
  }
}
if (milliseconds !== '0') process.stdout.write(`${JSON.stringify(seen)}\n`);
