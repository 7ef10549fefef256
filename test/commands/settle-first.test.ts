// A command that changes something comes upon what a dead run left open on its own server.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { unfinished } from '../../src/change/journal.ts';
import { localServer } from '../../src/change/server.ts';
import { recoverCommand } from '../../src/commands/recover.ts';
import { reverse } from '../../src/commands/reverse.ts';
import { setUp } from '../../src/commands/setup.ts';
import { planReverse } from '../../src/ha/roles.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { readFacts } from '../../src/pair/facts.ts';
import { paths, readPair } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type NewPair, pairMaker, type RehearsalPair } from '../rehearsal/pair.ts';

const folder = tempFolder();
const cms1 = { address: '192.0.2.11', fqdn: 'cms1.example.com' };
const cms2 = { address: '192.0.2.12', fqdn: 'cms2.example.com' };
let newPair: NewPair;
let pattern: RehearsalPair;
beforeAll(async () => {
  newPair = await pairMaker(folder);
  pattern = newPair('set-up');
  await setUp(pattern.context(pattern.cms1), pattern.answers);
});

/** The coordinator of a reversal died when it had changed its own server. */
async function died(name: string, restarts: readonly string[] = []): Promise<{ pair: RehearsalPair; one: Host }> {
  const pair = newPair(name, pattern);
  const [one, two] = [pair.context(pair.cms1).host, pair.context(pair.cms2).host];
  const { profile } = pair.context(pair.cms1);
  const facts = { local: await readFacts(one, profile, cms2), peer: await readFacts(two, profile, cms1) };
  const { local } = planReverse(facts, profile, { tag: 'zdt_77_1900000000', operator: 'ops' });
  const services = { ...local.services, restart: [...restarts], affecting: [...restarts] };
  const server = localServer({ host: one, profile, family: 'debian', carriedIn: undefined });
  const { id } = await server.stage({ change: { ...local, services }, part: 'coordinator' });
  await server.commit({ id });
  return { pair, one };
}
const primary = ({ root }: Host): string | undefined => readPair(root)?.primary.hostname;

describe('what was left open', () => {
  test('is put back first, told and logged; then the command goes on', async () => {
    const { pair, one } = await died('goes-on');
    expect(primary(one)).toBe('cms2');
    expect(await reverse(pair.context(pair.cms1))).toMatchObject({ exitCode: 0, result: { outcome: 'done' } });
    expect(unfinished(one.root)).toEqual([]);
    expect(primary(one)).toBe('cms2');
    expect(pair.lines.join('\n')).toContain('zdt_77_1900000000.change: put back: it was never confirmed.');
    expect(readFileSync(join(one.root.prefix, paths.adminLog), 'utf8')).toMatch(/outcome: zdt_77_.* put back/);
    expect(readAlarms(one.root), 'until recover has shown it').toHaveLength(1);
  });

  test('is left as it is by a dry run', async () => {
    const { pair, one } = await died('dry-run');
    await expect(reverse(pair.context(pair.cms1, { dryRun: true }))).rejects.toMatchObject({ exitCode: 3 });
    expect(unfinished(one.root)).toEqual(['zdt_77_1900000000.change']);
    expect(readAlarms(one.root)).toEqual([]);
  });

  test('stops the command where a service must be restarted by a person, who is told which', async () => {
    const { pair, one } = await died('person', ['cms.service']);
    await expect(reverse(pair.context(pair.cms1))).rejects.toMatchObject({
      code: 'unfinished',
      exitCode: 3,
      details: expect.arrayContaining([expect.stringContaining('Restart cms.service')]),
    });
    expect(unfinished(one.root)).toEqual([]);
    expect(primary(one)).toBe('cms1');
    expect(await recoverCommand(pair.context(pair.cms1))).toMatchObject({ exitCode: 0 });
    expect(readAlarms(one.root)).toEqual([]);
  });
});
