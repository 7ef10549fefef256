// A case of fixtures/plans: two server folders before set up, the answers, and what must come of them.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { parse, stringify } from 'yaml';
import type { BothFacts, SetupAnswers } from '../../src/ha/answers.ts';
import type { SetupInputs } from '../../src/ha/setup.ts';
import type { Host } from '../../src/host/system.ts';
import { readFacts } from '../../src/pair/facts.ts';
import { paths } from '../../src/pair/state.ts';
import { profileOfServer } from '../../src/profile/load.ts';
import { recordedSystem } from '../../src/rehearsal/recorded-system.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
export const plansFolder = join(repository, 'fixtures/plans');
export const cases = readdirSync(plansFolder).filter((name) => existsSync(join(plansFolder, name, 'answers.yaml')));

const server = v.strictObject({ address: v.string(), fqdn: v.string(), hostname: v.string() });
const answersSchema = v.strictObject({
  /** Another case, whose files and facts stand wherever this one has none of its own. */
  base: v.optional(v.string()),
  answers: v.strictObject({
    ntpServer: v.optional(v.string()),
    self: v.optional(v.partial(server)),
    peer: v.optional(v.partial(server)),
    peerPort: v.optional(v.number()),
    rhosts: v.optional(v.boolean()),
  }),
});

/** Public halves of pair keys, the same in every case. */
const fixedKeys = {
  local: { type: 'ssh-ed25519', base64: 'AAAAC3NzaC1lZDI1NTE5AAAAIL0pGHrR4DJvlgEbZuFdXgu82nc47jW81ENhqQFOOqrx' },
  peer: { type: 'ssh-ed25519', base64: 'AAAAC3NzaC1lZDI1NTE5AAAAIF9UGl2o1NXjfVsVpnSZ1JxL4i5OMaY0pPgHFV3iM1gi' },
};

export type PlanCase = {
  readonly cms1: Host;
  readonly cms2: Host;
  readonly answers: SetupAnswers;
  inputs: SetupInputs;
};

const names = ['cms1', 'cms2'] as const;

/** Lays the two servers of a case out in `folder`. */
export function openCase(name: string, folder: string): PlanCase {
  const { base, answers } = v.parse(
    answersSchema,
    parse(readFileSync(join(plansFolder, name, 'answers.yaml'), 'utf8')),
  );
  const layers = [...(base === undefined ? [] : [base]), name].map((layer) => join(plansFolder, layer, 'before'));
  for (const one of names) {
    const facts: Record<string, unknown> = {};
    mkdirSync(join(folder, one), { recursive: true });
    for (const layer of layers) {
      if (existsSync(join(layer, one))) cpSync(join(layer, one), join(folder, one), { recursive: true });
      if (existsSync(join(layer, `${one}.yaml`)))
        Object.assign(facts, parse(readFileSync(join(layer, `${one}.yaml`), 'utf8')));
    }
    writeFileSync(join(folder, `${one}.yaml`), stringify(facts));
  }
  const hostOf = (one: string): Host => ({
    root: { prefix: join(folder, one), ownersCount: false },
    programRoot: repository,
    system: recordedSystem(
      join(folder, one),
      () => {},
      () => Promise.reject(new Error('no plan needs a connection')),
    ),
  });
  const profile = profileOfServer(join(folder, 'cms1'), repository);
  const own = (path: string): string | undefined =>
    existsSync(join(folder, 'cms1', path)) ? readFileSync(join(folder, 'cms1', path), 'latin1') : undefined;
  return {
    cms1: hostOf('cms1'),
    cms2: hostOf('cms2'),
    answers: {
      ntpServer: answers.ntpServer ?? null,
      self: { address: '192.0.2.11', fqdn: 'cms1.example.com', hostname: 'cms1', ...given(answers.self) },
      selfPort: 22,
      peer: { address: '192.0.2.12', fqdn: 'cms2.example.com', hostname: 'cms2', ...given(answers.peer) },
      peerPort: answers.peerPort ?? 22,
      rhosts: answers.rhosts ?? true,
      licencePackage: '/root/licence.zip',
      haPackage: '/root/HAcms.zip',
    },
    inputs: {
      profile,
      run: { tag: 'zdt_4711_1700000000', operator: 'ops' },
      units: { agent: '# unit of the agent\n', recover: '# unit of recover\n' },
      keys: fixedKeys,
      settings: {
        settings: own(paths.settings) ?? `profile: ${profile.name}\n`,
        profile: own(`${paths.siteProfiles}/${profile.name}.yaml`),
      },
      bringsProgram: true,
    },
  };
}

/** Only what is there: a key that is given as undefined would hide the default. */
const given = (part: Record<string, string | undefined> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(part).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));

export async function factsOf({ cms1, cms2, answers, inputs }: PlanCase): Promise<BothFacts> {
  return {
    local: await readFacts(cms1, inputs.profile, answers.peer),
    peer: await readFacts(cms2, inputs.profile, answers.self),
  };
}

/** Path → content of every file below a folder, latin1, except state and logs of ours and the recorded facts. */
export function filesBelow(folder: string, within = ''): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(join(folder, within), { withFileTypes: true })) {
    const path = `${within}/${entry.name}`;
    if (entry.isDirectory()) for (const [name, text] of filesBelow(folder, path)) found.set(name, text);
    else found.set(path, readFileSync(join(folder, path), 'latin1'));
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}
