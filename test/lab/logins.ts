import { readFileSync } from 'node:fs';
import { labKey } from '../../lab/furnish.ts';
import { exec, writeFile } from '../../lab/lab.ts';
import { labServers, passwords, type ServerName } from '../../lab/servers.ts';

import { pair, type Server, sh } from './kit.ts';

const users = ['root', 'operator'] as const;
const ways = {
  key: ['PreferredAuthentications=publickey'],
  password: ['PreferredAuthentications=password,keyboard-interactive', 'PubkeyAuthentication=no'],
  both: [],
} as const;

/** `user@server from server by key|password|both` → in, or out. */
export type Logins = Readonly<Record<string, 'in' | 'out'>>;

/**
 * Gives every server what is needed to log in on the others as anybody: the lab's own key, and passwords by a program. Who is
 * refused is told so at once, not after two seconds (pam_unix(8), nodelay).
 */
export async function prepareLogins(): Promise<void> {
  for (const server of [...pair, 'probe'] as const) {
    await exec(server, ['sed', '-i', 's/pam_unix.so nullok$/& nodelay/', '/etc/pam.d/common-auth']);
    await writeFile(server, '/root/lab-key', readFileSync(labKey), { mode: 0o600 });
    for (const user of users)
      await writeFile(server, `/root/say-${user}`, `#!/bin/sh\necho ${passwords[user]}\n`, { mode: 0o700 });
  }
}

/**
 * Who gets into the two servers of the pair, tried out by ssh(1): each user, from a client and from the other server. Of the
 * key exchanges the cheapest one: sntrup761, which ssh(1) would choose, takes a tenth of a second of processor time.
 */
export async function logins(port: Readonly<Partial<Record<Server, number>>> = {}): Promise<Logins> {
  const from = async (client: ServerName): Promise<readonly (readonly [string, 'in' | 'out'])[]> => {
    const targets = pair.filter((server) => server !== client);
    const tries = users.flatMap((user) =>
      targets.flatMap((server) =>
        Object.entries(ways).map(([way, options]) => ({
          name: `${user}@${server} from ${client} by ${way}`,
          line: [
            `SSH_ASKPASS=/root/say-${user} SSH_ASKPASS_REQUIRE=force ssh -F none -i /root/lab-key`,
            ...['IdentitiesOnly=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null'].map((o) => `-o ${o}`),
            ...[
              'KexAlgorithms=curve25519-sha256',
              'ConnectTimeout=20',
              'NumberOfPasswordPrompts=1',
              'LogLevel=ERROR',
              ...options,
            ].map((o) => `-o ${o}`),
            `-p ${port[server] ?? 22} -l ${user} ${labServers[server].address} true </dev/null >/dev/null 2>&1`,
          ].join(' '),
        })),
      ),
    );
    // Side by side, since sshd lets who is refused wait; a few at a time, since it drops some of ten strangers at once.
    const script = tries
      .map(
        ({ line }, i) => `{ ${line} && echo ${i}; } &${(i + 1) % (tries.length / users.length) === 0 ? ' wait' : ''}`,
      )
      .join('\n');
    const entered = new Set((await exec(client, ['sh', '-c', `${script}\nwait`])).stdout.split('\n').map(Number));
    return tries.map(({ name }, i) => [name, entered.has(i) ? 'in' : 'out'] as const);
  };
  return Object.fromEntries((await Promise.all([...pair, 'probe' as const].map(from))).flat());
}

/** Whether root of the other server gets in with the pair's key, which lets it run our program only. */
export async function pairKeyEnters(server: Server, port = 22): Promise<boolean> {
  const other = pair.find((one) => one !== server) ?? server;
  const greeting = await sh(
    other,
    `ssh -F none -T -i /root/.ssh/id_cmsadm -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -p ${port} ` +
      `root@${labServers[server].address} </dev/null | head -n 1`,
  );
  return greeting.startsWith('{"cmsadm":"peer"');
}
