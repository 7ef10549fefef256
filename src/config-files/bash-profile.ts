/** /root/.bash_profile: a shell script, of which only our block at the end is ours. */
import { insertLines, joinLines, type Line, splitLines } from './lines.ts';
import { markedBlock, removeMarks } from './marks.ts';

export type WantedBashProfile = { readonly lines: readonly string[] };

export const parse = (text: string): Line[] => splitLines(text);

export const print = (doc: readonly Line[]): string => joinLines(doc);

export const undo = (text: string): string => removeMarks(text);

/** The text with one marked block at its end. */
export const edit = (text: string, { lines }: WantedBashProfile): string => {
  const doc = parse(undo(text));
  return print(lines.length === 0 ? doc : insertLines(doc, doc.length, markedBlock(lines)));
};
