import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import type { Change } from '../../src/change/change.ts';
import { planSetup, type SetupPlan } from '../../src/ha/setup.ts';
import type { Facts } from '../../src/pair/facts.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { cases, factsOf, filesBelow, openCase, plansFolder } from './plan-case.ts';

/** `UPDATE_GOLDEN=1` writes after/ anew; then read every difference before it is committed. */
const update = process.env['UPDATE_GOLDEN'] === '1';
const folder = tempFolder();

type Golden = { files: Map<string, string>; work: Record<string, unknown> };

test('there is a case for each layout', () => {
  expect(cases).toEqual(expect.arrayContaining(['debian', 'rhel', 'ipv6', 'iptables']));
});

describe.each(cases)('plan of set up: %s', (name) => {
  const after = join(plansFolder, name, 'after');
  let plan: SetupPlan;
  let facts: { local: Facts; peer: Facts };
  let made: { cms1: Golden; cms2: Golden };

  beforeAll(async () => {
    const one = openCase(name, join(folder, name));
    facts = await factsOf(one);
    plan = planSetup(facts, one.answers, one.inputs);
    made = {
      cms1: goldenOf([plan.link.local, plan.change.local], facts.local),
      cms2: goldenOf([plan.link.peer, plan.change.peer], facts.peer),
    };
    if (!update) return;
    rmSync(after, { recursive: true, force: true });
    for (const [server, { files, work }] of Object.entries(made)) {
      for (const [path, text] of files) {
        mkdirSync(dirname(join(after, server, path)), { recursive: true });
        writeFileSync(join(after, server, path), text, 'latin1');
      }
      writeFileSync(join(after, `${server}.yaml`), stringify(work, { aliasDuplicateObjects: false }));
    }
  });

  test('nothing stands in its way', () => {
    expect(plan.problems).toEqual({ local: [], peer: [] });
  });

  test.each(['cms1', 'cms2'] as const)('%s: exactly the files of after/, byte for byte', (server) => {
    expect(existsSync(join(after, server)), 'run once with UPDATE_GOLDEN=1').toBe(true);
    expect(made[server].files).toEqual(filesBelow(join(after, server)));
  });

  test.each(['cms1', 'cms2'] as const)('%s: services, modes and the files that stay', (server) => {
    expect(made[server].work).toEqual(parse(readFileSync(join(after, `${server}.yaml`), 'utf8')));
  });

  test('a file that is there keeps its mode, owner and group', () => {
    for (const [side, ownFacts] of [
      ['local', facts.local],
      ['peer', facts.peer],
    ] as const)
      for (const file of [...plan.link[side].files, ...plan.change[side].files]) {
        const fact = ownFacts.files.find(({ row }) => row.path === file.path)?.fact;
        if (fact?.state !== 'file') continue;
        const { mode, owner, group } = fact;
        expect(file.after, file.path).toMatchObject({ mode, owner, group });
      }
  });

  test('the same facts and answers give the same plan', () => {
    const one = openCase(name, join(folder, `${name}-again`));
    expect(planSetup(structuredClone(facts), one.answers, one.inputs)).toEqual(plan);
  });
});

/** New contents, and everything else that an operator would want to know. */
function goldenOf(changes: readonly Change[], facts: Facts): Golden {
  const changed = changes.flatMap(({ files }) => files);
  const created = changed.filter(({ before }) => before === null);
  return {
    files: new Map(
      changed
        .flatMap(({ path, after, generated }) => (after && !generated ? [[path, after.content] as const] : []))
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    ),
    work: {
      ...Object.fromEntries(
        changes.map(({ step, services, epoch, sshWatch }) => [step, { ...services, epoch, sshWatch }]),
      ),
      created: Object.fromEntries(
        created.map(({ path, after, generated }) => [
          path,
          `${after?.mode.toString(8)} ${after?.owner}${generated ? ', made there' : ''}`,
        ]),
      ),
      stays: facts.files.flatMap(({ row, fact }) =>
        fact.state === 'file' && !changed.some(({ path }) => path === row.path) ? [row.path] : [],
      ),
    },
  };
}
