import { existsSync } from 'node:fs';
import { baseFolder } from './base.ts';
import { linkExists } from './cable.ts';
import { enter, guestEnvironment } from './guest.ts';
import { findGuest } from './lifecycle.ts';
import { findObstacle } from './machine.ts';
import { mountPointsBelow } from './mounts.ts';
import { run } from './run.ts';
import { bridge, labServers, type ServerName, serverNames } from './servers.ts';
import { labFolder, readState, type ServerState } from './state.ts';

/** The state of the lab, a line for each server and one for what they stand on. */
export async function describeLab(): Promise<readonly string[]> {
  const base = `base: ${baseFolder()}${existsSync(baseFolder()) ? '' : ' (not built yet)'}`;
  const obstacle = findObstacle();
  if (obstacle !== undefined) return [`no lab can run here: ${obstacle}`];
  const state = readState();
  if (state === undefined) {
    const left = [...mountPointsBelow(labFolder), ...(linkExists(bridge.name) ? [bridge.name] : [])];
    return [`the lab is down${left.length === 0 ? '' : `; a crash left ${left.join(', ')}: run down`}`, base];
  }
  const lines = await Promise.all(serverNames.map((name) => describeServer(name, state.servers[name])));
  const unfinished = state.complete ? '' : ', not finished: run up';
  return [`variant: ${state.variant}${unfinished}`, ...lines, `bridge: ${bridge.name} ${bridge.address}`, base];
}

async function describeServer(name: ServerName, state: ServerState): Promise<string> {
  const { address, fqdn } = labServers[name];
  const guest = findGuest(name);
  const asked = ['systemctl', 'is-system-running'];
  // A frozen server answers nothing.
  const system =
    guest === undefined
      ? 'off'
      : (await run([...timeoutFirst, ...enter(guest, asked)], { reject: false, env: guestEnvironment })).stdout ||
        'hangs';
  const notes = [
    ...(state.cut ? ['cable pulled'] : []),
    ...(state.delayMs > 0 || state.lossPercent > 0 ? [`line: ${state.delayMs} ms, ${state.lossPercent} % lost`] : []),
  ];
  return [`${name}: ${system}`, address, fqdn, ...notes].join(', ');
}

const timeoutFirst = ['timeout', '--kill-after=1', '2'] as const;
