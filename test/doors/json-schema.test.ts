import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { misfits, publishedSchema } from './json-schema.ts';

const schemas = fileURLToPath(new URL('../../docs/schemas', import.meta.url));

const schema = {
  type: 'object',
  required: ['outcome', 'files'],
  additionalProperties: false,
  properties: {
    outcome: { enum: ['done', 'nothing'] },
    tag: { type: 'string', pattern: '^zdt_' },
    count: { type: 'integer', minimum: 1, maximum: 8 },
    files: { type: 'array', items: { $ref: '#/$defs/file' } },
    either: { anyOf: [{ type: 'null' }, { type: 'string' }] },
  },
  $defs: { file: { type: 'object', required: ['path'], properties: { path: { type: 'string' } } } },
};

test('finds every misfit, and nothing in what fits', () => {
  expect(misfits(schema, { outcome: 'done', tag: 'zdt_1', count: 8, files: [{ path: '/x' }], either: null })).toEqual(
    [],
  );
  expect(
    misfits(schema, { outcome: 'no', tag: 'x', count: 9, files: [{}, { path: 1 }], either: 1, more: 1 }),
  ).toHaveLength(7);
  expect(misfits(schema, { outcome: 'done', count: 0.5 })).toHaveLength(3);
  expect(() => misfits({ oneOf: [] }, 1)).toThrow('not checked');
});

const published = existsSync(schemas) ? readdirSync(schemas).map((name) => name.replace(/\.json$/, '')) : [];

test('the published schemas use only what is checked here, and none of them takes just anything', () => {
  for (const name of published) expect(misfits(publishedSchema(name), {}), name).not.toEqual([]);
});
