// What a plan leaves on disk once the transaction carried it out, and what undoing it gives back.
import { chmodSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Change, isEmpty } from '../../src/change/change.ts';
import { localServer, type Server, type TagFacts } from '../../src/change/server.ts';
import { planActivate, planReverse } from '../../src/ha/roles.ts';
import { planSetup, type SetupPlan } from '../../src/ha/setup.ts';
import { planDisable, planRestore } from '../../src/ha/undo.ts';
import type { Root } from '../../src/host/root.ts';
import { managedFiles } from '../../src/pair/managed-files.ts';
import { paths, readEpoch, readLink, readPair } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { cases, factsOf, filesBelow, openCase, type PlanCase } from './plan-case.ts';

const folder = tempFolder();
const tags = {
  setUp: 'zdt_4711_1700000000',
  reverse: 'zdt_4711_1700000100',
  again: 'zdt_4711_1700000200',
  restore: 'zdt_4711_1700000300',
  back: 'zdt_4711_1700000400',
  disable: 'zdt_4711_1700000500',
};

type Pair = { one: PlanCase; local: Server; peer: Server; before: Snapshot };
type Snapshot = { cms1: Map<string, string>; cms2: Map<string, string> };

async function carryOut(server: Server, change: Change): Promise<void> {
  if (isEmpty(change)) return;
  const { id } = await server.stage({ change, part: 'alone' });
  await server.commit({ id });
  await server.confirm({ id });
}

const both = async ({ local, peer }: Pair, step: { local: Change; peer: Change }): Promise<void> => {
  await carryOut(peer, step.peer);
  await carryOut(local, step.local);
};

