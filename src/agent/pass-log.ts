import type { CmsadmError } from '../errors.ts';
import { append, makeFolders } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import type { PassReport } from '../pair/sync-reports.ts';
import type { Agent } from './agent.ts';
import { isSystemError } from './data-set.ts';
import { raiseOnce, settleBut } from './standing-alarms.ts';

const counts = ({ set, sent, removed, bytes, why }: PassReport): string =>
  `${set} ${sent} sent, ${removed} removed, ${bytes} bytes${why === '' ? '' : ` (${why})`}`;

/**
 * A full pass as one line of the journal and of the log of passes.
 * @param why what it was made for, where that is unusual
 * @param cutOff what ended it before all data sets were passed over
 */
export function logPass(agent: Agent, reports: readonly PassReport[], why: string, cutOff?: CmsadmError): void {
  const text = [...reports.map(counts), ...(cutOff ? [`cut off: ${cutOff.message}`] : [])].join('; ');
  agent.log(`full pass${why}: ${text}`);
  const seconds = reports.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000;
  const outcome = !cutOff && reports.every(({ ok }) => ok) ? 'ok' : 'failed';
  const at = new Date(agent.host.system.clock()).toISOString();
  // Of the one that was cut off there is no report.
  const end = cutOff ? '' : `; ${seconds.toFixed(1)} s`;
  keepLine(agent, `${at} full pass${why}: ${outcome}: ${text}${end}\n`);
}

const head = 'The log of full passes cannot be written:';

/** A full disk below the log must not end the sync: an alarm tells it until a line is written again. */
function keepLine({ host, log }: Agent, line: string): void {
  try {
    makeFolders(host.root, '/var/log/cmsadm', 0o750);
    append(host.root, paths.syncLog, line);
    settleBut(host, [head], undefined);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const text = `${head} ${error.code}. Admin-sync goes on; make room below /var/log/cmsadm.`;
    log(text);
    try {
      settleBut(host, [head], text);
      raiseOnce(host, text);
    } catch (full) {
      // Nor can the alarms, on the same disk: the journal has it.
      if (!isSystemError(full)) throw full;
    }
  }
}
