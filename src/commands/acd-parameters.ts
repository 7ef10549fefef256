import { acdQuestions } from '../acd/questions.ts';
import type { Parameter } from './context.ts';
import { acdChoice, setupParameters } from './parameters.ts';

/** The questions about a link, and once more for the other server. */
const linkFlags = [
  ...acdQuestions.link,
  ...acdQuestions.link.map(({ key, text, help }) => ({
    key: `peer-${key}`,
    text,
    help: `${help}; of the other server`,
  })),
];
const parameterOf = ({ key, text, help }: (typeof linkFlags)[number]): Parameter => ({
  name: key,
  question: text,
  help,
});

/** The flags of acd_create: one for each question. */
export const acdParameters: readonly Parameter[] = [
  acdChoice.acd,
  ...[...acdQuestions.before, ...linkFlags, ...acdQuestions.after].map(parameterOf),
  acdChoice.archive,
  setupParameters.licencePackage,
];

/** What acd_link change may be told of the links. */
export const linkParameters: readonly Parameter[] = linkFlags.map(parameterOf);
