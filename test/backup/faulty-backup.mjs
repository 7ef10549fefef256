// Runs the filesystem backup of a folder that stands for a server in a process of its own, and numbers the calls by which it
// changes or reads that folder, its services included. At a planned one the process is killed, or the call is refused.
//   PREFIX count                     prints the calls, a line of JSON
//   PREFIX killed AT                 does what the timer does for an earlier run, prints what is there and clears it away, then
//                                    runs one and ends itself with SIGKILL right before that call
//   PREFIX KIND FROM STEP            each STEPth call from FROM on, one run after the other: prints what came of each
import childProcess from 'node:child_process';
import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { places } from '../../src/backup/places.ts';
import { backup } from '../../src/commands/backup.ts';
import { backupUnblock } from '../../src/commands/backup-unblock.ts';
import { backupVerify } from '../../src/commands/backup-verify.ts';
import { CmsadmError } from '../../src/errors.ts';
import { profile, testHost } from '../change/test-host.ts';

const [prefix = '', kind = '', from = '0', step = '1'] = process.argv.slice(2);

/** The calls of the run that goes on now; undefined: nothing is counted. */
let calls;
let fault;
let stop = { requested: false };

const writes = (flags) =>
  typeof flags === 'number'
    ? (flags & (fs.constants.O_WRONLY | fs.constants.O_RDWR | fs.constants.O_CREAT)) !== 0
    : /[wa+]/.test(flags ?? 'r');
const needsRoom = (call) => /open|write|append|mkdir|link|rename|sync|copy/i.test(call);

/** Numbers a call and makes the fault of it. @param does write, read, act (of systemd), or start (of a program) */
function point(call, does) {
  // How often it is looked for what the archiver wrote meanwhile, time decides.
  if (!calls || (call === 'read' && calls.at(-1)?.call === call)) return;
  const number = calls.push({ call, does }) - 1;
  if (!fault || number < fault.at) return;
  const isFirst = number === fault.at;
  if (fault.kind === 'killed' && isFirst) process.kill(process.pid, 'SIGKILL');
  if (fault.kind === 'Ctrl-C' && isFirst) stop.requested = true;
  if (fault.kind === 'fails' && isFirst) throw new CmsadmError('program-failed', `${call} failed.`);
  const lasts = does === 'write' && (fault.kind === 'EROFS' || (fault.kind === 'ENOSPC' && needsRoom(call)));
  if (lasts || (isFirst && (fault.kind === 'EIO' || fault.kind === 'EACCES')))
    throw Object.assign(new Error(`${fault.kind}: ${call}`), { code: fault.kind, syscall: call });
}

// Some of these calls are made of others.
let within = false;
function wrap(module, name, does, isPoint = () => true) {
  const call = module[name];
  module[name] = function (...args) {
    if (within || !isPoint(...args)) return call.apply(this, args);
    point(name, typeof does === 'function' ? does(...args) : does);
    within = true;
    try {
      return call.apply(this, args);
    } finally {
      within = false;
    }
  };
}
const isOurs = (path) => String(path).startsWith(prefix);
const isOursOrHandle = (file) => typeof file === 'number' || isOurs(file);
for (const name of ['mkdirSync', 'rmdirSync', 'rmSync', 'unlinkSync', 'linkSync', 'renameSync', 'copyFileSync'])
  wrap(fs, name, 'write', isOurs);
for (const name of ['fsyncSync', 'fchmodSync', 'fchownSync', 'writeSync']) wrap(fs, name, 'write');
for (const name of ['writeFileSync', 'appendFileSync']) wrap(fs, name, 'write', isOursOrHandle);
for (const name of ['readFileSync', 'readdirSync']) wrap(fs, name, 'read', isOurs);
for (const module of [fs, fsPromises])
  wrap(module, module === fs ? 'openSync' : 'open', (_, flags) => (writes(flags) ? 'write' : 'read'), isOurs);
wrap(childProcess, 'spawn', 'start');
const handle = await fsPromises.open('/dev/null');
const methods = Object.getPrototypeOf(handle);
await handle.close();
for (const name of ['write', 'appendFile', 'sync', 'datasync', 'truncate']) wrap(methods, name, 'write');
wrap(methods, 'read', 'read');
syncBuiltinESMExports();

/** Each run, and whoever comes after it, counts as a process of its own. */
let processes = 0;
const host = testHost(prefix, {
  processStart: (pid) => (pid === process.pid ? `${processes}` : undefined),
  identity: async () => ({ hostname: 'cms1' }),
  arm: async () => point('arm', 'act'),
  disarm: async () => point('disarm', 'act'),
});
const context = {
  host,
  profile,
  report: { step: () => () => {}, line() {}, warn() {}, show() {}, progress() {}, live: () => false },
  ask: undefined,
  yes: true,
  dryRun: false,
  log: { choice() {}, outcome() {} },
  pid: process.pid,
  operator: 'ops',
};

/** One backup, with this fault or none. @returns its calls, and the error that ended it */
async function run(planned) {
  stop = { requested: false };
  processes += 1;
  fault = planned;
  calls = [];
  const seen = calls;
  try {
    await backup({ ...context, stop }, { device: '2', path: '/backup' });
    return { seen };
  } catch (error) {
    return { seen, error };
  } finally {
    calls = undefined;
  }
}

const namesIn = () => fs.readdirSync(join(prefix, 'backup'));

const clear = () => {
  for (const name of namesIn()) fs.rmSync(join(prefix, 'backup', name));
};

/** What is wrong once the timer has looked for what the backup left: a line each. */
async function settled() {
  const wrong = [];
  processes += 1;
  await backupUnblock(context);
  for (const path of [places.lock, places.begun, places.nologin, places.ownNologin, places.scratch])
    if (fs.existsSync(join(prefix, path))) wrong.push(`${path} is left`);
  for (const name of namesIn()) {
    if (!name.startsWith('CMSADM-')) wrong.push(`${name} is left`);
    else {
      const { exitCode } = await backupVerify(
        { ...context, stop: { requested: false } },
        { backup: `/backup/${name}` },
      );
      if (exitCode !== 0) wrong.push(`${name} looks whole and is not`);
    }
  }
  return { end: namesIn().length === 0 ? 'none' : 'whole', wrong };
}

const tell = (value) => fs.writeSync(1, `${JSON.stringify(value)}\n`);
// What was refused, or a fault of the program.
const isExpected = (error) => error === undefined || error instanceof CmsadmError || 'syscall' in error;

if (kind === 'count') {
  const { seen, error } = await run(undefined);
  if (error) throw error;
  tell(seen);
} else if (kind === 'killed') {
  tell(await settled());
  clear();
  await run({ kind, at: Number(from) });
} else {
  const { seen: all } = await run(undefined);
  const meets = { read: ['EIO', 'EACCES'], act: ['Ctrl-C', 'fails'], start: ['Ctrl-C'] };
  for (let at = Number(from); at < all.length; at += Number(step)) {
    if (!(meets[all[at].does] ?? ['ENOSPC', 'EROFS', 'EIO', 'EACCES', 'Ctrl-C']).includes(kind)) continue;
    clear();
    const { seen, error } = await run({ kind, at });
    const { end, wrong } = await settled();
    if (!isExpected(error)) wrong.push(error.stack);
    tell({ at, ...seen[at], end, error: error?.code ?? null, wrong });
  }
}
