import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runChange } from '../../src/change/coordinator.ts';
import { recover } from '../../src/change/recover.ts';
import type { Host } from '../../src/host/system.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { collected } from '../rehearsal/pair.ts';
import { changeOf, changeId as id, link, serverOf, testHost, textAt } from './test-host.ts';

const folder = tempFolder();

/** The same server as the way back's process sees it, which stands still right after its n-th look at the decision. */
function frozenAt(host: Host, look: number, meanwhile: () => void): Host {
  let looks = 0;
  const readFileSync = (path: string, encoding: 'latin1'): string => {
    if (path.endsWith('.decision')) looks += 1;
    try {
      return fs.readFileSync(path, encoding);
    } finally {
      if (path.endsWith('.decision') && looks === look) meanwhile();
    }
  };
  return { ...host, root: { ...host.root, disk: { ...fs, readFileSync } } };
}

// Where everything stands still past the confirm window, the timer's process and the run go on together.
test.each([1, 2, 3])(
  'a way back that stood still after look %i does not overrule what was asked meanwhile',
  async (look) => {
    const [local, peer] = [testHost(join(folder, `local-${look}`)), testHost(join(folder, `peer-${look}`))];
    const [here, there] = [serverOf(local), serverOf(peer)];
    const texts = { '/etc/hosts': 'new\n' };
    const proveLogin = async (): Promise<undefined> => undefined;
    const asked: typeof here.asked = async (args) => {
      await recover(
        frozenAt(local, look, () => void here.asked(args)),
        id,
        'itself',
      );
    };
    const sides = {
      local: { name: 'cms1', change: changeOf(local, texts), server: { ...here, proveLogin, asked } },
      peer: { name: 'cms2', change: changeOf(peer, texts), server: { ...there, proveLogin } },
    };
    // Its operator is told; what counts is how the servers stand.
    await runChange(sides, { local: link, peer: link }, collected().report, { requested: false }).catch(() => []);
    expect(textAt(local, '/etc/hosts')).toBe(textAt(peer, '/etc/hosts'));
  },
);
