// node make-files.mjs FOLDER COUNT BYTES PER-FOLDER: so many files of mixed sizes, in folders of so many; BYTES in all.
// Nine of ten are small, one of a hundred is large; always the same sizes.
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';

const [top] = process.argv.slice(2, 3);
const [count, bytes, perFolder] = process.argv.slice(3).map(Number);
let state = 1;
const share = () => {
  state = (state * 48271) % 2147483647;
  return state / 2147483647;
};
const weights = Array.from({ length: count }, (_, i) => share() * (i % 100 === 0 ? 100 : i % 10 === 0 ? 10 : 1));
const scale = bytes / weights.reduce((sum, one) => sum + one, 0);
const noise = randomBytes(16_000_000);
for (const [number, weight] of weights.entries()) {
  const folder = `${top}/bulk-${Math.floor(number / perFolder)}`;
  if (number % perFolder === 0) mkdirSync(folder, { recursive: true });
  const size = Math.min(noise.length, Math.round(weight * scale));
  const from = Math.floor(share() * (noise.length - size));
  writeFileSync(`${folder}/${number}`, noise.subarray(from, from + size));
}
