/** Whom sshd_config(5) treats one by one: the users and addresses that its lists and Match lines name. */
import { addressValue } from './addresses.ts';
import { parse } from './sshd-config.ts';

export type Named = { readonly users: readonly string[]; readonly addresses: readonly string[] };

/** `user@host` of AllowUsers and DenyUsers, taken apart; the pattern of a Match line stands for its kind alone. */
const partsOf = (keyword: string, values: readonly string[]): { users: string[]; hosts: string[] } => {
  const words = values.flatMap((value) => value.split(','));
  if (keyword === 'allowusers' || keyword === 'denyusers') {
    const halves = words.map((word) => word.split('@'));
    return { users: halves.map(([user = '']) => user), hosts: halves.flatMap(([, host]) => host ?? []) };
  }
  const listOf = (criterion: string): string[] => {
    const at = values.findIndex((value) => value.toLowerCase() === criterion);
    return at === -1 ? [] : (values[at + 1] ?? '').split(',');
  };
  return keyword === 'match' ? { users: listOf('user'), hosts: listOf('address') } : { users: [], hosts: [] };
};

/** A block of addresses is named by its first one; patterns name nobody. */
export const namedIn = (texts: readonly string[]): Named => {
  const found = texts.flatMap((text) => parse(text).map(({ keyword, values }) => partsOf(keyword, values)));
  const plain = (word: string): string => word.replace(/^!/, '');
  const users = found.flatMap((one) => one.users.map(plain)).filter((user) => /^[\w][\w.-]*$/.test(user));
  const addresses = found
    .flatMap((one) => one.hosts.map((host) => plain(host).replace(/\/\d+$/, '')))
    .filter((host) => addressValue(host) !== undefined);
  return { users: [...new Set(users)], addresses: [...new Set(addresses)] };
};
