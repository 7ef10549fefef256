/** The rules file that iptables-restore(8) reads at boot. Comments are whole lines there, so a rule carries its mark itself. */
import { isIpv6 } from './addresses.ts';
import { insertLines, joinLines, type Line, splitLines } from './lines.ts';
import { removeMarks } from './marks.ts';
import type { PeerPort } from './server.ts';

type IptablesLine = Line & {
  /** The table the line stands in. */
  readonly table: string;
  /** The chain of a rule or of a policy, '' for other lines. */
  readonly chain: string;
  readonly policy: string;
  /** The words of a rule behind its chain. */
  readonly rule: readonly string[];
};
/** Ports of addresses of the other family are left out: they have a file of their own. */
export type WantedIptables = { readonly ports: readonly PeerPort[]; readonly family?: 'ipv4' | 'ipv6' };

export const parse = (text: string): IptablesLine[] => {
  let table = '';
  return splitLines(text).map((line) => {
    table = /^\*(\w+)/.exec(line.text)?.[1] ?? table;
    const [, policyChain, policy] = /^:(\S+)\s+(\S+)/.exec(line.text) ?? [];
    const [, ruleChain, rule] = /^(?:\[\d+:\d+\]\s+)?(?:-A|--append)\s+(\S+)\s*(.*)$/s.exec(line.text) ?? [];
    const words = rule?.match(/"[^"]*"|[^\s"]+/g) ?? [];
    return { ...line, table, chain: policyChain ?? ruleChain ?? '', policy: policy ?? '', rule: words };
  });
};

export const print = (doc: readonly Line[]): string => joinLines(doc);

/** Also in the form in which iptables-save(8) writes the rule back: with counters, quotes, a prefix length. */
const isOurs = (text: string): boolean =>
  /^(\[\d+:\d+\] )?-A INPUT -s \S+ -p (tcp|udp) -m \2 --dport \d+ -m comment --comment "?cmsadm"? -j ACCEPT[ \t]*$/.test(
    text,
  );

export const undo = (text: string): string => removeMarks(text, isOurs);

/** The target of a rule that every packet meets; '' if the rule has a condition. */
const unconditionalTarget = (rule: readonly string[]): string => {
  const plain = rule.join(' ').replace(/-m comment --comment ("[^"]*"|\S+) ?/, '');
  return /^(?:-j|--jump|-g|--goto) (\S+)/.exec(plain)?.[1] ?? '';
};

/** Whether INPUT drops what no rule accepts: by its policy, or by a rule without condition, in a chain it calls too. */
export const inputDrops = (text: string): boolean => {
  const filter = parse(text).filter(({ table }) => table === 'filter');
  if (filter.some(({ chain, policy }) => chain === 'INPUT' && policy === 'DROP')) return true;
  const called = new Set(['INPUT']);
  // A set may grow while it is walked: each chain is visited once.
  for (const name of called) {
    for (const { chain, rule } of filter) {
      if (chain !== name) continue;
      const target = unconditionalTarget(rule);
      if (target === 'DROP' || target === 'REJECT') return true;
      if (target !== '') called.add(target);
    }
  }
  return false;
};

/** The text with an accept rule for each port before the first rule of INPUT. Nothing is to be done if INPUT lets all in. */
export const edit = (text: string, { ports, family = 'ipv4' }: WantedIptables): string => {
  const clean = undo(text);
  const rules = ports
    .filter(({ from }) => isIpv6(from) === (family === 'ipv6'))
    .map(
      ({ port, protocol, from }) =>
        `-A INPUT -s ${from}/${isIpv6(from) ? 128 : 32} -p ${protocol} -m ${protocol} --dport ${port} -m comment --comment cmsadm -j ACCEPT`,
    );
  if (rules.length === 0 || !inputDrops(clean)) return clean;
  const doc = parse(clean);
  const inFilter = (line: IptablesLine): boolean => line.table === 'filter';
  const firstRule = doc.findIndex((line) => inFilter(line) && line.chain === 'INPUT' && line.policy === '');
  const commit = doc.findIndex((line) => inFilter(line) && /^COMMIT\b/.test(line.text));
  const at = firstRule === -1 ? commit : firstRule;
  return print(insertLines(doc, at === -1 ? doc.length : at, rules));
};
