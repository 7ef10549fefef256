// node first-pass.mjs: starts the agent, and ends when it says that its first full pass is done.
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, watch } from 'node:fs';

const status = '/run/cmsadm/agent.json';
rmSync(status, { force: true });
const isDone = () => {
  try {
    return readFileSync(status, 'utf8').includes('"lastPass":"');
  } catch {
    return false; // it is just being replaced, or not there yet
  }
};
const watching = watch('/run/cmsadm', () => {
  if (isDone()) watching.close();
});
execFileSync('systemctl', ['start', 'cmsadm-agent']);
if (isDone()) watching.close();
