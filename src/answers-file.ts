import * as fs from 'node:fs';
import * as v from 'valibot';
import { parse } from 'yaml';
import { type Given, type Parameter, usage } from './commands/context.ts';

/**
 * Reads an answers file: YAML with the parameters' names as keys.
 * @throws CmsadmError usage, with every unknown key and every value that is no plain value
 */
export function readAnswers(file: string, parameters: readonly Parameter[]): Given {
  if (!fs.existsSync(file)) throw usage(`There is no answers file ${file}.`, 'Check the path.');
  let value: unknown;
  try {
    value = parse(fs.readFileSync(file, 'utf8'));
  } catch {
    throw usage(`The answers file ${file} is not readable YAML.`, 'See docs/guide.md, "Scripts".');
  }
  const known = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const answers = v.safeParse(v.record(v.string(), v.union([v.string(), v.number(), v.boolean(), v.null()])), value);
  if (!answers.success)
    throw usage(`The answers file ${file} is not a list of KEY: VALUE.`, 'See docs/guide.md, "Scripts".');
  const unknown = Object.keys(answers.output).filter((key) => !known.has(key));
  if (unknown.length > 0)
    throw usage(`The answers file ${file} holds unknown keys.`, `Known: ${[...known.keys()].join(', ')}.`, unknown);
  return Object.fromEntries(
    Object.entries(answers.output).flatMap(([key, answer]) => {
      if (known.get(key)?.flag) return answer === true ? [[key, '']] : [];
      return [[key, answer === null ? '' : String(answer)]];
    }),
  );
}
