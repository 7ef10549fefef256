import * as v from 'valibot';
import type { Conflict, PassReport, SetDifference } from '../pair/sync-reports.ts';

const number = v.pipe(v.number(), v.minValue(0));
const passReport = v.object({
  set: v.string(),
  ok: v.boolean(),
  why: v.string(),
  sent: number,
  removed: number,
  bytes: number,
  milliseconds: number,
});
const names = v.array(v.string());
const setDifference = v.object({
  set: v.string(),
  onlyHere: names,
  different: names,
  onlyThere: names,
  more: v.boolean(),
});
const conflict = v.object({
  id: v.string(),
  set: v.string(),
  path: v.string(),
  at: v.string(),
  owner: v.string(),
  kept: v.string(),
});

// What an agent answered, looked at before it is used: it may be of another version than this program.
export const passReportsFrom = (answer: unknown): readonly PassReport[] => v.parse(v.array(passReport), answer);
export const differencesFrom = (answer: unknown): readonly SetDifference[] => v.parse(v.array(setDifference), answer);
export const conflictsFrom = (answer: unknown): readonly Conflict[] => v.parse(v.array(conflict), answer);
