import * as fs from 'node:fs';
import * as v from 'valibot';
import { parse, YAMLParseError } from 'yaml';
import { type Given, type Parameter, usage } from './commands/context.ts';
import type { CmsadmError } from './errors.ts';

/**
 * Reads an answers file: YAML with the parameters' names as keys.
 * @throws CmsadmError usage, with every unknown key and every value that is no plain value
 */
export function readAnswers(file: string, parameters: readonly Parameter[]): Given {
  if (!fs.existsSync(file)) throw usage(`There is no answers file ${file}.`, 'Check the path.');
  let value: unknown;
  try {
    value = parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    throw unreadable(file, error);
  }
  const known = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const answers = v.safeParse(v.record(v.string(), v.union([v.string(), v.number(), v.boolean(), v.null()])), value);
  if (!answers.success)
    throw usage(`The answers file ${file} is not a list of KEY: VALUE.`, 'See docs/guide.md, "Journey 2: scripts".');
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

/** The parser's first line says what is wrong, and where. */
function unreadable(file: string, error: unknown): CmsadmError {
  if (!(error instanceof YAMLParseError))
    return usage(`The answers file ${file} can't be read.`, 'Give a file that is readable.', [String(error)]);
  const [why = ''] = error.message.split('\n');
  return usage(`The answers file ${file} is no YAML.`, 'Correct that line. See docs/guide.md, "Journey 2: scripts".', [
    why.replace(/:$/, '.'),
  ]);
}
