import ipaddr from 'ipaddr.js';

const octet = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const ipv4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`);

/**
 * The value of an IP address as text, equal for equal addresses (`2001:DB8::1`, `2001:db8:0::1`).
 * Undefined for anything else; IPv4 only in the dotted form of inet_pton(3). A zone (`%eth0`) belongs to the value.
 */
export const addressValue = (text: string): string | undefined => {
  if (ipv4.test(text)) return text;
  if (!text.includes(':') || !ipaddr.IPv6.isValid(text)) return undefined;
  return ipaddr.IPv6.parse(text).toNormalizedString();
};

/** Addresses by value, host names without regard to case. */
export const sameAddress = (left: string, right: string): boolean => {
  if (!left.includes(':') || !right.includes(':')) return left.toLowerCase() === right.toLowerCase();
  const value = addressValue(left);
  return value !== undefined && value === addressValue(right);
};

export const isIpv6 = (text: string): boolean => text.includes(':');

/** 127.0.0.0/8 and ::1. */
export const isLoopback = (text: string): boolean =>
  isIpv6(text) ? sameAddress(text, '::1') : text.startsWith('127.') && addressValue(text) !== undefined;

/** Whether `address` lies in `network`, an address or a CIDR block; false for anything else. */
export const isWithin = (address: string, network: string): boolean => {
  if (!network.includes('/')) return sameAddress(address, network);
  if (!ipaddr.isValid(address) || !ipaddr.isValidCIDR(network)) return false;
  const [block, bits] = ipaddr.parseCIDR(network);
  const candidate = ipaddr.parse(address);
  return candidate.kind() === block.kind() && candidate.match(block, bits);
};
