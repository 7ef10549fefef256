import { copyIn, exec, reset, up } from '../lab/lab.ts';
import { installPackage, installProduct, labPackages } from '../lab/product.ts';
import { type Measure, median, timed } from './measure.ts';
import { keepState, labPair, restoreState, setUpCommand } from './pair.ts';

const rounds = 5;
const secondRuns = 2;
const releases = '/opt/cmsadm/releases';
const earlierPackage = '/root/HAcms_earlier.zip';

type Version = { readonly folder: string; readonly setUp: () => Promise<string>; first: number[]; second: number[] };

/**
 * Set up by this version against an earlier one, on the same lab in the same run, in turn.
 * @param earlier HA package of another version, on this machine
 */
export async function benchVersions(earlier: string): Promise<readonly Measure[]> {
  const say = (line: string): void => console.error(line);
  await up({ say });
  await reset();
  await Promise.all(labPair.map((name) => installProduct(name)));
  const present = await current();
  await Promise.all(labPair.map((name) => installPackage(name, earlier)));
  const before = await current();
  if (present === before) throw new Error(`${earlier} is of this version: ${present}`);
  await copyIn('cms1', earlier, earlierPackage);
  await keepState();
  const version = async (folder: string, haPackage: string): Promise<Version> => ({
    folder,
    setUp: await setUpCommand(haPackage),
    first: [],
    second: [],
  });
  const now = await version(present, labPackages.haPackage);
  const then = await version(before, earlierPackage);
  for (let round = 0; round < rounds; round++)
    for (const one of [now, then]) {
      await play(one);
      say(`${one.folder}: ${Math.round(one.first.at(-1) ?? 0)} ms, ${Math.round(one.second.at(-1) ?? 0)} ms`);
    }
  return (['first', 'second'] as const).map((which) => {
    const [ours, peer] = [median(now[which]), median(then[which])];
    return { measure: `setup-${which}-run-versions`, unit: 'ms', ours, peer, ratio: ours / peer, n: now[which].length };
  });
}

const current = async (): Promise<string> =>
  (await exec('cms1', ['readlink', '-f', '/opt/cmsadm/current'])).stdout.trim();

async function play(one: Version): Promise<void> {
  if (!one.folder.startsWith(`${releases}/`)) throw new Error(`${one.folder} is no release`);
  await Promise.all(labPair.map((name) => exec(name, ['ln', '-sfn', one.folder, '/opt/cmsadm/current'])));
  await restoreState();
  one.first.push(await run(one, 'done'));
  for (let i = 0; i < secondRuns; i++) one.second.push(await run(one, 'nothing to do'));
}

async function run({ folder, setUp }: Version, expected: string): Promise<number> {
  let outcome = '';
  const ms = await timed(async () => {
    outcome = await setUp();
  });
  if (outcome !== expected) throw new Error(`${folder}: ${outcome} instead of ${expected}`);
  return ms;
}
