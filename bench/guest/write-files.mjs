// node write-files.mjs COUNT LEAST-GAP-MS MOST-GAP-MS FOLDER...: new files of 2 kB in these folders in turn, at random gaps.
// Prints, at its end, a JSON array of [path, milliseconds of the machine's clock right before the file was made].
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const [count, least, most] = process.argv.slice(2, 5).map(Number);
const folders = process.argv.slice(5);
const written = [];
let due = performance.now();
for (let number = 0; number < count; number += 1) {
  due += least + Math.random() * (most - least);
  await sleep(Math.max(0, due - performance.now()));
  const path = `${folders[number % folders.length]}/file-${number}`;
  const data = randomBytes(2048);
  const at = Number(process.hrtime.bigint()) / 1e6;
  writeFileSync(path, data);
  written.push([path, at]);
}
process.stdout.write(JSON.stringify(written));
