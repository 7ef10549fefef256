// What tests of ACDs need of a server, and the answers that define one.
import { chmodSync, copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const standIn = fileURLToPath(new URL('../../lab/files/acd-link-stand-in', import.meta.url));

/** Gives a server the stand-in of the product's program. */
export function furnish(server: string): void {
  mkdirSync(join(server, 'cms/bin'), { recursive: true });
  copyFileSync(standIn, join(server, 'cms/bin/acd-link'));
  chmodSync(join(server, 'cms/bin/acd-link'), 0o755);
}

export const about = (acd: number, name: string, more: Record<string, string> = {}): Record<string, string> => ({
  ...{ acd: String(acd), 'switch-name': name, release: '10.x', vectoring: 'y', eas: 'n' },
  ...{ 'local-port': '1', 'remote-port': '1', host: '10.1.1.1', 'split-members': '900', 'shift-1-agents': '200' },
  ...more,
});

/** The link of the other server. */
export const peerLink = { 'peer-local-port': '2', 'peer-remote-port': '2', 'peer-host': '10.2.2.2' };
