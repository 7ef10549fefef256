import * as authorizedKeys from '../config-files/authorized-keys.ts';
import * as knownHosts from '../config-files/known-hosts.ts';
import { lostRules, type Reloaded, remedyOfLoss } from '../config-files/lost-by-reload.ts';
import { CmsadmError } from '../errors.ts';
import type { Host, Judge } from '../host/system.ts';
import type { Change, FileChange } from './change.ts';

/** The program that reads a file of this kind, where it can be asked without the file being in its place. */
function judgeOf({ kind, judge, after }: FileChange): Judge | undefined {
  switch (kind) {
    case 'chrony':
    case 'nftables':
    case 'iptables':
      return kind;
    case 'pair_key':
      return 'keys';
    case 'rendered':
      return judge;
    // ssh-keygen(1) takes a file without any key for no key file.
    case 'authorized_keys':
      return authorizedKeys.parse(after?.content ?? '').some(({ entry }) => entry) ? 'keys' : undefined;
    case 'known_hosts':
      return knownHosts.parse(after?.content ?? '').some(({ entry }) => entry) ? 'keys' : undefined;
    default:
      return undefined;
  }
}

/**
 * Has the programs that read the staged files judge them, side by side.
 * @param stagedAt where the new content of a file lies
 * @returns the files that no program could judge
 * @throws CmsadmError judged-bad, reload-would-drop
 */
export async function judgeStaged(
  host: Host,
  change: Change,
  stagedAt: (file: FileChange) => string,
): Promise<string[]> {
  // All are waited for: nothing is taken away while a program still reads it.
  const judged = await Promise.allSettled(
    change.files.map(async (file) => {
      const judge = file.after ? judgeOf(file) : undefined;
      const firewall = file.kind === 'firewalld' && file.after ? 'firewalld' : judge;
      if (firewall === 'nftables' || firewall === 'iptables' || firewall === 'firewalld')
        await refuseLosingReload(host, firewall, file, change);
      if (judge === undefined) return [];
      const verdict = await host.system.judge(judge, stagedAt(file));
      if (!verdict.ran) return [file.path];
      if (verdict.problem !== undefined) throw judgedBad(file, change, verdict.problem);
      return [];
    }),
  );
  return judged.flatMap((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

/**
 * A reload that takes more out of the kernel than our edit does could be what shuts everybody out, and the way back
 * could not bring it again: no file has it.
 * @throws CmsadmError reload-would-drop
 */
async function refuseLosingReload(
  host: Host,
  kind: Reloaded,
  { path, before }: FileChange,
  { server }: Change,
): Promise<void> {
  if (before === null) return;
  const lost = lostRules(kind, await host.system.firewall(kind === 'firewalld' ? undefined : { adapter: kind, path }));
  if (lost.length === 0) return;
  throw new CmsadmError(
    'reload-would-drop',
    `A reload of ${path} on ${server} would drop rules that it does not hold.`,
    { server, file: path, details: lost, remedy: remedyOfLoss(kind, path) },
  );
}

const judgedBad = ({ path }: FileChange, { server }: Change, problem: string): CmsadmError =>
  new CmsadmError('judged-bad', `The new ${path} of ${server} would not be accepted: ${problem}`, {
    server,
    file: path,
    remedy: `Correct what is wrong in ${path} there; the file that is in force was not touched.`,
  });
