// Every locked package must admit Node 20.19, the oldest that we promise.
import { readFileSync } from 'node:fs';

const PROMISED = [20, 19, 0];
const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));

const numbers = (version) =>
  version
    .replace(/^v/, '')
    .split('.')
    .map((part) => (/^\d+$/.test(part) ? Number(part) : 0));

const compare = (a, b) => {
  for (let i = 0; i < 3; i += 1) if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) - (b[i] ?? 0);
  return 0;
};

function admitsComparator(comparator) {
  const found = /^(\^|~|>=|>|<=|<|=)?\s*v?([\dx*.]+)/i.exec(comparator);
  if (!found || comparator === '*') return comparator === '*' || comparator === '';
  const [, operator = '=', version] = found;
  const wanted = numbers(version);
  const order = compare(PROMISED, wanted);
  if (operator === '>=') return order >= 0;
  if (operator === '>') return order > 0;
  if (operator === '<') return order < 0;
  if (operator === '<=') return order <= 0;
  if (operator === '^') return order >= 0 && PROMISED[0] === wanted[0];
  if (operator === '~') return order >= 0 && PROMISED[0] === wanted[0] && PROMISED[1] === wanted[1];
  const given = version.split('.').filter((part) => /^\d+$/.test(part)).length;
  return PROMISED.slice(0, given).every((part, i) => part === wanted[i]);
}

const admits = (range) =>
  range.split('||').some((part) =>
    part
      .trim()
      .replace(/(\^|~|>=|<=|>|<|=)\s+/g, '$1')
      .split(/\s+/)
      .every(admitsComparator),
  );

const refused = Object.entries(lock.packages)
  .filter(([, entry]) => entry.engines?.node && !admits(entry.engines.node))
  .map(([name, entry]) => `${name}@${entry.version} wants node ${entry.engines.node}`);
for (const line of refused) console.error(line);
console.log(
  `engines: ${Object.keys(lock.packages).length} locked packages, ${refused.length} refuse Node ${PROMISED.join('.')}`,
);
process.exit(refused.length === 0 ? 0 : 1);
