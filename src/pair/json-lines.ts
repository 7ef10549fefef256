/** A value as one line of a file of ours: in ASCII, for such files are read as bytes, and a name of a file may hold any letter. */
export const jsonLine = (value: unknown): string =>
  `${JSON.stringify(value).replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`;

/** What a line holds; undefined for one that is torn or damaged. */
export function parsedLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
