/**
 * Settings of firewalld as `firewall-cmd --list-all-zones` prints them (firewall-cmd(1)): a zone, its settings indented by two blanks
 * with their values behind them, and rules on lines of their own, indented by a tab.
 */

/**
 * Each value with its zone and setting. Interfaces are left out: NetworkManager assigns them while it runs, which no
 * file of firewalld tells, and does so again after a reload.
 */
const valuesOf = (listing: string): string[] => {
  let zone = '';
  let setting = '';
  return listing.split('\n').flatMap((line) => {
    if (line.startsWith('\t')) return [`${zone}: ${setting}: ${line.trim()}`];
    const [, name, values = ''] = /^ {2}([\w -]+):(.*)$/.exec(line) ?? [];
    // Behind the name stands whether it is the default, and active: neither goes with a reload.
    if (name === undefined) zone = line.replace(/\s*\(.*$/, '').trim();
    else setting = name;
    if (name === undefined || name === 'interfaces') return [];
    return values
      .trim()
      .split(/\s+/)
      .filter((value) => value !== '')
      .map((value) => `${zone}: ${setting}: ${value}`);
  });
};

/** What of `now` is not in `after`, one line each with its zone and setting; their order means nothing. */
export const lostValues = (now: string, after: string): string[] => {
  const left = new Set(valuesOf(after));
  return valuesOf(now).filter((value) => !left.has(value));
};
