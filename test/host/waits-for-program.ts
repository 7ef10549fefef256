// node --import tsx waits-for-program.ts run|runLines: waits for a program of two seconds, deaf to Ctrl-C itself as a
// change is, and writes its exit code.
import { run, runLines } from '../../src/host/processes.ts';

process.on('SIGINT', () => {}).on('SIGHUP', () => {});
const argv = ['sh', '-c', 'sleep 2; exit 3'];
const waiting =
  process.argv[2] === 'run'
    ? run(argv).then(({ exitCode }) => exitCode)
    : runLines(argv, Promise.resolve(Buffer.alloc(0)), () => {}, new Promise(() => {}));
process.stdout.write('began\n');
process.stdout.write(`${await waiting}\n`);
process.exit();
