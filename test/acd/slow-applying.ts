// A process that makes a server stand as is wanted of its ACDs, and stops while tar writes until it is told to go on.
// node --import tsx slow-applying.ts SERVER PROGRAM: tells with the file `at-it` that it is there, goes on at the file `go`.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { acdsWanted } from '../../src/acd/apply.ts';
import { run } from '../../src/host/processes.ts';
import { profileOfServer } from '../../src/profile/load.ts';
import { rehearsalHost } from '../../src/rehearsal/pair-folder.ts';

const [server = '', program = ''] = process.argv.slice(2);
const host = rehearsalHost(server, program, () => {});
const runProgram: typeof run = async (argv, options) => {
  const outcome = await run(argv, options);
  if (argv[0] === 'tar' && argv[1] !== '--list') {
    writeFileSync(join(server, 'at-it'), '');
    while (!existsSync(join(server, 'go'))) await sleep(10);
  }
  return outcome;
};
for (const line of await acdsWanted.apply({ ...host, runProgram }, profileOfServer(server, program)))
  process.stdout.write(`${line}\n`);
