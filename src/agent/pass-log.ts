import { append, makeFolders } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import type { PassReport } from '../pair/sync-reports.ts';
import type { Agent } from './agent.ts';

const counts = ({ set, sent, removed, bytes, why }: PassReport): string =>
  `${set} ${sent} sent, ${removed} removed, ${bytes} bytes${why === '' ? '' : ` (${why})`}`;

/** A full pass as one line of the journal and of the log of passes. @param why what it was made for, where that is unusual */
export function logPass(agent: Agent, reports: readonly PassReport[], why: string): void {
  const text = reports.map(counts).join('; ');
  agent.log(`full pass${why}: ${text}`);
  const seconds = reports.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000;
  const outcome = reports.every(({ ok }) => ok) ? 'ok' : 'failed';
  const at = new Date(agent.host.system.clock()).toISOString();
  makeFolders(agent.host.root, '/var/log/cmsadm', 0o750);
  append(agent.host.root, paths.syncLog, `${at} full pass${why}: ${outcome}: ${text}; ${seconds.toFixed(1)} s\n`);
}
