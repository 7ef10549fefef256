import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fingerprint } from '../host/ssh-client.ts';
import { parsePublicKey } from '../pair/facts.ts';
import { startAgents } from './agents.ts';
import { makePairFolder, rehearsalPackages } from './pair-folder.ts';
import { rehearsalLogin } from './ssh-server.ts';

/**
 * Makes (or takes again) a pair of two folders to practise on, and says what to answer.
 * @returns the root of its first server
 */
export async function practise(
  programRoot: string,
  keep: string | undefined,
  say: (text: string) => void,
): Promise<string> {
  const folder = keep ?? fs.mkdtempSync(join(tmpdir(), 'cmsadm-practice-'));
  if (!fs.existsSync(join(folder, 'cms1'))) await makePairFolder(folder, programRoot);
  startAgents(folder, programRoot);
  say(`Practice pair: ${folder}`);
  say('Nothing of this machine is changed.');
  say('No service is controlled and no program judges a file here.');
  say('What a real server would run is shown as recorded.');
  say('Answers for option 12, 1:');
  say('  secondary    192.0.2.12, cms2.example.com');
  say(`  packages     ${rehearsalPackages.licence} and ${rehearsalPackages.haPackage}`);
  say(`  first login  ${rehearsalLogin.user}, password ${rehearsalLogin.password}`);
  const hostKey = parsePublicKey(fs.readFileSync(join(folder, 'cms2/etc/ssh/ssh_host_ed25519_key.pub'), 'utf8'));
  if (hostKey) say(`  host key     ${fingerprint(hostKey)}`);
  say('');
  return join(folder, 'cms1');
}
