import { exec, writeFile } from '../lab/lab.ts';
import { installOn } from '../lab/packages.ts';
import { folders, peerHost, sshConfig } from './sync-pair.ts';

const unit = 'bench-lsyncd';
const configuration = '/root/bench/lsyncd.lua';

/** Its quickest: no delay, and rsync over an SSH connection that stays open. */
const lua = `settings { nodaemon = true, insist = true }
sync {
  default.rsync,
  source = '${folders.peer}', target = '${peerHost}:${folders.peer}', delay = 0,
  rsync = { archive = true, rsh = '/usr/bin/ssh -F ${sshConfig}' },
}
`;

/** Installs lsyncd on cms1 and lets it carry the peer tool's folder to cms2. Throws where it does not run. */
export async function startLsyncd(): Promise<void> {
  await installOn(['cms1'], 'lsyncd');
  await writeFile('cms1', configuration, lua);
  await exec('cms1', ['ssh', '-F', sshConfig, peerHost, 'true']);
  await exec('cms1', ['systemd-run', `--unit=${unit}`, '--collect', 'lsyncd', configuration]);
}

/** Its version, to be told with the figures. */
export const lsyncdVersion = async (): Promise<string> =>
  (await exec('cms1', ['dpkg-query', '--show', 'lsyncd'])).stdout.replace('\t', ' ');

export async function stopLsyncd(): Promise<void> {
  await exec('cms1', ['systemctl', 'stop', unit]);
  await exec('cms1', ['ssh', '-F', sshConfig, '-O', 'exit', peerHost]);
}
