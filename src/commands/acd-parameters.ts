import { acdQuestions } from '../acd/questions.ts';
import type { Parameter } from './context.ts';
import { acdChoice, setupParameters } from './parameters.ts';

/** The flags of acd_create: one for each question, and the link's questions once more for the other server. */
export const acdParameters: readonly Parameter[] = [
  acdChoice.acd,
  ...acdQuestions.before,
  ...acdQuestions.link,
  ...acdQuestions.link.map(({ key, text, help }) => ({
    key: `peer-${key}`,
    text,
    help: `${help}; of the other server`,
  })),
  ...acdQuestions.after,
  acdChoice.archive,
  setupParameters.licencePackage,
].map((one) => ('key' in one ? { name: one.key, question: one.text, help: one.help } : one));
