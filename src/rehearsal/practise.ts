import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { fingerprint } from '../host/ssh-client.ts';
import { parsePublicKey } from '../pair/facts.ts';
import { startAgents } from './agents.ts';
import { isPairFolder, makePairFolder, refuseForeignFolder, rehearsalPackages } from './pair-folder.ts';
import { rehearsalLogin } from './ssh-server.ts';

/**
 * Makes (or takes again) a pair of two folders to practise on, and says what to answer.
 * @returns the root of its first server
 * @throws CmsadmError folder-unusable; practice-open where another process has it open
 */
export async function practise(
  programRoot: string,
  keep: string | undefined,
  say: (text: string) => void,
): Promise<string> {
  if (keep !== undefined) refuseForeignFolder(keep);
  const folder = keep ?? fs.mkdtempSync(join(tmpdir(), 'cmsadm-practice-'));
  if (!isPairFolder(folder)) await makePairFolder(folder, programRoot);
  await startAgents(folder, programRoot).catch((cause: unknown) => {
    throw cause instanceof CmsadmError && cause.code === 'agent-running' ? isOpen(folder, cause) : cause;
  });
  say(`Practice pair: ${folder}`);
  say('Nothing of this machine is changed.');
  say('No service is controlled and no program judges a file here.');
  say('What a real server would run is shown as recorded.');
  say('Not here, and told so where they are asked for: a database program');
  say('(option 10), a switch (acd_check, acd_link) and licences of feature packages');
  say('(options 4, 5, 6 and 11).');
  say('Answers for option 12, 1:');
  say('  secondary    192.0.2.12, cms2.example.com');
  say(`  packages     ${rehearsalPackages.licence} and ${rehearsalPackages.haPackage}`);
  say(`  first login  ${rehearsalLogin.user}, password ${rehearsalLogin.password}`);
  const hostKey = parsePublicKey(fs.readFileSync(join(folder, 'cms2/etc/ssh/ssh_host_ed25519_key.pub'), 'utf8'));
  if (hostKey) say(`  host key     ${fingerprint(hostKey)}`);
  say('');
  return join(folder, 'cms1');
}

const isOpen = (folder: string, cause: CmsadmError): CmsadmError =>
  new CmsadmError('practice-open', `The practice pair ${folder} is open in another terminal.`, {
    file: folder,
    remedy: `Leave the menu there first, or run single commands on it: --root ${join(folder, 'cms1')} COMMAND`,
    cause,
  });
