// Two operators at the same moment, on real servers: at most one proceeds, the other is told who, what, since when and
// from where; a hanging operation is ended by its name; old backups are pruned on both.
import { beforeAll, describe, expect, it } from 'vitest';
import { available, writeFile } from '../../lab/lab.ts';
import { installProduct } from '../../lab/product.ts';
import { passwords } from '../../lab/servers.ts';
import {
  argsOf,
  attempt,
  cms1,
  cms2,
  cmsadm,
  configHa,
  type Flags,
  fingerprintOf,
  lockHolder,
  objectOf,
  pair,
  rightAnswers,
  type Server,
  setUp,
  sh,
  start,
  told,
  useFreshLab,
} from './kit.ts';

const { ok, why } = available();

/** An operator who became root by sudo, with one command. */
type Operator = { readonly name: string; readonly server: Server; readonly args: readonly string[] };
type Ended = Operator & { readonly exitCode: number; readonly said: string };

/** Lets both go at the same moment, and waits for both. */
async function together(...operators: readonly [Operator, Operator]): Promise<[Ended, Ended]> {
  const at = Math.ceil(Date.now() / 1000) + 2;
  const run = async ({ name, server, args }: Operator): Promise<Ended> => {
    const moment = `while [ "$(date +%s)" -lt ${at} ]; do :; done; exec "$@"`;
    const argv = [
      'env',
      `SUDO_USER=${name}`,
      'sh',
      '-c',
      moment,
      'sh',
      'cmsadm',
      'config_HA',
      ...args,
      '--yes',
      '--json',
    ];
    const { exitCode, stdout } = await start(server, argv).ended();
    return { name, server, args, exitCode, said: stdout };
  };
  return Promise.all([run(operators[0]), run(operators[1])]);
}

const who = /(anna|bert) is changing this pair: [^,"]+, since 20\d\d-[^,"]+Z, from cms[12]\.lab\.example/;

/** What somebody is told who began to plan before the other one had changed it all. */
const overtaken = /"code":"(file-changed|plan-changed|not-primary|not-in-step|not-paired)"/;
/** What those were told who did not proceed. */
const refusals: string[] = [];

/** At most one has done it; the other one was told by whom he was kept out, or that he was overtaken. @returns who has */
function expectOneAtMost(both: readonly Ended[]): Ended[] {
  const all = both.map(({ name, exitCode, said }) => `${name}: ${exitCode}\n${said}`).join('\n');
  const done = both.filter(({ exitCode }) => exitCode === 0);
  expect(done.length, all).toBeLessThanOrEqual(1);
  for (const { exitCode, said } of both.filter((one) => one.exitCode !== 0)) {
    // Never anything that needs a person.
    expect([3, 4], all).toContain(exitCode);
    expect(who.test(said) || overtaken.test(said), all).toBe(true);
    refusals.push(said);
  }
  return done;
}

/** In a shell of a server: the process that holds its lock. */
const pidInLock = `$(sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p' /run/cmsadm/lock)`;

