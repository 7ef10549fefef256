import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { apart, type Listing, list } from '../../lab/chaos/sync/tree.ts';
import { available, cut, exec, heal, powerOff, powerOn } from '../../lab/lab.ts';
import {
  cms1,
  cms2,
  cmsadm,
  configHa,
  pair,
  type Server,
  setUp,
  sh,
  stopAtFirstFailure,
  told,
  useFreshLab,
} from './kit.ts';

const { ok, why } = available();

/** Waits for what comes by itself; then says what was there instead. */
async function until(what: string, seconds: number, look: () => Promise<string>): Promise<void> {
  const end = Date.now() + seconds * 1000;
  let found = await look();
  while (found !== '') {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s: ${found}`);
    await sleep(200);
    found = await look();
  }
}

const status = (server: Server): Promise<string> => sh(server, 'cat /run/cmsadm/agent.json');
const alarms = (server: Server): Promise<string> => sh(server, 'cat /var/lib/cmsadm/alarms.jsonl 2>/dev/null || :');

/** Waits until both trees are the same, and the primary says so. */
const inStep = (seconds = 40): Promise<void> =>
  until('in step', seconds, async () => {
    const [here, there, said] = await Promise.all([list('cms1'), list('cms2'), status('cms1')]);
    const differing = apart(here, there);
    return differing.length === 0 && said.includes('"state":"in step","queue":0')
      ? ''
      : [...differing.slice(0, 5), said].join('\n');
  });

const names = (listing: Listing): string[] => [...listing.keys()].sort();

/** Three hundred small files in thirty folders of one, where they are not there. */
const fill = `cd /cms/admin; mkdir -p all set-1
[ -e set-1/1 ] || echo one >set-1/1
for folder in $(seq 30); do
  [ -d "all/$folder" ] && continue
  mkdir "all/$folder"; for file in 1 2 3 4 5 6 7 8 9 10; do echo "$folder $file" >"all/$folder/$file"; done
done`;

/** Names that shells, tools and terminals stumble over; links that lead out. */
const hostile = String.raw`cd /cms/admin
long=$(printf 'x%.0s' $(seq 255))
bytes=$(printf '\377\376\200')
newline=$(printf 'two\nlines')
mkdir -- "$newline" --folder "$bytes" 'a b'
for name in "$newline" --delete --rsh=sh '-e sh' '-rf' "$bytes.txt" "$long" '*' '$(touch pwned)' ';touch pwned' '|touch pwned' ' ' '\' '"' "$(printf '\033[31m\a')"; do
  [ -d "./$name" ] || echo "the file $name" >"./$name"
  echo "in a folder" >"./$newline/$name"
done
echo deep >"./$bytes/$bytes"
ln -s /etc leads-to-etc
ln -s ../../../../../etc/passwd leads-up
ln -s "$bytes$newline" leads-nowhere
ln -s -- / --folder/root`;

describe.skipIf(!ok)(`admin-sync${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab();
  stopAtFirstFailure();
  let etc = '';
  const etcOf = (server: Server): Promise<string> =>
    sh(
      server,
      'cd /etc && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum; ls -A /root / | sha256sum',
    );

  beforeAll(async () => {
    await setUp();
    await sh('cms1', fill);
    await inStep();
    etc = await etcOf('cms2');
  });

  it('carries every name that a file system allows, and links as links', async () => {
    await sh('cms1', hostile);
    await inStep();
    const carried = names(await list('cms2'));
    expect(carried).toContain(`two\nlines/${'x'.repeat(255)}`);
    expect(carried).toContain('\xff\xfe\x80/\xff\xfe\x80');
    expect(carried).toContain('--folder/root');
    expect(await sh('cms2', 'readlink /cms/admin/leads-to-etc /cms/admin/leads-up')).toBe(
      '/etc\n../../../../../etc/passwd',
    );
    expect(await etcOf('cms2')).toBe(etc);
  });

  it('makes a folder of a link and a link of a folder, and writes nothing where a link leads', async () => {
    await sh('cms1', 'cd /cms/admin; rm leads-to-etc; mkdir leads-to-etc; echo mine >leads-to-etc/hosts');
    await sh('cms1', 'cd /cms/admin; rm -r ./--folder; ln -s /root ./--folder');
    await inStep();
    expect(await sh('cms2', 'cat /cms/admin/leads-to-etc/hosts; readlink /cms/admin/--folder')).toBe('mine\n/root');
    expect(await etcOf('cms2')).toBe(etc);
  });

  it('does not follow a link that stands on the secondary where a folder should', async () => {
    await sh('cms2', 'mkdir /srv/elsewhere; cd /cms/admin; rm -r set-1; ln -s /srv/elsewhere set-1');
    await sh('cms1', 'echo new >/cms/admin/set-1/new');
    await inStep();
    expect(await sh('cms2', 'ls -A /srv/elsewhere; cat /cms/admin/set-1/new')).toBe('new');
    await sh('cms2', 'rm -f /var/lib/cmsadm/alarms.jsonl');
    await sh('cms1', 'rm -f /var/lib/cmsadm/alarms.jsonl');
  });

  it('gives files the number of their owner on the other server when accounts are made or renumbered later', async () => {
    const folder = '/cms/admin/all/1';
    const owners = async (): Promise<string[]> => (await sh('cms2', `stat -c %u ${folder} ${folder}/*`)).split('\n');
    await sh('cms1', `chown -R 4321 ${folder}`);
    await inStep();
    expect(new Set(await owners())).toEqual(new Set(['4321']));
    await sh('cms1', 'useradd --no-create-home --uid 4321 ops');
    await sh('cms2', 'useradd --no-create-home --uid 5432 ops');
    for (const [number, change] of [
      ['5432', 'true'],
      ['6543', 'usermod --uid 6543 ops'],
    ] as const) {
      await sh('cms2', change);
      await sh('cms1', 'cmsadm sync now');
      expect(new Set(await owners())).toEqual(new Set([number]));
    }
    expect(await sh('cms2', 'cmsadm sync conflicts')).not.toContain('all/1');
    expect(await alarms('cms2')).toBe('');
    await sh('cms1', `chown -R 0 ${folder}`);
    await inStep();
    // The new account is there by our own hand.
    etc = await etcOf('cms2');
  });

  it('lets rsync do nothing but add files to one data set, and only while it is let in', async () => {
    const ssh = 'ssh -i /root/.ssh/id_cmsadm -o IdentitiesOnly=yes -o BatchMode=yes';
    const push = async (...options: string[]): Promise<string> => {
      const { exitCode, stderr } = await exec('cms1', ['rsync', '--times', '-e', ssh, ...options], { reject: false });
      return `${exitCode} ${stderr}`;
    };
    const [{ address }, set] = [cms2, 'administration'];
    await sh('cms1', 'mkdir -p /srv/evil/deep; cd /srv/evil; echo bad >file; echo bad >deep/file; mknod device c 1 3');
    await sh('cms1', 'cd /srv/evil; echo bad >x.zdt_1_1; ln -s /etc/passwd link; cp file passwd');
    expect(await push('/srv/evil/file', `${address}::${set}/`)).toMatch(/^[1-9].*No bulk transfer is open/s);

    // Held open as an agent's full pass holds it open, on a line of its own.
    const asked = JSON.stringify({ id: 1, verb: 'agentBulk', args: { epoch: 1, set } });
    const line = `(echo '${asked}'; sleep 20) | ${ssh} ${address} cmsadm peer sync >/srv/answers 2>&1`;
    await exec('cms1', ['systemd-run', '--quiet', '--unit=held-open', 'sh', '-c', line]);
    await until('let in', 10, async () => {
      const said = await sh('cms1', 'cat /srv/answers 2>/dev/null || :');
      return said.includes('"id":1,"result":true') ? '' : `it said: ${said}`;
    });
    await sh('cms2', 'ln -s /etc /cms/admin/to-etc; ln -s ../../etc /cms/admin/up-to-etc');
    const refusals: [options: string[], says: RegExp][] = [
      [['/srv/evil/file', `${address}::etc/`], /Unknown module/],
      [['/srv/evil/file', `${address}::/etc/`], /^[1-9]/],
      [['-r', '--delete', '/srv/evil/', `${address}::${set}/`], /^[1-9].*refuse/is],
      [['-r', '--devices', '/srv/evil/', `${address}::${set}/`], /^[1-9].*refuse/is],
      [['--remove-source-files', '/srv/evil/file', `${address}::${set}/`], /^[1-9]/],
      [[`${address}::${set}/`, '/srv/answers.d/'], /^[1-9].*write.only/is],
    ];
    for (const [options, says] of refusals) expect(await push(...options), options.join(' ')).toMatch(says);
    // These may be taken for names in the data set, never for ways out of it.
    for (const target of ['../', '../../etc/', 'to-etc/', 'up-to-etc/', '/../etc/']) {
      await push('/srv/evil/passwd', `${address}::${set}/${target}`);
      await push('--keep-dirlinks', '--relative', '/srv/evil/./deep/file', `${address}::${set}/${target}`);
    }
    await push('--temp-dir=/etc', '--backup', '--backup-dir=../../etc', '/srv/evil/passwd', `${address}::${set}/`);
    await push('-M--log-file=/etc/passwd', '/srv/evil/file', `${address}::${set}/logged`);
    await push('/srv/evil/x.zdt_1_1', `${address}::${set}/`);
    expect(await sh('cms2', 'ls /cms/admin')).not.toContain('zdt');
    expect(await etcOf('cms2')).toBe(etc);

    await until('shut', 40, async () =>
      (await push('/srv/evil/file', `${address}::${set}/`)).includes('Unknown module') ? '' : 'open',
    );
    expect(await sh('cms2', 'find /cms/admin -type c')).toBe('');
    // With its next session the primary has what was half-way taken away, and then compares.
    await sh('cms1', 'rm -r /srv/evil; rm -f /srv/answers; systemctl restart cmsadm-agent');
    await inStep();
    for (const server of pair) await sh(server, 'rm -f /var/lib/cmsadm/alarms.jsonl');
  });

  /** What empties a data set without anybody meaning it. `mend` undoes it; without, it is meant and released. */
  const disasters = [
    {
      name: 'the folder is moved away',
      happens: 'mv /cms/admin /cms/moved',
      mend: 'mv /cms/moved /cms/admin',
      mayLose: 0,
    },
    {
      name: 'the folder is moved away and an empty one made',
      happens: 'mv /cms/admin /cms/moved; mkdir /cms/admin',
      mend: 'rmdir /cms/admin; mv /cms/moved /cms/admin',
      mayLose: 0,
    },
    {
      name: 'another file system is mounted over it',
      happens: 'mount -t tmpfs none /cms/admin',
      mend: 'umount /cms/admin',
      mayLose: 0,
    },
    {
      name: 'another file system with files of its own is mounted over it',
      happens: 'mount -t tmpfs none /cms/admin; mkdir /cms/admin/set-1; echo other >/cms/admin/set-1/1',
      mend: 'umount /cms/admin',
      mayLose: 0,
    },
    {
      name: 'more than half of it is moved out at once',
      happens: 'mv /cms/admin/all /cms/all',
      mend: '',
      mayLose: 0,
    },
    { name: 'most of it is removed', happens: 'rm -r /cms/admin/all', mend: '', mayLose: 0.3 },
    { name: 'the folder is emptied', happens: 'find /cms/admin -mindepth 1 -delete', mend: '', mayLose: 0.3 },
  ] as const;

  it.each(disasters)(
    'holds the data set, and the other server keeps it, when $name',
    async ({ happens, mend, mayLose }) => {
      await sh('cms1', fill);
      await inStep();
      const before = await list('cms2');
      // What goes within seconds of having come is no loss.
      if (mayLose > 0) await sleep(6000);
      await sh('cms1', happens);
      // Nothing tells of a mount; a full pass comes upon it.
      const pass = await cmsadm('cms1', 'sync', 'now');
      await until('an alarm', 15, async () => ((await alarms('cms1')) === '' ? `none; ${await status('cms1')}` : ''));
      await sleep(2000);
      // What is removed name by name goes until it is more than a day's work: then the rest is held.
      const lost = apart(before, await list('cms2'));
      expect(lost.length, `${told(pass)}\n${lost.join('\n')}`).toBeLessThanOrEqual(before.size * mayLose);
      expect(await alarms('cms1')).toContain('data set administration');
      expect(await status('cms1')).not.toContain('"state":"in step","queue"');
      if (mend === '') {
        const released = await cmsadm('cms1', 'sync', 'release', 'administration');
        expect(released.exitCode, told(released)).toBe(0);
        await inStep();
        expect((await list('cms2')).size).toBeLessThan(before.size / 2);
      } else {
        await sh('cms1', mend);
        await cmsadm('cms1', 'sync', 'now');
        await inStep();
        expect(apart(before, await list('cms2'))).toEqual([]);
      }
      await exec('cms1', ['rm', '-f', '/var/lib/cmsadm/alarms.jsonl']);
    },
  );

  it('keeps what a release let go, and goes on with what is written next', async () => {
    const kept = await sh('cms2', 'find /var/lib/cmsadm/kept -type f | wc -l');
    expect(Number(kept)).toBeGreaterThan(300);
    await sh('cms1', fill);
    await inStep();
    for (const server of pair) expect(await sh(server, 'find / -xdev -name pwned'), server).toBe('');
  });

  /** What both have changed while they were apart, each its own way; and who comes back to whom. */
  const splits = [
    { away: 'cms1', here: 'cms2', keeps: 'cms2' },
    { away: 'cms2', here: 'cms1', keeps: 'cms2' },
  ] as const;

  it.each(splits)(
    'waits for a decision when $away comes back to $here with changes of its own, and keeps those of $keeps',
    async ({ away, here, keeps }) => {
      const fqdn = { cms1: cms1.fqdn, cms2: cms2.fqdn };
      await sh(away, 'cd /cms/admin; echo agreed >split; echo agreed >gone; rm -f only-*');
      await until('the agreed state', 20, async () => apart(await list('cms1'), await list('cms2')).join('\n'));
      await cut(away);
      await sh(away, `cd /cms/admin; echo ${away} >split; echo ${away} >only-${away}`);
      await configHa(here, ['activate', `--peer=${fqdn[away]}`, '--reason=the cable was pulled']);
      await sh(here, `cd /cms/admin; echo ${here} >split; echo ${here} >only-${here}; rm gone`);
      await heal(away);
      // It need not wait for TCP's next attempt.
      await sh(away, 'systemctl restart cmsadm-agent');
      for (const server of pair)
        await until(`undecided on ${server}`, 60, async () => {
          const said = await status(server);
          return said.includes('"state":"undecided"') ? '' : said;
        });
      expect(await sh(away, `cat /cms/admin/split /cms/admin/only-${away}`)).toBe(`${away}\n${away}`);
      expect(await sh(here, `cat /cms/admin/split; ls /cms/admin | grep only`)).toBe(`${here}\nonly-${here}`);
      for (const server of pair) expect(await alarms(server)).toContain(`cmsadm sync keep ${fqdn[keeps]}`);
      expect((await cmsadm(away, 'sync', 'keep', keeps, '--yes')).stderr).toContain(`Run it on ${fqdn[here]}`);
      const kept = await cmsadm(here, 'sync', 'keep', keeps, '--yes');
      expect(kept.exitCode, told(kept)).toBe(0);
      const loser = keeps === here ? away : here;
      expect(apart(await list('cms1'), await list('cms2'))).toEqual([]);
      expect(await sh(here, 'cat /cms/admin/split; ls /cms/admin | grep only')).toBe(`${keeps}\nonly-${keeps}`);
      expect(told(await cmsadm(loser, 'sync', 'conflicts'))).toContain(`only-${loser}`);
      expect(await sh(loser, `cat $(find /var/lib/cmsadm/kept -name only-${loser} | sort | tail -1)`)).toBe(loser);
      for (const server of pair) expect(await alarms(server)).not.toContain('is undecided');
    },
    180_000,
  );
  const isHeld = (): Promise<void> =>
    until('held', 60, async () => ((await status('cms1')).includes('"state":"held"') ? '' : status('cms1')));

  it('empties nobody when its disk is unmounted, under the running agent, while it is stopped, and over a reboot', async () => {
    await sh('cms1', 'systemctl stop cmsadm-agent; mkdir /srv/disk; mount -t tmpfs none /srv/disk');
    await sh('cms1', 'cp -a /cms/admin/. /srv/disk/; find /cms/admin -mindepth 1 -delete');
    const unmounted = 'umount /cms/admin';
    const mounted = 'mount --bind /srv/disk /cms/admin';
    await sh('cms1', `${mounted}; systemctl start cmsadm-agent`);
    await isHeld();
    await cmsadm('cms1', 'sync', 'release', 'administration');
    await inStep();
    const before = await list('cms2');
    expect(before.size).toBeGreaterThan(300);

    await sh('cms1', unmounted);
    await cmsadm('cms1', 'sync', 'now');
    await isHeld();
    expect(await alarms('cms1')).toContain('/cms/admin is another folder than before');
    await sh('cms1', mounted);
    await cmsadm('cms1', 'sync', 'now');
    await inStep();

    await sh('cms1', `systemctl stop cmsadm-agent; ${unmounted}; systemctl start cmsadm-agent`);
    await isHeld();
    await sh('cms1', 'systemctl restart cmsadm-agent');
    await isHeld();
    await powerOff('cms1');
    await powerOn('cms1');
    await isHeld();
    await cmsadm('cms1', 'sync', 'now');
    expect(apart(before, await list('cms2'))).toEqual([]);
    const released = await cmsadm('cms1', 'sync', 'release', 'administration');
    expect(released.exitCode, told(released)).toBe(0);
    await inStep();
  });

  it('tells another disk after a reboot, though its root has the number of the one before and little is lost', async () => {
    await sh('cms1', 'echo "none /cms/admin tmpfs mode=755 0 0" >>/etc/fstab; mount /cms/admin');
    await sh('cms1', 'cd /cms/admin; for file in 1 2 3 4 5 6 7 8 9 10; do echo "precious $file" >"$file"; done');
    await cmsadm('cms1', 'sync', 'now');
    await inStep();
    const before = await list('cms2');
    expect(before.size).toBe(10);
    // A fresh one at each boot, and no empty one.
    await sh('cms1', 'echo "f /cms/admin/other 0644 root root - of another" >/etc/tmpfiles.d/other.conf');
    const note = '/var/lib/cmsadm/sync/administration.folder';
    const [number] = (await sh('cms1', `cat ${note}`)).split(' ');
    // In the lab the agent sees this machine's boot, which does not change.
    await sh(
      'cms1',
      `systemctl stop cmsadm-agent; sed -i 's/^\\([0-9]*\\) [^ ]* /\\1 the-boot-before /' ${note}; sync`,
    );
    expect(await sh('cms1', `cat ${note}`)).toMatch(/^\d+ the-boot-before \d+ [1-9]\d*$/);
    await powerOff('cms1');
    await powerOn('cms1');
    await isHeld();
    expect(await sh('cms1', 'stat -c "%i" /cms/admin; cat /cms/admin/other')).toBe(`${number}\nof another`);
    expect(apart(before, await list('cms2'))).toEqual([]);
    expect(await alarms('cms1')).toContain('/cms/admin is another folder than before');
  });
});
