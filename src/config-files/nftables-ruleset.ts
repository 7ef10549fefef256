/** The rules in force, as `nft -s list ruleset` prints them (nft(8)): one statement a line, blocks indented by tabs. */

/** Each line with the blocks that it stands in; elements of sets are left out, since programs put them in and take them out. */
const linesOf = (ruleset: string): string[] => {
  const within: string[] = [];
  return ruleset
    .replaceAll(/^\s*elements = \{[^}]*\}\n/gm, '')
    .split('\n')
    .map((line) => line.trim())
    .flatMap((line) => {
      if (line === '' || line.startsWith('#')) return [];
      if (line === '}') {
        within.pop();
        return [];
      }
      const found = [...within, line.replace(/ \{$/, '')].join(': ');
      if (line.endsWith('{')) within.push(line.replace(/ \{$/, ''));
      return [found];
    });
};

/** What of `now` is not in `after`, one line each with its table and chain; a line that stood twice counts twice. */
export const lostLines = (now: string, after: string): string[] => {
  const left = new Map<string, number>();
  for (const line of linesOf(after)) left.set(line, (left.get(line) ?? 0) + 1);
  return linesOf(now).filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
};

/** The tables, by family and name. */
export const tablesOf = (ruleset: string): string[] =>
  [...ruleset.matchAll(/^\s*(?:add\s+)?table\s+(?:(ip6?|inet|arp|bridge|netdev)\s+)?([\w-]+)\s*\{/gm)].map(
    ([, family = 'ip', name]) => `${family} ${name}`,
  );