/** Every file with its mode; without backups, state and our settings, which stay. */
const snapshot = (one: PlanCase): Snapshot => {
  const of = (prefix: string): Map<string, string> =>
    new Map(
      [...filesBelow(prefix)]
        .filter(([path]) => !/\.zdt_|^\/var\/lib\/cmsadm\/|^\/etc\/cmsadm\//.test(path))
        .map(([path, text]) => [path, `${(statSync(join(prefix, path)).mode & 0o7777).toString(8)} ${text}`]),
    );
  return { cms1: of(one.cms1.root.prefix), cms2: of(one.cms2.root.prefix) };
};

async function setUp(name: string): Promise<Pair> {
  const one = openCase(name, join(folder, name));
  for (const { root } of [one.cms1, one.cms2]) {
    chmodSync(join(root.prefix, 'root/.ssh/authorized_keys'), 0o600);
    chmodSync(join(root.prefix, 'etc/hosts'), 0o664);
  }
  const before = snapshot(one);
  const family = (await one.cms1.system.identity()).osFamily === 'rhel' ? 'rhel' : 'debian';
  const serverOf = (host: PlanCase['cms1']): Server =>
    localServer({ host, profile: one.inputs.profile, family, carriedIn: undefined });
  const pair = { one, local: serverOf(one.cms1), peer: serverOf(one.cms2), before };
  one.inputs = { ...one.inputs, keys: { local: await pair.local.key(), peer: await pair.peer.key() } };
  await both(pair, (await planNow(pair)).link);
  await both(pair, (await planNow(pair)).change);
  return pair;
}

const planNow = async ({ one }: Pair): Promise<SetupPlan> => planSetup(await factsOf(one), one.answers, one.inputs);

const run = (tag: string): { tag: string; operator: string } => ({ tag, operator: 'ops' });

const tagOf = async (server: Server, tag: string): Promise<TagFacts> => {
  const found = await server.tag({ tag });
  if (!found) throw new Error(`${tag} is gone`);
  return found;
};

/** Restores a tag on both servers under a new tag and epoch. */
async function restore(
  pair: Pair,
  tag: string,
  asTag: string,
  epoch: number,
): Promise<{ local: Change; peer: Change }> {
  const { profile } = pair.one.inputs;
  const now = await factsOf(pair.one);
  const plan = {
    local: planRestore(now.local, 'cms1.example.com', await tagOf(pair.local, tag), epoch, profile, run(asTag)),
    peer: planRestore(now.peer, 'cms2.example.com', await tagOf(pair.peer, tag), epoch, profile, run(asTag)),
  };
  await both(pair, plan);
  return plan;
}

// One pair for all of it, in the order in which an operator would do it: each test goes on where the one before ended.
describe.each(cases)('carried out: %s', (name) => {
  let pair: Pair;
  let done: Snapshot;
  let roots: Root[];

  beforeAll(async () => {
    pair = await setUp(name);
    done = snapshot(pair.one);
    roots = [pair.one.cms1.root, pair.one.cms2.root];
  });

  test('reading back and planning again finds nothing to do', async () => {
    const { link, change } = await planNow(pair);
    for (const one of [link.local, link.peer, change.local, change.peer]) expect(one.files).toEqual([]);
    expect([link, change].every((step) => isEmpty(step.local) && isEmpty(step.peer))).toBe(true);
  });

  test('a boot unit that stands there switched off is switched on again, where it is known to be', async () => {
    const facts = await factsOf(pair.one);
    const boot = 'cmsadm-recover.service';
    const { [boot]: _, ...others } = facts.local.units;
    const link = (units: typeof others) =>
      planSetup({ ...facts, local: { ...facts.local, units } }, pair.one.answers, pair.one.inputs).link;
    const off = link({ ...others, [boot]: { exists: true, active: false, enabled: false } });
    expect(off.local).toMatchObject({ files: [], services: { enable: [boot] } });
    expect([isEmpty(off.peer), isEmpty(link(others).local)]).toEqual([true, true]);
  });

  test('activating would make the secondary the primary under a newer epoch than it ever saw', async () => {
    const { peer } = await factsOf(pair.one);
    const { change, pair: made } = planActivate({ ...peer, epoch: 7 }, pair.one.inputs.profile, run(tags.reverse));
    expect(made).toMatchObject({ epoch: 8, primary: pair.one.answers.peer, secondary: pair.one.answers.self });
    expect(change).toMatchObject({ epoch: 8, server: 'cms2.example.com', step: 'change' });
    expect(change.files.map(({ path }) => path)).toEqual([paths.pair]);
  });

  test('reversing touches nothing but the saved pair, and twice gives back the same but for the epoch', async () => {
    const { profile } = pair.one.inputs;
    const saved = readPair(pair.one.cms1.root);
    const first = planReverse(await factsOf(pair.one), profile, run(tags.reverse));
    for (const { files, services } of [first.local, first.peer]) {
      expect(files.map(({ path }) => path)).toEqual([paths.pair]);
      expect(services).toMatchObject({ reload: [], restart: [], stop: [], start: ['cmsadm-agent.service'] });
    }
    await both(pair, first);
    for (const root of roots)
      expect(readPair(root)).toEqual({ ...saved, epoch: 2, primary: saved?.secondary, secondary: saved?.primary });
    await both(pair, planReverse(await factsOf(pair.one), profile, run(tags.again)));
    for (const root of roots) expect(readPair(root)).toEqual({ ...saved, epoch: 3 });
    expect(snapshot(pair.one)).toEqual(done);
  });

  test('a tag with files that the profile does not manage any more is not restored by halves', async () => {
    const { profile } = pair.one.inputs;
    const { local } = await factsOf(pair.one);
    const tag = await tagOf(pair.local, tags.setUp);
    const without = (...paths: string[]) => ({
      ...local,
      files: local.files.filter(({ row }) => !paths.includes(row.path)),
    });
    const plan = (facts: typeof local) => planRestore(facts, 'cms1.example.com', tag, 5, profile, run(tags.restore));
    expect(() => plan(without('/etc/hosts', paths.pair))).toThrowError(
      expect.objectContaining({
        code: 'not-managed',
        details: [`/etc/hosts: as it was before in /etc/hosts.${tags.setUp}`, `${paths.pair}: there was none before`],
      }),
    );
    const untouched = local.files.find(({ row }) => tag.before[row.path] === undefined);
    expect(plan(without(untouched?.row.path ?? '')).files).toEqual(plan(local).files);
  });

  test('restoring the tag of set up gives back every file of the change, byte for byte and with its mode', async () => {
    const plan = await restore(pair, tags.setUp, tags.restore, 5);
    for (const { services } of [plan.local, plan.peer])
      expect(services).toMatchObject({ start: [], stop: ['cmsadm-agent.service'] });
    const { family } = (await factsOf(pair.one)).local;
    const ofChange = managedFiles(pair.one.inputs.profile, family).flatMap(({ path, step }) =>
      step === 'change' ? [path] : [],
    );
    const only = (files: Map<string, string>) => [...files].filter(([path]) => ofChange.includes(path));
    const after = snapshot(pair.one);
    expect(only(after.cms1)).toEqual(only(pair.before.cms1));
    expect(only(after.cms2)).toEqual(only(pair.before.cms2));
    for (const root of roots) {
      expect(readPair(root)).toBeUndefined();
      expect(readLink(root), 'the link stays').toBeDefined();
      expect(readEpoch(root)).toBe(5);
    }
  });

  test('restoring the tag of that restore gives back what set up had made', async () => {
    await restore(pair, tags.restore, tags.back, 6);
    expect(snapshot(pair.one)).toEqual(done);
    for (const root of roots) expect(readPair(root)).toMatchObject({ epoch: 6, primary: pair.one.answers.self });
  });

  test('disabling takes out everything of ours and nothing else', async () => {
    const { profile } = pair.one.inputs;
    const { local, peer } = await factsOf(pair.one);
    if (!local.link || !peer.link) throw new Error('there is no link');
    const plan = {
      local: planDisable(local, 'cms1.example.com', local.link, profile, run(tags.disable)),
      peer: planDisable(peer, 'cms2.example.com', peer.link, profile, run(tags.disable)),
    };
    expect(plan.local.link.afterwards.removeProgram).toBe(false);
    expect(plan.peer.link.afterwards.removeProgram).toBe(true);
    expect(plan.peer.change.services.stop).toEqual(['cmsadm-agent.service']);
    expect(snapshot(pair.one)).not.toEqual(pair.before);
    await both(pair, { local: plan.local.change, peer: plan.peer.change });
    for (const root of roots) expect(readLink(root), 'the two can still talk').toBeDefined();
    await both(pair, { local: plan.local.link, peer: plan.peer.link });
    expect(snapshot(pair.one)).toEqual(pair.before);
  });
});
