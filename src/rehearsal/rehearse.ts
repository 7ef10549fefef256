import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callAgent } from '../agent/socket.ts';
import type { CommandContext, CommandOutcome, Given } from '../commands/context.ts';
import { restore } from '../commands/restore.ts';
import { reverse } from '../commands/reverse.ts';
import { setUp } from '../commands/setup.ts';
import { show } from '../commands/show.ts';
import { CmsadmError } from '../errors.ts';
import { fingerprint } from '../host/ssh-client.ts';
import { parsePublicKey } from '../pair/facts.ts';
import { managedFiles } from '../pair/managed-files.ts';
import { profileOfServer } from '../profile/load.ts';
import { during, type Report } from '../report.ts';
import { startAgents } from './agents.ts';
import { makePairFolder, refuseForeignFolder, rehearsalHost, rehearsalPackages } from './pair-folder.ts';
import { rehearsalLogin } from './ssh-server.ts';

type Files = ReadonlyMap<string, string>;

/**
 * Plays the main job on two folders and an embedded SSH server: set up, verify, sync a change, reverse, verify, restore.
 * The same code as on real servers; only the root, the SSH port and the service control differ.
 * @param keep where to make the pair; without it a folder that is removed at the end
 * @returns true only if every check held
 * @throws CmsadmError folder-unusable
 */
export async function rehearse(programRoot: string, keep: string | undefined, report: Report): Promise<boolean> {
  if (keep !== undefined) refuseForeignFolder(keep);
  const folder = keep ?? fs.mkdtempSync(join(tmpdir(), 'cmsadm-rehearsal-'));
  const failures: string[] = [];
  let checks = 0;
  const check = (what: string, holds: boolean): void => {
    checks += 1;
    report.line(`  ${holds ? 'holds' : 'FAILS'}: ${what}`);
    if (!holds) failures.push(what);
  };
  let stopAgents = (): Promise<unknown> => Promise.resolve();
  try {
    await during(report, `Making a pair in ${folder}`, () => makePairFolder(folder, programRoot));
    stopAgents = await startAgents(folder, programRoot);
    await play(folder, programRoot, report, check);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    for (const line of [error.message, ...error.details]) report.warn(line);
    failures.push(error.message);
  } finally {
    await stopAgents();
    if (keep === undefined) fs.rmSync(folder, { recursive: true, force: true });
  }
  report.line('');
  report.line('Not run in a rehearsal: services, sshd -t, chronyd -p, nft -c, the way back’s timer, the installer.');
  report.line(
    failures.length === 0
      ? `The rehearsal is done: ${checks} checks, all hold.`
      : `The rehearsal FAILED: ${failures.join('; ')}`,
  );
  return failures.length === 0;
}

