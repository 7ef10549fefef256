// Checks a value against the part of JSON Schema (draft 2020-12) that docs/schemas uses. An unknown keyword is a fault.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

type Schema = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const types: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  integer: Number.isInteger,
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
};

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const numberOf = (limit: unknown): number => (typeof limit === 'number' ? limit : Number.NaN);
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const notes = new Set(['$schema', '$id', 'title', 'description', 'properties', '$defs']);

/** @returns what does not fit, a line each */
export function misfits(schema: unknown, value: unknown, place = '$', root: unknown = schema): string[] {
  if (!isObject(schema)) throw new Error(`${place}: no schema`);
  return Object.entries(schema).flatMap(([keyword, wanted]) => misfit(schema, keyword, wanted, value, place, root));
}

function misfit(
  schema: Schema,
  keyword: string,
  wanted: unknown,
  value: unknown,
  place: string,
  root: unknown,
): string[] {
  const unless = (fits: boolean): string[] =>
    fits ? [] : [`${place}: ${keyword} ${JSON.stringify(wanted)}, not ${JSON.stringify(value)}`];
  const properties = isObject(schema['properties']) ? schema['properties'] : {};
  switch (keyword) {
    case 'type':
      return unless([wanted].flat().some((type) => types[String(type)]?.(value)));
    case 'enum':
      return unless(listOf(wanted).some((one) => same(one, value)));
    case 'const':
      return unless(same(wanted, value));
    case 'pattern':
      return unless(typeof value !== 'string' || new RegExp(String(wanted), 'u').test(value));
    case 'minimum':
      return unless(typeof value !== 'number' || value >= numberOf(wanted));
    case 'maximum':
      return unless(typeof value !== 'number' || value <= numberOf(wanted));
    case 'items':
      return listOf(value).flatMap((one, index) => misfits(wanted, one, `${place}[${index}]`, root));
    case 'anyOf':
      return unless(listOf(wanted).some((one) => misfits(one, value, place, root).length === 0));
    case '$ref':
      return misfits(definition(root, String(wanted)), value, place, root);
    case 'required':
      return isObject(value)
        ? listOf(wanted).flatMap((name) => (String(name) in value ? [] : [`${place}.${name} is missing`]))
        : [];
    case 'additionalProperties':
      return isObject(value)
        ? Object.entries(value)
            .filter(([name]) => !(name in properties))
            .flatMap(([name, one]) =>
              wanted === false ? [`${place}.${name} is not foreseen`] : misfits(wanted, one, `${place}.${name}`, root),
            )
        : [];
    default:
      if (!notes.has(keyword)) throw new Error(`${place}: the keyword ${keyword} is not checked`);
      return keyword === 'properties' && isObject(value)
        ? Object.entries(properties).flatMap(([name, one]) =>
            name in value ? misfits(one, value[name], `${place}.${name}`, root) : [],
          )
        : [];
  }
}

function definition(root: unknown, reference: string): unknown {
  const name = /^#\/\$defs\/(\w+)$/.exec(reference)?.[1];
  const all = isObject(root) ? root['$defs'] : undefined;
  if (name === undefined || !isObject(all) || !(name in all)) throw new Error(`no such definition: ${reference}`);
  return all[name];
}

/** The published schema of a command's `--json`, from docs/schemas. */
export const publishedSchema = (command: string): unknown =>
  JSON.parse(readFileSync(fileURLToPath(new URL(`../../docs/schemas/${command}.json`, import.meta.url)), 'utf8'));
