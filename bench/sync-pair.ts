import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { exec, readFile, reset, up, writeFile } from '../lab/lab.ts';
import { installProduct } from '../lab/product.ts';
import { labServers } from '../lab/servers.ts';
import { keepState, labPair, setUpCommand } from './pair.ts';

/** The folder of the data set that the benchmarks write in, and the one that the peer tool carries. */
export const folders = { ours: '/cms/admin', peer: '/srv/admin' } as const;

/** The node that the product brought to a server. */
export const guestNode = '/opt/cmsadm/current/node/bin/node';

/** cms2 as the peer tools on cms1 reach it. */
export const peerHost = 'cms2-bench';
export const sshConfig = '/root/bench/ssh_config';

/** A fresh pair made by set up, cms1 its primary, in step; and what other tools on cms1 need to reach cms2 as root. */
export async function makeSyncPair(say: (line: string) => void): Promise<void> {
  await up({ say });
  await reset();
  await Promise.all(labPair.map((name) => installProduct(name)));
  await keepState();
  const outcome = await (await setUpCommand())();
  if (outcome !== 'done') throw new Error(`set up ended with: ${outcome}`);
  await inStep();
  const { address } = labServers.cms2;
  const hostKey = (await readFile('cms2', '/etc/ssh/ssh_host_ed25519_key.pub')).toString();
  await writeFile('cms1', '/root/bench/known_hosts', `${address} ${hostKey}`);
  // A connection that the first one keeps open for all that follow.
  const lines = [
    `Host ${peerHost}`,
    `HostName ${address}`,
    'User root',
    'IdentityFile /root/bench/operator-key',
    'IdentitiesOnly yes',
    'UserKnownHostsFile /root/bench/known_hosts',
    'HostKeyAlgorithms ssh-ed25519',
    'ControlPath /root/bench/master',
    'ControlMaster auto',
    'ControlPersist yes',
  ];
  await writeFile('cms1', sshConfig, `${lines.join('\n')}\n`, { mode: 0o600 });
  await Promise.all(labPair.map((name) => exec(name, ['mkdir', '-p', folders.peer])));
}

// A data set may be in step while the agent is still on its way to the other server.
const statusSchema = v.pipe(v.string(), v.parseJson(), v.object({ state: v.string(), queue: v.number() }));

/** Waits until the primary's agent says that all is across. Throws after so many seconds, with what it says. */
export async function inStep(seconds = 120): Promise<void> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const { stdout } = await exec('cms1', ['cat', '/run/cmsadm/agent.json'], { reject: false });
    const status = v.safeParse(statusSchema, stdout);
    if (status.success && status.output.state === 'in step' && status.output.queue === 0) return;
    if (performance.now() > end) throw new Error(`not in step after ${seconds} s: ${stdout}`);
    await sleep(100);
  }
}
