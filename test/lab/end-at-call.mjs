// Runs inside the program on a server of the lab (NODE_OPTIONS=--import=...): numbers the calls that change something
// outside the process, and at a planned one kills the process or has it stand still, until its server loses its power.
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname } from 'node:path';

const folder = '/srv/crash-points';
// As they are before they are wrapped.
const { closeSync, existsSync, openSync, readFileSync, readlinkSync, realpathSync, writeSync } = fs;

const byHandle = ['fsyncSync', 'fchownSync', 'fchmodSync', 'ftruncateSync'];
const byPath = ['mkdirSync', 'rmdirSync', 'rmSync', 'symlinkSync', 'unlinkSync', 'chmodSync', 'chownSync'];
const byTarget = ['linkSync', 'renameSync'];
const byEither = ['writeFileSync', 'appendFileSync'];

/** A path as an operator knows it, also where the call goes through a folder that is held open. */
function nameOf(path) {
  try {
    return `${realpathSync(dirname(path))}/${basename(path)}`;
  } catch {
    return path;
  }
}
const nameOfHandle = (handle) => readlinkSync(`/proc/self/fd/${handle}`);
const nameOfEither = (file) => (typeof file === 'number' ? nameOfHandle(file) : nameOf(file));

function watch({ at, how }) {
  const calls = openSync(`${folder}/calls`, 'a');
  let within = false;

  function point(call, name) {
    writeSync(calls, `${call} ${name}\n`);
    // Several processes of a server share the numbers: set up has two sessions there, one after the other.
    if (readFileSync(`${folder}/calls`, 'latin1').split('\n').length - 1 < at) return;
    try {
      closeSync(openSync(`${folder}/reached`, 'wx'));
    } catch {
      return;
    }
    if (how === 'killed') process.kill(process.pid, 'SIGKILL');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }

  function wrap(module, name, nameIt, isPoint = () => true) {
    const call = module[name];
    module[name] = (...args) => {
      if (within || !isPoint(...args)) return call(...args);
      point(name, nameIt(...args));
      within = true;
      try {
        return call(...args);
      } finally {
        within = false;
      }
    };
  }

  for (const name of byHandle) wrap(fs, name, nameOfHandle);
  for (const name of byPath) wrap(fs, name, name === 'symlinkSync' ? (_, path) => nameOf(path) : nameOf);
  for (const name of byTarget) wrap(fs, name, (_, path) => nameOf(path));
  for (const name of byEither) wrap(fs, name, nameOfEither);
  const writing = fs.constants.O_WRONLY | fs.constants.O_RDWR | fs.constants.O_CREAT;
  wrap(fs, 'openSync', nameOf, (_, flags) => (typeof flags === 'number' ? (flags & writing) !== 0 : flags !== 'r'));
  // Of the programs that are started, those that change something.
  const isAction = (file, args) =>
    /^(systemctl|systemd-run|sh|cp|restorecon)$/.test(basename(file)) && args[0] !== 'show';
  wrap(childProcess, 'spawn', (file, args) => [basename(file), ...args].join(' ').slice(0, 120), isAction);
  syncBuiltinESMExports();
}

if (existsSync(`${folder}/plan.json`)) {
  const plan = JSON.parse(readFileSync(`${folder}/plan.json`, 'utf8'));
  if (process.argv.includes(plan.argument) && !existsSync(`${folder}/reached`)) watch(plan);
}