/** What both servers must tell now. */
async function expectWhole(): Promise<{ primary: string | undefined; epoch: number | undefined }> {
  const shown = JSON.stringify(objectOf(await cmsadm('cms1', 'config_HA', 'show', '--json')));
  expect(shown).not.toMatch(/"unfinished":\["/);
  expect(shown).not.toMatch(/"lock":"/);
  const primaries = [...shown.matchAll(/"primary":"([^"]+)"/g)].map(([, name]) => name);
  const epochs = [...shown.matchAll(/"epoch":(\d+)/g)].map(([, epoch]) => Number(epoch));
  expect(new Set(primaries).size, shown).toBeLessThanOrEqual(1);
  expect(new Set(epochs).size, shown).toBeLessThanOrEqual(1);
  for (const server of pair) {
    expect(await sh(server, 'ls /run/cmsadm | grep -E "^(lock|turn)"; true'), `${server}: no lock is left`).toBe('');
    expect(await sh(server, 'systemctl list-timers --all "cmsadm-way-back*" --no-legend'), server).toBe('');
    expect(await sh(server, 'ls -d /etc/.*.staged /root/.*.staged 2>/dev/null; true'), server).toBe('');
  }
  return { primary: primaries[0], epoch: epochs[0] };
}

describe.skipIf(!ok)(`two operators at once${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab({ confirmSeconds: 10 });
  let flags: Record<Server, Flags>;
  beforeAll(async () => {
    // Either shall be able to make the pair: the product and an answer to every question on both.
    await installProduct('cms2', { confirmSeconds: 10 });
    await writeFile('cms2', '/root/peer-password', `${passwords.root}\n`, { mode: 0o600 });
    const answers = await rightAnswers();
    flags = {
      cms1: answers,
      cms2: {
        ...answers,
        'secondary-ip': cms1.address,
        'secondary-fqdn': cms1.fqdn,
        'peer-fingerprint': await fingerprintOf('cms1'),
      },
    };
  });
  const setUpBy = (name: string, server: Server): Operator => ({
    name,
    server,
    args: ['setup', ...argsOf(flags[server])],
  });
  const single = async () => {
    for (const server of pair) {
      const other = server === 'cms1' ? cms2 : cms1;
      const linked = (await attempt(server, 'test', '-e', '/var/lib/cmsadm/link.json')).exitCode === 0;
      if (linked) await configHa(server, ['disable', `--peer=${other.fqdn}`]);
    }
  };

  it('set up against set up, one on each server, before they know each other: never two pairs, never half a one', async () => {
    for (let round = 1; round <= 2; round += 1) {
      expectOneAtMost(await together(setUpBy('anna', 'cms1'), setUpBy('bert', 'cms2')));
      await expectWhole();
      await single();
    }
  });

  it('set up against set up on one server: one pair, made by one of them', async () => {
    const done = expectOneAtMost(await together(setUpBy('anna', 'cms1'), setUpBy('bert', 'cms1')));
    expect(done).toHaveLength(1);
    expect(await expectWhole()).toEqual({ primary: cms1.fqdn, epoch: expect.any(Number) });
  });

  it('reverse against reverse on one server, round after round: the role changes once in each', async () => {
    for (let round = 1; round <= 3; round += 1) {
      const before = await expectWhole();
      const server = before.primary === cms1.fqdn ? 'cms1' : 'cms2';
      const reverse = { server, args: ['reverse'] } as const;
      const done = expectOneAtMost(await together({ name: 'anna', ...reverse }, { name: 'bert', ...reverse }));
      expect(done).toHaveLength(1);
      expect((await expectWhole()).primary).not.toBe(before.primary);
    }
  });

  it('reverse on the primary against disable on the secondary: one of them, and both servers tell the same', async () => {
    for (let round = 1; round <= 3; round += 1) {
      const { primary } = await expectWhole();
      const server = primary === cms2.fqdn ? 'cms2' : 'cms1';
      const secondary = server === 'cms1' ? 'cms2' : 'cms1';
      const peer = server === 'cms1' ? cms1.fqdn : cms2.fqdn;
      const done = expectOneAtMost(
        await together(
          { name: 'anna', server, args: ['reverse'] },
          { name: 'bert', server: secondary, args: ['disable', `--peer=${peer}`] },
        ),
      );
      const after = await expectWhole();
      if (done[0]?.name === 'bert') expect(after.primary).toBeUndefined();
      if (done[0]?.name === 'anna') expect(after.primary).not.toBe(primary);
      if (after.primary === undefined) await setUp();
    }
  });

  it('in most of these rounds the one who was kept out was told who, what, since when and from where', () => {
    expect(refusals.length).toBeGreaterThan(8);
    expect(refusals.filter((said) => who.test(said)).length).toBeGreaterThan(refusals.length / 2);
  });

  it('tells the one on the other server who is at it; a hanging operation is ended by its name, from there', async () => {
    const { primary } = await expectWhole();
    if (primary === cms2.fqdn) await configHa('cms2', ['reverse']);
    // Both are locked, and the new files are prepared: just then somebody stops it.
    const stop = `until ls /var/lib/cmsadm/.pair.json.*.staged; do :; done; kill -STOP ${pidInLock}`;
    const stopper = start('cms1', ['sh', '-c', stop]);
    const hanging = start('cms1', ['sh', '-c', 'SUDO_USER=anna cmsadm config_HA reverse --yes & wait']);
    await stopper.ended();

    const refused = await cmsadm('cms2', 'config_HA', 'disable', `--peer=${cms1.fqdn}`, '--yes', '--json');
    expect(refused.exitCode, told(refused)).toBe(3);
    expect(objectOf(refused)).toMatchObject({
      error: {
        code: 'locked',
        message: expect.stringMatching(
          /^anna is changing this pair: reverse roles, since .*Z, from cms1\.lab\.example\.$/,
        ),
      },
    });
    const wrong = await cmsadm('cms2', 'config_HA', 'unlock', 'disable', 'HA', '--yes', '--json');
    expect(wrong.exitCode, told(wrong)).toBe(3);
    expect(await lockHolder('cms1'), 'another name ends nothing').not.toBe('');

    const ended = await cmsadm('cms2', 'config_HA', 'unlock', 'reverse', 'roles', '--yes', '--json');
    expect([0, 5], told(ended)).toContain(ended.exitCode);
    expect(objectOf(ended)).toMatchObject({
      ended: expect.arrayContaining([expect.objectContaining({ server: cms1.fqdn, ended: 'killed' })]),
    });
    await hanging.ended();
    for (const server of pair) {
      const settled = await cmsadm(server, 'recover');
      expect(settled.exitCode, told(settled)).toBe(0);
    }
    expect(await expectWhole()).toMatchObject({ primary: cms1.fqdn });
    await configHa('cms1', ['reverse']);
    await configHa('cms2', ['reverse']);
  });

  it('prunes old backups on both servers; restore then names those tags', async () => {
    const kept = 'find / -xdev -name "*.zdt_*" -not -path "/proc/*" -not -path "/tmp/*" | grep -c zdt_; true';
    const before = await Promise.all(pair.map((server) => sh(server, kept)));
    const dry = await cmsadm('cms1', 'config_HA', 'backups', '--prune', '--keep', '1', '--days', '0', '--dry-run');
    expect(dry.exitCode, told(dry)).toBe(2);
    for (const line of dry.stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect(await Promise.all(pair.map((server) => sh(server, kept)))).toEqual(before);
    const pruned = await configHa('cms1', ['backups', '--prune', '--keep=1', '--days=0']);
    expect(pruned).toMatchObject({ outcome: 'done', servers: [{ name: cms2.fqdn }, { name: cms1.fqdn }] });
    for (const server of pair) expect(await sh(server, kept)).toBe('1');
    const listed = await configHa('cms1', ['restore']);
    expect(listed).toMatchObject({ tags: expect.arrayContaining([expect.objectContaining({ state: 'pruned' })]) });
    expect(await configHa('cms1', ['backups', '--prune', '--keep=1', '--days=0'])).toMatchObject({
      outcome: 'nothing to do',
    });
    await expectWhole();
  });
});