async function play(
  folder: string,
  programRoot: string,
  report: Report,
  check: (what: string, holds: boolean) => void,
): Promise<void> {
  const title = (text: string): void => {
    report.line('');
    report.line(`== ${text}`);
  };
  const [cms1, cms2] = [join(folder, 'cms1'), join(folder, 'cms2')];
  const [one, two] = [contextOf(cms1, programRoot, report), contextOf(cms2, programRoot, report)];
  const before = { cms1: managed(one), cms2: managed(two) };

  title('Set up the roles on cms1');
  const answers = answersFor(cms1, cms2);
  const made = await setUp(one, answers);
  check('set up is done', made.result['outcome'] === 'done');
  const hostsOf = (root: string): string => fs.readFileSync(join(root, 'etc/hosts'), 'utf8');
  const inOrder = /^192\.0\.2\.11\s+cms1\.example\.com\s+cms1\b[\s\S]*^192\.0\.2\.12\s+cms2\.example\.com\s+cms2\b/m;
  check(
    'both hosts files name both servers in order',
    [cms1, cms2].every((root) => inOrder.test(hostsOf(root))),
  );
  check('cms1 is primary, as both see it', await rolesAre(one, 'cms1.example.com'));

  title('Set up again: nothing to do');
  check('nothing to do', (await setUp(one, answers)).result['outcome'] === 'nothing to do');

  title('An administrative change on cms1');
  fs.writeFileSync(join(cms1, 'cms/admin/splits'), 'split 1 sales\nsplit 2 service\nsplit 3 claims\n');
  await inStep(one);
  check('it is on cms2', same(join(cms1, 'cms/admin/splits'), join(cms2, 'cms/admin/splits')));

  title('Reverse the roles on cms1');
  check('reverse is done', (await reverse(one)).result['outcome'] === 'done');
  check('cms2 is primary, as both see it', await rolesAre(two, 'cms2.example.com'));
  fs.writeFileSync(join(cms2, 'cms/admin/splits'), 'split 1 sales\n');
  await inStep(two);
  check('a change on cms2 is on cms1', same(join(cms1, 'cms/admin/splits'), join(cms2, 'cms/admin/splits')));

  title('Restore the tag of the set up, on cms2');
  const restored = await restore(two, { tag: String(made.result['tag']) });
  check('restore is done', restored.result['outcome'] === 'done');
  check('every file of the change is as before on cms1', equal(before.cms1, managed(one)));
  check('every file of the change is as before on cms2', equal(before.cms2, managed(two)));
}

function contextOf(root: string, programRoot: string, report: Report): CommandContext {
  return {
    host: rehearsalHost(root, programRoot, (text) => report.line(`  ${text}`)),
    profile: profileOfServer(root, programRoot),
    report,
    ask: undefined,
    yes: true,
    dryRun: false,
    log: { choice: () => {}, outcome: () => {} },
    pid: process.pid,
    operator: 'rehearsal',
    stop: { requested: false },
    asked: {},
  };
}

/** What an operator would answer; the password comes from a file, the fingerprint from the peer's console. */
function answersFor(cms1: string, cms2: string): Given {
  const password = join(cms1, 'root/peer-password');
  fs.writeFileSync(password, `${rehearsalLogin.password}\n`, { mode: 0o600 });
  const hostKey = parsePublicKey(fs.readFileSync(join(cms2, 'etc/ssh/ssh_host_ed25519_key.pub'), 'utf8'));
  return {
    'ntp-server': '',
    'secondary-ip': '192.0.2.12',
    'secondary-fqdn': 'cms2.example.com',
    'licence-package': rehearsalPackages.licence,
    'ha-package': rehearsalPackages.haPackage,
    'peer-user': rehearsalLogin.user,
    'peer-password-file': password,
    'peer-fingerprint': hostKey ? fingerprint(hostKey) : '',
  };
}

/** The managed files of the change step, with their modes. */
function managed(context: CommandContext): Files {
  const files = managedFiles(context.profile, 'debian').filter(
    ({ step, kind }) => step === 'change' && kind !== 'pair',
  );
  return new Map(
    files.flatMap(({ path }) => {
      const place = join(context.host.root.prefix, path);
      return fs.existsSync(place)
        ? [[path, `${fs.statSync(place).mode} ${fs.readFileSync(place, 'latin1')}`] as const]
        : [];
    }),
  );
}

const equal = (a: Files, b: Files): boolean => JSON.stringify([...a]) === JSON.stringify([...b]);
const same = (a: string, b: string): boolean => fs.existsSync(b) && fs.readFileSync(a).equals(fs.readFileSync(b));

async function rolesAre(context: CommandContext, primary: string): Promise<boolean> {
  const outcome: CommandOutcome = await show(context);
  const views = outcome.result['views'];
  return (
    Array.isArray(views) && views.length === 2 && views.every((view: { primary?: string }) => view.primary === primary)
  );
}

/** Waits until the agent of the primary has everything on the other server. */
const inStep = (context: CommandContext): Promise<unknown> => callAgent(context.host, 'syncDrain', { seconds: 30 });
