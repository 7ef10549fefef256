import { expect, test } from 'vitest';
import { namedIn } from '../../src/config-files/sshd-named.ts';

test.each([
  {
    name: 'AllowUsers and DenyUsers',
    text: 'AllowUsers ann bob@10.0.0.5\nDenyUsers eve\n',
    users: ['ann', 'bob', 'eve'],
    addresses: ['10.0.0.5'],
  },
  {
    name: 'a Match line',
    text: 'Match User ann,!bob Address 10.1.0.0/16,!2001:db8::7\n',
    users: ['ann', 'bob'],
    addresses: ['10.1.0.0', '2001:db8::7'],
  },
  { name: 'patterns', text: 'AllowUsers a* *@*.example.com\nMatch User ?oe Address 10.*\n', users: [], addresses: [] },
  {
    name: 'groups and comments',
    text: 'AllowGroups wheel\n# AllowUsers ann\nMatch Group ftp\n',
    users: [],
    addresses: [],
  },
  { name: 'repetitions', text: 'AllowUsers ann\nMatch User ann\n', users: ['ann'], addresses: [] },
])('users and addresses named by $name', ({ text, users, addresses }) => {
  expect(namedIn([text])).toEqual({ users, addresses });
});

test('the files are read as one list', () => {
  expect(namedIn(['AllowUsers ann\n', 'Match User bob\n']).users).toEqual(['ann', 'bob']);
});
