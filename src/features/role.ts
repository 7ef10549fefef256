import { unfinished } from '../change/journal.ts';
import type { Root } from '../host/root.ts';
import { readLink, readPair, roleOf } from '../pair/state.ts';
import { stepOf } from '../pair/tag.ts';

/**
 * This server's role: `alone` without a pair, `unsettled` while a change that may still be put back has the roles in it.
 */
export function roleHere(root: Root): 'primary' | 'secondary' | 'alone' | 'unsettled' {
  if (unfinished(root).some((id) => !['program', 'administration'].includes(stepOf(id)))) return 'unsettled';
  const pair = readPair(root);
  const link = readLink(root);
  return pair && link ? roleOf(pair, link.self.address) : 'alone';
}
