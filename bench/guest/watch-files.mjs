// node watch-files.mjs COUNT SECONDS READY-FILE FOLDER...: waits until COUNT files came to these folders, or so long.
// A folder after `durable:` counts a file when it is there and the folder is on disk. Makes READY-FILE when it watches, and
// prints, at its end, a JSON array of [path, milliseconds of the machine's clock when the file was there, whole].
import { closeSync, fsyncSync, openSync, statSync, watch, writeFileSync } from 'node:fs';

const [count, seconds] = process.argv.slice(2, 4).map(Number);
const [ready, ...folders] = process.argv.slice(4);
const seen = new Map();
const watches = folders.map((given) => {
  const folder = given.replace('durable:', '');
  const handle = openSync(folder, 'r');
  const watching = watch(folder, (_event, name) => {
    const path = `${folder}/${name}`;
    if (!name?.startsWith('file-') || seen.has(path)) return;
    if (statSync(path, { throwIfNoEntry: false })?.size !== 2048) return;
    if (given !== folder) fsyncSync(handle);
    seen.set(path, Number(process.hrtime.bigint()) / 1e6);
    if (seen.size === count) end();
  });
  return { watching, handle };
});
const timer = setTimeout(end, seconds * 1000);

function end() {
  clearTimeout(timer);
  for (const { watching, handle } of watches) {
    watching.close();
    closeSync(handle);
  }
  process.stdout.write(JSON.stringify([...seen]));
}

writeFileSync(ready, '');
