import * as v from 'valibot';
import { type Root, readText } from '../host/root.ts';
import { removeIfThere, writeState } from '../host/writing.ts';

const watchedFile = '/run/cmsadm/acd-links.json';
const watchedSchema = v.record(v.string(), v.string());

/** What the agent's link check last found, by the ACD's number. */
export type Watched = Readonly<Record<string, string>>;

export function readWatched(root: Root): Watched {
  const found = v.safeParse(v.pipe(v.string(), v.parseJson(), watchedSchema), readText(root, watchedFile));
  return found.success ? found.output : {};
}

/** Nothing watched leaves no file. */
export function writeWatched(root: Root, watched: Watched): void {
  if (Object.keys(watched).length === 0) removeIfThere(root, watchedFile);
  else writeState(root, watchedFile, `${JSON.stringify(watched)}\n`);
}
