import { CmsadmError } from '../errors.ts';
import { hasPrograms } from '../host/has-programs.ts';
import { lastLines, run } from '../host/processes.ts';
import { readFact } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeIfThere, rename, syncFolder, writeNew } from '../host/writing.ts';
import { type Ages, ageFields, editShadow } from './shadow.ts';

const shadow = '/etc/shadow';

/**
 * Sets the ages of one account. On a real server chage(1) does it, which locks the account files as passwd(1) does; a
 * folder that stands for a server has nobody else who writes them, and its text is edited.
 * @throws CmsadmError ages-refused
 */
export async function setAges(host: Host, name: string, ages: Ages): Promise<void> {
  if (!hasPrograms(host)) return setInFolder(host, name, ages);
  const options = { min: '--mindays', max: '--maxdays', warn: '--warndays' } as const;
  const { prefix } = host.root;
  const argv = [
    'chage',
    ...(prefix === '/' ? [] : ['--root', prefix]),
    ...ageFields.map((field) => `${options[field]}=${ages[field]}`),
    '--',
    name,
  ];
  const outcome = await run(argv);
  if (outcome.exitCode !== 0)
    throw refused(name, lastLines(outcome.stderr || outcome.stdout, 2).join(' ') || `exit code ${outcome.exitCode}`);
}

const refused = (name: string, why: string): CmsadmError =>
  new CmsadmError('ages-refused', `The ages of ${name} could not be set: ${why}`, {
    file: shadow,
    remedy: 'Put that right (`chage --list` shows an account); they are set again within ten minutes.',
  });

function setInFolder({ root }: Host, name: string, ages: Ages): void {
  const fact = readFact(root, shadow);
  if (fact.state !== 'file') throw refused(name, fact.state === 'refused' ? `${shadow} ${fact.why}` : `no ${shadow}`);
  const temporary = `${shadow}.new`;
  removeIfThere(root, temporary);
  writeNew(root, temporary, editShadow(fact.content, name, ages), fact);
  rename(root, temporary, shadow);
  syncFolder(root, '/etc');
}
