// node disk-times.mjs FOLDER: twenty times a second a new file of 2 kB in it, put on disk, until the folder is gone.
// Prints, at its end, a JSON array of [milliseconds of the machine's clock at the beginning, how many it took].
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const [folder] = process.argv.slice(2);
const data = Buffer.alloc(2048, 'x');
const times = [];
const now = () => Number(process.hrtime.bigint()) / 1e6;
try {
  for (;;) {
    const began = now();
    const file = openSync(`${folder}/probe`, 'w');
    writeSync(file, data);
    fsyncSync(file);
    closeSync(file);
    times.push([began, now() - began]);
    await sleep(50);
  }
} catch (error) {
  if (error.code !== 'ENOENT') throw error;
}
process.stdout.write(JSON.stringify(times));
