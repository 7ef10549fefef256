import { CmsadmError } from '../errors.ts';
import { type Root, readText } from '../host/root.ts';
import { whyNoName } from './names.ts';

/**
 * The members of a group of this server's own group(5) and passwd(5), those included whose first group it is. Groups of
 * a directory are not asked: they may be another on each server.
 * @throws CmsadmError group-missing, member-refused
 */
export function groupMembers(root: Root, group: string): string[] {
  const fieldsOf = (file: string): string[][] =>
    (readText(root, file) ?? '').split('\n').map((line) => line.split(':'));
  const line = fieldsOf('/etc/group').find(([name, , id]) => name === group && id !== undefined);
  if (!line)
    throw new CmsadmError('group-missing', `This server has no group ${group}.`, {
      file: '/etc/group',
      remedy: `Make it, and add who shall connect: groupadd ${group}; usermod --append --groups ${group} NAME.`,
    });
  const listed = (line[3] ?? '').split(',').filter((name) => name !== '');
  const first = fieldsOf('/etc/passwd').flatMap(([name = '', , , id]) => (id === line[2] && name !== '' ? [name] : []));
  const members = [...new Set([...listed, ...first])].sort();
  const refused = members.flatMap((name) => {
    const why = whyNoName(name);
    return why === undefined ? [] : [`${JSON.stringify(name)}: ${why}`];
  });
  if (refused.length === 0) return members;
  throw new CmsadmError('member-refused', `The group ${group} has a member that can be granted nothing.`, {
    file: '/etc/group',
    details: refused,
    remedy: `Take the member out of the group: gpasswd --delete NAME ${group}.`,
  });
}
