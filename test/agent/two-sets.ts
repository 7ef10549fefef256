// Two data sets, `admin` and beside it `others`, for what happens in one while the other is busy.
import * as fs from 'node:fs';
import type { Host } from '../../src/host/system.ts';
import { profile, twoServers } from './two-servers.ts';

const [admin] = profile.dataSets;
if (!admin) throw new Error('the profile has no data set');

export const bothSets = { dataSets: [admin, { ...admin, name: 'others', path: '/others' }] };

export const inOthers = (host: Host, name: string): string => `${host.root.prefix}/others/${name}`;
export const textIn = (place: string): string | undefined =>
  fs.existsSync(place) ? fs.readFileSync(place, 'utf8') : undefined;

/** Two servers with both folders, and some files in the first one's `others`. */
export function withOthers(count = 0): { one: Host; two: Host } {
  const { one, two } = twoServers();
  for (const host of [one, two]) fs.mkdirSync(inOthers(host, ''));
  for (let name = 0; name < count; name += 1) fs.writeFileSync(inOthers(one, `${name}`), 'good');
  return { one, two };
}

/** Another folder stands where a data set was, as where its disk is no longer mounted. */
export function unmountOthers(host: Host): void {
  fs.renameSync(inOthers(host, ''), `${host.root.prefix}/disk`);
  fs.mkdirSync(inOthers(host, ''));
}
