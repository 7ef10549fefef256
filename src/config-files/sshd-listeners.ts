/** Where sshd(8) takes connections: as `sshd -T` prints it, or as systemd.socket(5) holds the socket for it. */
import { isIpv6, sameAddress } from './addresses.ts';
import type { Effective } from './sshd-effective.ts';

/** `0.0.0.0` and `::` stand for every address of their family. */
export type Listener = { readonly address: string; readonly port: number };

const readListener = (text: string): Listener | undefined => {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^\s:[\]]+)):(\d+)$/.exec(text) ?? [];
  const address = bracketed ?? plain;
  return address === undefined ? undefined : { address, port: Number(port) };
};

/** The `listenaddress` lines; where a text has none, every address at each `port`. */
export const listenersOf = (effective: Effective): Listener[] => {
  const listed = (effective.get('listenaddress') ?? []).flatMap(
    (value) => readListener(value.split(/\s+/)[0] ?? '') ?? [],
  );
  if (listed.length > 0) return listed;
  return (effective.get('port') ?? []).flatMap((port) =>
    ['0.0.0.0', '::'].map((address) => ({ address, port: Number(port) })),
  );
};

/** What `systemctl show --property=Listen` prints of a socket; its `[::]` takes IPv4 as well. */
export const listenersOfSocket = (listens: readonly string[]): Listener[] =>
  listens.flatMap((listen) => {
    const found = readListener(/^(\S+) \(Stream\)$/.exec(listen)?.[1] ?? '');
    if (!found) return [];
    return found.address === '::' ? [found, { ...found, address: '0.0.0.0' }] : [found];
  });

const takes = (listener: Listener, address: string): boolean =>
  sameAddress(listener.address, address) || listener.address === (isIpv6(address) ? '::' : '0.0.0.0');

/** The ports at which connections to this address of the server are taken. */
export const portsAt = (listeners: readonly Listener[], address: string): number[] =>
  listeners.filter((listener) => takes(listener, address)).map(({ port }) => port);
