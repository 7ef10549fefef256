import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventLine, events } from '../../src/pair/events.ts';

test('each event stands in the document for scripts, with its meaning, and no other does', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/exit-codes.md'), 'utf8');
  const [, table = ''] = text.split('\n## Events\n');
  const rows = [...table.matchAll(/^\| `(.+?)` \| (.+?) \|$/gm)].map(([, id, meaning]) => [id, meaning]);
  expect(rows).toEqual(Object.entries(events));
});

test('an event is one line of a stable form', () => {
  expect(eventLine('sync-held', 'admin is held')).toBe('event sync-held: admin is held');
});
