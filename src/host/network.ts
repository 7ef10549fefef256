import * as v from 'valibot';
import type { Address } from './system.ts';

const addressList = v.array(
  v.object({
    ifname: v.optional(v.string()),
    link_type: v.optional(v.string()),
    linkinfo: v.optional(v.object({ info_kind: v.optional(v.string()) })),
    addr_info: v.optional(
      v.array(
        v.object({
          local: v.optional(v.string()),
          scope: v.optional(v.string()),
          dynamic: v.optional(v.boolean()),
        }),
      ),
    ),
  }),
);

/** Interfaces that carry a cable: Ethernet, and no bridge, bond slave or tunnel made of others. */
const madeOfOthers = new Set(['bridge', 'dummy', 'vlan', 'vxlan', 'tun', 'bond', 'macvlan']);

/** Reads `ip -j -d addr` (ip-address(8)): global addresses, and how many Ethernet ports there are. */
export function parseAddresses(text: string): { addresses: Address[]; ethernetPorts: number } {
  const interfaces = v.parse(addressList, JSON.parse(text || '[]')).filter((entry) => entry.ifname !== undefined);
  return {
    addresses: interfaces.flatMap((entry) =>
      (entry.addr_info ?? [])
        .filter((info) => info.local !== undefined && info.scope === 'global')
        .map((info) => ({ interface: entry.ifname ?? '', address: info.local ?? '', static: info.dynamic !== true })),
    ),
    ethernetPorts: interfaces.filter(
      (entry) => entry.link_type === 'ether' && !madeOfOthers.has(entry.linkinfo?.info_kind ?? ''),
    ).length,
  };
}

const route = v.array(v.object({ prefsrc: v.optional(v.string()) }));

/** Reads `ip -j route get ADDRESS` (ip-route(8)). */
export const parseRouteSource = (text: string): string | undefined => {
  try {
    return v.parse(route, JSON.parse(text || '[]'))[0]?.prefsrc;
  } catch {
    return undefined; // ip prints an error and no JSON where there is no route
  }
};

/** Reads /proc/net/tcp, tcp6 (state 0A is LISTEN) and udp, udp6 (state 07): proc(5). */
export const parseListeners = (text: string, protocol: 'tcp' | 'udp'): { port: number; protocol: 'tcp' | 'udp' }[] =>
  text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === (protocol === 'tcp' ? '0A' : '07'))
    .map(([, local = '']) => ({ port: Number.parseInt(local.split(':')[1] ?? '0', 16), protocol }));
