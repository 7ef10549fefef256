import type { PublicKey } from '../host/ssh-client.ts';

/** Host keys in one order on both servers: the strongest type first, as OpenSSH prefers them. */
export const fingerprintOrder = (keys: readonly PublicKey[]): PublicKey[] => {
  const rank = (key: PublicKey): number => {
    const place = [
      'ssh-ed25519',
      'ecdsa-sha2-nistp256',
      'ecdsa-sha2-nistp384',
      'ecdsa-sha2-nistp521',
      'ssh-rsa',
    ].indexOf(key.type);
    return place === -1 ? 9 : place;
  };
  return [...keys].sort((a, b) => rank(a) - rank(b) || (a.base64 < b.base64 ? -1 : 1));
};
