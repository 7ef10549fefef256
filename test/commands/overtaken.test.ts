// While one operator answers questions or reads the review, another one decides: what he decided is never written over.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { acdCreate } from '../../src/commands/acd-create.ts';
import { acdLink } from '../../src/commands/acd-link.ts';
import { configPkg } from '../../src/commands/config-pkg.ts';
import type { CommandContext, CommandOutcome } from '../../src/commands/context.ts';
import { passwdAge } from '../../src/commands/passwd-age.ts';
import { pkgInstall } from '../../src/commands/pkg-install.ts';
import { reverse } from '../../src/commands/reverse.ts';
import { runCms } from '../../src/commands/run-cms.ts';
import { setUp } from '../../src/commands/setup.ts';
import { buildFixture, licenceFor } from '../features/fixture-packages.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, refusalOf, standing } from '../rehearsal/pair.ts';
import { about, furnish, peerLink } from './acd-server.ts';

const folder = tempFolder();
let make: NewPair;
let linked: RehearsalPair;
beforeAll(async () => {
  make = await pairMaker(folder);
  linked = make('linked');
  await setUp(linked.context(linked.cms1), linked.answers);
  for (const server of [linked.cms1, linked.cms2]) furnish(server);
  await runCms(linked.context(linked.cms1), { action: 'off' });
  await acdCreate(linked.context(linked.cms1), about(1, 'first', peerLink));
}, 60_000);

type Run = (context: CommandContext) => Promise<CommandOutcome>;

/** One run whose operator says y after the other run was decided. */
async function overtaken(pair: RehearsalPair, first: Run, other: Run): Promise<unknown> {
  const refused = await refusalOf(
    first(
      pair.context(pair.cms1, {
        yes: false,
        ask: {
          // Just Enter at every question.
          ...answering({}),
          choose: async () => {
            expect((await other(pair.context(pair.cms1))).exitCode).toBe(0);
            return 'y';
          },
        },
      }),
    ),
  );
  return refused;
}
const textAt = (server: string, path: string): string => readFileSync(join(server, path), 'utf8');
const planChanged = { code: 'plan-changed', exitCode: 3, remedy: expect.stringContaining('Run it again') };

test.each<[string, Run]>([
  ['the same ACD', (context) => acdCreate(context, about(3, 'theirs', peerLink))],
  [
    'another ACD: one master only, and no more than the licence allows',
    (context) => acdCreate(context, about(4, 'theirs', peerLink)),
  ],
  ['the application, which is on now', (context) => runCms(context, { action: 'on' })],
])('acd_create is refused where somebody else decided %s', async (name, other) => {
  const pair = make(`create-${name.length}`, linked);
  expect(await overtaken(pair, (context) => acdCreate(context, about(3, 'mine', peerLink)), other)).toMatchObject(
    planChanged,
  );
  expect(Object.keys(standing(pair)).filter((path) => path.endsWith('/acd/3.yaml'))).toHaveLength(
    name === 'the same ACD' ? 1 : 0,
  );
  if (name === 'the same ACD') expect(textAt(pair.cms1, 'cms/admin/acd/3.yaml')).toContain('name: theirs');
});

test('acd_link change does not write over what the link of the other server became', async () => {
  const pair = make('link', linked);
  const change =
    (more: Record<string, string>): Run =>
    (context) =>
      acdLink(context, { what: 'change 1', ...more });
  const refused = await overtaken(pair, change({ 'peer-host': '10.3.3.3' }), change({ 'peer-remote-port': '3' }));
  expect(refused).toMatchObject(planChanged);
  expect(textAt(pair.cms2, 'var/lib/cmsadm/own/acd/1-link.yaml')).toMatch(/remotePort: 3\n[\s\S]*host: 10\.2\.2\.2/);
});

test('nothing is administered on a server that became the secondary', async () => {
  const pair = make('reversed', linked);
  const refused = await overtaken(
    pair,
    (context) => acdCreate(context, about(3, 'mine', peerLink)),
    (context) => reverse(context),
  );
  expect(refused).toMatchObject({
    code: 'not-authority',
    message: expect.stringContaining('cms2.example.com is the primary'),
  });
});

test('passwd_age does not undo an exclude list', async () => {
  const pair = make('aging');
  await passwdAge(pair.context(pair.cms1), { action: 'on', exclude: 'none', weeks: '9' });
  const refused = await overtaken(
    pair,
    (context) => passwdAge(context, { action: 'change', weeks: '12' }),
    (context) => passwdAge(context, { action: 'on', exclude: 'anna', weeks: '9' }),
  );
  expect(refused).toMatchObject(planChanged);
  expect(textAt(pair.cms1, 'cms/admin/password-aging.yaml')).toMatch(/weeks: 9\n[\s\S]*anna/);
});

test('config_pkg does not undo another setting', async () => {
  const pair = make('settings');
  await buildFixture('external_call_history', join(pair.cms1, 'root/history.zip'));
  await licenceFor(join(pair.cms1, 'root/features.zip'));
  await pkgInstall(pair.context(pair.cms1), { package: '/root/history.zip', 'licence-package': '/root/features.zip' });
  const set =
    (text: string): Run =>
    (context) =>
      configPkg(context, { name: 'external_call_history', set: text });
  expect(await overtaken(pair, set('interval=5'), set('customised_reports=y'))).toMatchObject(planChanged);
  expect(textAt(pair.cms1, 'cms/admin/packages/external_call_history/wanted.yaml')).toMatch(/customised_reports: true/);
});
