// The layer laws: which room of src/ may import which. A room may always import itself and src/errors.ts.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const everything = ['*'];
/** room → rooms it may import. The doors stand at the top of src/ and may import everything. */
const laws = {
  doors: everything,
  // What is shown: the doors' own room.
  screen: ['ha'],
  commands: [
    'ha',
    'change',
    'host',
    'pair',
    'packages',
    'licence',
    'profile',
    'agent',
    'config-files',
    'wanted',
    'passwords',
    'database',
    'features',
    'backup',
    'acd',
  ],
  wanted: ['host', 'profile', 'pair', 'passwords', 'database', 'features', 'acd'],
  // What it runs is the system's own archiver; the lock is the one of changes, under another name.
  backup: ['host', 'profile', 'pair', 'change'],
  acd: ['host', 'profile', 'pair', 'change'],
  database: ['host', 'profile', 'pair', 'change'],
  features: ['host', 'profile', 'pair', 'change', 'packages', 'licence', 'ha'],
  passwords: ['host', 'profile', 'pair', 'change'],
  rehearsal: [
    'wanted',
    'agent',
    'host',
    'profile',
    'pair',
    'packages',
    'licence',
    'change',
    'commands',
    'config-files',
    'ha',
  ],
  agent: ['host', 'pair', 'profile', 'change', 'acd'],
  ha: ['change', 'config-files', 'pair', 'profile', 'host'],
  change: ['host', 'pair', 'profile', 'config-files'],
  pair: ['profile', 'host'],
  packages: [],
  licence: ['packages'],
  host: ['config-files', 'profile'],
  profile: ['packages'],
  'config-files': [],
};
/** What every room may import. */
const shared = new Set([
  'src/errors.ts',
  'src/report.ts',
  'src/printable.ts',
  'src/protocol.ts',
  'src/program-root.ts',
]);
/** Rooms that do no I/O. */
const pure = { 'config-files': ['node:crypto'], ha: ['node:crypto'] };

const files = readdirSync('src', { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => join(entry.parentPath, entry.name));
const roomOf = (path) => (path.split('/').length === 2 ? 'doors' : path.split('/')[1]);
const importPattern =
  /(import\s+type|import|export)\s[^'"]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|import\s+['"]([^'"]+)['"]/g;

const broken = [];
for (const file of files) {
  const room = roomOf(file);
  const allowed = laws[room];
  if (!allowed) broken.push(`${file}: the room "${room}" stands in no law`);
  for (const found of readFileSync(file, 'utf8').matchAll(importPattern)) {
    const target = found[2] ?? found[3] ?? found[4];
    const typeOnly = /^import\s+type$/.test(found[1] ?? '');
    if (!target.startsWith('.')) {
      if (room in pure && !typeOnly && target.startsWith('node:') && !pure[room].includes(target))
        broken.push(`${file}: "${room}" does no I/O, but imports ${target}`);
      if (room !== 'doors' && room !== 'screen' && /^(inquirer|chalk|ora|commander)$/.test(target))
        broken.push(`${file}: only the doors import ${target}`);
      continue;
    }
    const path = normalize(join(dirname(file), target));
    const other = roomOf(path);
    if (shared.has(path) || other === room || allowed === everything) continue;
    // The plans of ha/ may name types of host/, nothing that runs.
    if (room in pure && other === 'host' && !typeOnly) broken.push(`${file}: "${room}" imports running code of host/`);
    if (!allowed?.includes(other)) broken.push(`${file}: "${room}" may not import "${other}" (${target})`);
  }
}
for (const line of broken) console.error(line);
console.log(`layers: ${files.length} files, ${broken.length} against the laws`);
process.exit(broken.length === 0 ? 0 : 1);
