// node do-acts.mjs FOLDER: does to FOLDER what it reads, an act of JSON a line (lab/chaos/sync/acts.ts), and answers each
// with its number when it is done. Names have one character per byte.
import * as fs from 'node:fs';
import { createInterface } from 'node:readline';

process.umask(0);
const folder = process.argv[2];
const place = (path) => Buffer.from(`${folder}/${path}`, 'latin1');
const textOf = ({ text, size }) => text.repeat(Math.ceil(size / text.length)).slice(0, size);

/** Removes whatever stands there, name by name, as rm -r does. */
function removeTree(path) {
  const stat = fs.lstatSync(place(path), { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isDirectory()) return fs.unlinkSync(place(path));
  for (const name of fs.readdirSync(place(path), 'latin1')) removeTree(`${path}/${name}`);
  fs.rmdirSync(place(path));
}

const write = (path, flags, act) => {
  const file = fs.openSync(path, flags, act.mode);
  const text = textOf(act);
  // In parts, as programs write: somebody who looks meanwhile sees half of it.
  fs.writeSync(file, text.slice(0, text.length / 2));
  fs.writeSync(file, text.slice(text.length / 2));
  fs.closeSync(file);
};

const deeds = {
  mkdir: ({ path, mode }) => fs.mkdirSync(place(path), mode),
  create: (act) => write(place(act.path), 'wx', act),
  rewrite: (act) => write(place(act.path), 'w', act),
  append: (act) => write(place(act.path), 'a', act),
  replace: (act) => {
    write(place(`${act.path}.new`), 'wx', act);
    fs.renameSync(place(`${act.path}.new`), place(act.path));
  },
  rename: ({ from, path }) => fs.renameSync(place(from), place(path)),
  remove: ({ path }) => removeTree(path),
  chmod: ({ path, mode }) => fs.chmodSync(place(path), mode),
  chown: ({ path, owner, group }) => fs.lchownSync(place(path), owner, group),
  times: ({ path, seconds }) => fs.utimesSync(place(path), seconds, seconds),
  symlink: ({ path, target }) => fs.symlinkSync(Buffer.from(target, 'latin1'), place(path)),
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const act = JSON.parse(line);
  deeds[act.op](act);
  fs.writeSync(1, `${act.number}\n`);
});
