/** The rules in force, as iptables-save(8) prints them: its own form of each rule, whoever wrote it. */

/** Policies and rules, without comments and counters. */
const linesOf = (rules: string): string[] =>
  rules
    .split('\n')
    .map((line) => line.replace(/^\[\d+:\d+\] /, '').replace(/ \[\d+:\d+\]$/, ''))
    .filter((line) => /^(?::|-A )/.test(line));

/** What of `now` is not in `after`; their order is left out. */
export const lostLines = (now: string, after: string): string[] => {
  const left = new Set(linesOf(after));
  return linesOf(now).filter((line) => !left.has(line));
};
