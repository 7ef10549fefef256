import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { available, exec } from '../../lab/lab.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { killedAt, prepareKills, stride } from './kill-at-call.ts';
import { attempt, cms1, cmsadm, objectOf, sh, start, stopAtFirstFailure, told, useFreshLab } from './kit.ts';
import { prepareLogins } from './logins.ts';
import { openTerminal, type Terminal, tooWide } from './terminal.ts';

const { ok, why } = available();

const target = '/mnt/backup';
const nologin = '/run/nologin';
const filesIn = async (folder = target): Promise<string[]> =>
  (await sh('cms1', `ls -A ${folder}`)).split('\n').filter((name) => name !== '');

/** Runs a command of option 3 with --json and --yes, holds what it prints against its schema, and returns it. */
async function backup(args: readonly string[], schema: string, exitCode = 0): Promise<string> {
  // A whole server, compressed by one processor, may take minutes.
  const argv = ['cmsadm', 'backup', ...args, '--json', '--yes'];
  const result = await exec('cms1', argv, { reject: false, timeoutMs: 300_000 });
  expect(result.exitCode, told(result)).toBe(exitCode);
  expect(misfits(publishedSchema(schema), objectOf(result))).toEqual([]);
  return result.stdout;
}
const textOf = (printed: string, key: string): string => new RegExp(`"${key}":"([^"]*)"`).exec(printed)?.[1] ?? '';

/** Whether `operator` gets into cms1 from the client, with the right password. */
async function operatorGetsIn(user = 'operator'): Promise<boolean> {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'NumberOfPasswordPrompts=1'];
  const line = [
    `SSH_ASKPASS=/root/say-${user} SSH_ASKPASS_REQUIRE=force ssh -F none`,
    ...[
      ...options,
      'PreferredAuthentications=password,keyboard-interactive',
      'PubkeyAuthentication=no',
      'ConnectTimeout=20',
    ],
  ].join(' -o ');
  const { exitCode } = await exec('probe', ['sh', '-c', `${line} -l ${user} ${cms1.address} true </dev/null`], {
    reject: false,
  });
  return exitCode === 0;
}

/** Nothing of a backup or restore is under way, and nothing of it is left. */
async function expectQuiet(): Promise<void> {
  const left = `for f in ${nologin} /run/cmsadm/backup /run/cmsadm/nologin /var/lib/cmsadm/backups/.work /var/lib/cmsadm/backups/.begun /.cmsadm-restoring; do [ ! -e $f ] || echo $f; done`;
  expect(await sh('cms1', left)).toBe('');
  expect((await filesIn()).filter((name) => name.startsWith('.'))).toEqual([]);
  expect(await sh('cms1', 'pgrep -x tar || true')).toBe('');
}

/** The process of the backup that runs. */
const backupProcess = async (): Promise<string> =>
  (await sh('cms1', 'sed -n "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/p" /run/cmsadm/backup')).trim();

/** All that differs between two trees of cms1, as rsync tells it. */
const differences = async (one: string, other: string, ...more: string[]): Promise<string> =>
  (
    await exec('cms1', [
      ...['rsync', '-aHAXn', '--checksum', '--delete', '--itemize-changes', ...more],
      ...[`${one}/`, `${other}/`],
    ])
  ).stdout;

const question = {
  menu: 'Enter choice (1-12) or q to quit:',
  task: 'What shall be done (1-7, q leaves) (default: 1):',
  backup: 'Backup (number, name or full path, q leaves):',
  where: 'Restore: 1 into a new folder, 2 over a mounted root (q leaves) (default: 1):',
  into: 'New or empty folder to restore into (q leaves):',
  over: 'Mounted root to restore over (q leaves):',
  files: 'Only these paths, with commas (Enter: all of it, q leaves):',
  host: 'Type the host name of this server to restore over it while it runs (q leaves):',
  device: 'Device: 1 tape, 2 other (q leaves):',
  path: 'Path of the backup (q leaves):',
  proceed: 'Proceed? (y/n):',
} as const;

describe.skipIf(!ok)(`the backup of a real server${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab();
  stopAtFirstFailure();
  let terminal: Terminal;
  beforeAll(async () => {
    await prepareLogins();
    await prepareKills('cms1');
    await sh(
      'cms1',
      [
        `mkdir -p ${target} /cms/db/hist /srv/odd`,
        'echo calls >/cms/db/hist/monday',
        'cd /srv/odd; echo one >one; ln one two; setfacl -m u:operator:rw one; setfattr -n user.lab -v kept one',
        'truncate -s 20M holes; echo end >>holes; mkfifo pipe; ln -s one soft; mkdir -m 2770 group; chown operator group',
        'cp /bin/true capable; setcap cap_net_raw+ep capable 2>/dev/null || true',
      ].join('\n'),
    );
    terminal = await openTerminal('cms1', 'backup');
  }, 120_000);
  afterAll(() => terminal.close());

  it('at the menu says why an answer is refused, asks again, and leaves at q with nothing done', async () => {
    await terminal.type('cmsadm');
    await terminal.answer(question.menu, '3');
    await terminal.see('This server knows of no backup.');
    for (const typed of ['0', '8', 'make it', '1abc']) {
      await terminal.answer(question.task, typed);
      await terminal.see('Type a number from 1 to 7, or q to leave.');
    }
    await terminal.answer(question.task, 'q');
    await terminal.see('Nothing was touched.');
    await terminal.answer(question.menu, '3');
    await terminal.answer(question.task, '');
    for (const typed of ['', '0', '3', 'tape 1']) {
      await terminal.answer(question.device, typed);
      await terminal.see('Type 1 (tape) or 2 (other), or q to leave.');
    }
    await terminal.answer(question.device, '2');
    for (const [typed, told] of [
      ['', '"" is no full path.'],
      ['backup', '"backup" is no full path.'],
      ['/nowhere', '/nowhere is not there.'],
      ['/etc/hosts', '/etc/hosts is no folder.'],
      ['/cms/db/hist', 'lies on a data disk (/cms/db).'],
      ['$(reboot)', 'is no full path.'],
    ] as const) {
      await terminal.answer(question.path, typed);
      await terminal.see(told);
    }
    await terminal.answer(question.path, 'q');
    await terminal.see('Nothing was touched.');
    await terminal.answer(question.menu, '3');
    await terminal.answer(question.task, '1');
    await terminal.answer(question.device, '1');
    await terminal.answer(question.path, '/etc/hosts');
    await terminal.see('/etc/hosts holds something else.');
    await terminal.answer(question.path, '/dev/null');
    await terminal.see('/dev/null is no tape drive.');
    await terminal.answer(question.path, 'q');
    await terminal.answer(question.menu, '3');
    await terminal.answer(question.task, 'make');
    await terminal.answer(question.device, 'q');
    await terminal.see('Nothing was touched.');
    expect(await filesIn()).toEqual([]);
    await expectQuiet();
  });

  it('at the menu shows the plan, does nothing after n, and after y saves the server with its progress', async () => {
    const begin = async (): Promise<void> => {
      await terminal.answer(question.menu, '3');
      await terminal.answer(question.task, '');
      await terminal.answer(question.device, '2');
      await terminal.answer(question.path, target);
      await terminal.see('New log-ins are blocked while it runs');
    };
    await begin();
    await terminal.answer(question.proceed, 'maybe');
    await terminal.answer(question.proceed, 'n');
    await terminal.see('Nothing was touched.');
    expect(await filesIn()).toEqual([]);
    await begin();
    await terminal.answer(question.proceed, 'y');
    await terminal.see('left', 60); // the time left, while it writes
    await terminal.see('is whole.', 120);
    await terminal.answer(question.menu, 'q');
    expect(await terminal.exitCode()).toBe(0);
    expect(await filesIn()).toEqual([expect.stringMatching(/^CMSADM-21\.0\.0\.1-\d{12}-cms1$/)]);
    expect(await sh('cms1', 'tail -n 1 /var/log/cmsadm/admin.log')).toMatch(/ outcome: backup: CMSADM-/);
    expect(tooWide(await terminal.lines())).toEqual([]);
    await expectQuiet();
  }, 240_000);

  it('lets no user in while it runs, but root, and everybody afterwards', async () => {
    expect(await operatorGetsIn()).toBe(true);
    // In a shell: what enters the server (nsenter) stands still for ever with a child of its own that is stopped once.
    const inShell = ['sh', '-c', '"$@"; exit "$?"', 'sh'];
    const running = start('cms1', [...inShell, 'cmsadm', 'backup', '--device=2', `--path=${target}`, '--yes']);
    await running.says('Writing');
    const pid = await backupProcess();
    await sh('cms1', `kill -STOP ${pid}`);
    const [operator, root] = [await operatorGetsIn(), await operatorGetsIn('root')];
    const second = await cmsadm('cms1', 'backup', '--device=2', `--path=${target}`, '--yes');
    await sh('cms1', `kill -CONT ${pid}`);
    expect([operator, root]).toEqual([false, true]);
    expect(second.exitCode, told(second)).toBe(3);
    expect(second.stderr).toContain('Two of them never run together');
    expect((await running.ended()).exitCode).toBe(0);
    expect(await operatorGetsIn()).toBe(true);
    await expectQuiet();
  }, 240_000);

  it('leaves a nologin of somebody else as it is', async () => {
    await sh('cms1', `echo 'going down' >${nologin}`);
    await backup(['--device=2', `--path=${target}`, '--unread'], 'backup');
    expect(await sh('cms1', `cat ${nologin}; rm ${nologin}`)).toBe('going down');
    await expectQuiet();
  }, 120_000);

  it('restores the whole server into a folder as it is', async () => {
    const made = await backup(['--device=2', `--path=${target}`], 'backup');
    await backup(['restore', textOf(made, 'name'), '--into=/srv/restored'], 'backup-restore');
    // What runs on it has written its logs and state meanwhile.
    for (const folder of ['/etc', '/usr', '/opt', '/srv/odd', '/root', '/home', '/cms/admin'])
      expect(await differences(folder, `/srv/restored${folder}`, '--exclude=/.bash_history'), folder).toBe('');
    expect(await sh('cms1', 'stat -c %b /srv/odd/holes')).toBe(
      await sh('cms1', 'stat -c %b /srv/restored/srv/odd/holes'),
    );
    expect(await sh('cms1', 'ls /srv/restored/cms/db /srv/restored/proc')).not.toContain('monday');
    await sh('cms1', 'rm -r /srv/restored');
    await expectQuiet();
  }, 240_000);

  it('restores single files over the running server only with its name, and keeps what they replace', async () => {
    const name = (await filesIn()).at(-1) ?? '';
    await sh('cms1', 'echo wrong >/etc/issue; rm /srv/odd/one /srv/odd/two');
    const args = ['restore', name, '--over=/', '--files=/etc/issue,/srv/odd/two'];
    const refused = await cmsadm('cms1', 'backup', ...args, '--yes');
    expect(refused.exitCode, told(refused)).toBe(3);
    expect(refused.stderr).toContain('/ is this server itself, cms1, and it runs.');
    const done = await backup([...args, '--server=cms1'], 'backup-restore');
    expect(await sh('cms1', 'grep -c Debian /etc/issue; cat /etc/issue.zdt_*')).toBe('1\nwrong');
    expect(done).toContain('"alsoRestored":["/srv/odd/one"]');
    expect(await sh('cms1', 'getfattr --only-values -n user.lab /srv/odd/two; getfacl -c /srv/odd/one')).toMatch(
      /^kept[\s\S]*user:operator:rw-/,
    );
    await sh('cms1', 'rm /etc/issue.zdt_*');
  }, 120_000);

  it('asks again at a terminal where an answer of a restore is wrong', async () => {
    const name = (await filesIn()).at(-1) ?? '';
    await terminal.type('cmsadm backup restore --files=/etc/issue --over=/');
    await terminal.answer(question.backup, 'nothing');
    await terminal.see('is no backup that this server knows.');
    await terminal.answer(question.backup, `${target}/${name}`);
    await terminal.answer(question.host, 'cms2');
    await terminal.see('and it runs.');
    await terminal.answer(question.host, 'cms1');
    await terminal.answer(question.proceed, 'n');
    expect(await terminal.exitCode()).toBe(0);
    await terminal.type(`cmsadm backup restore ${name} --files=/etc/issue`);
    for (const typed of ['3', 'over it', '-1']) {
      await terminal.answer(question.where, typed);
      await terminal.see('Type 1 (into a folder) or 2 (over a root), or q to leave.');
    }
    await terminal.answer(question.where, '');
    for (const typed of ['', 'srv', '/etc', '/no/where']) {
      await terminal.answer(question.into, typed);
      await terminal.see('new or empty folder whose parent is there.');
    }
    await terminal.answer(question.into, '/srv/some');
    await terminal.answer(question.proceed, 'y');
    expect(await terminal.exitCode()).toBe(0);
    expect(await sh('cms1', 'find /srv/some -type f; rm -r /srv/some')).toBe('/srv/some/etc/issue');
  }, 120_000);

  it('at the menu lists, shows, verifies, restores and prunes; wrong answers are asked again', async () => {
    const [name = ''] = (await filesIn()).toReversed();
    const task = async (number: string): Promise<void> => {
      await terminal.answer(question.menu, '3');
      await terminal.answer(question.task, number);
    };
    await terminal.type('cmsadm');
    await task('3');
    await terminal.see(`${name}  `);
    for (const [number, told] of [
      ['4', 'State whole'],
      ['5', 'is whole: '],
    ] as const) {
      await task(number);
      for (const typed of ['0', '99', 'first']) {
        await terminal.answer(question.backup, typed);
        await terminal.see(`"${typed}" is no backup that this server knows.`);
      }
      await terminal.answer(question.backup, '1');
      await terminal.see(told, 60);
    }
    await task('6');
    await terminal.answer(question.backup, '1');
    await terminal.answer(question.where, '2');
    for (const [typed, why] of [
      ['', 'is no folder.'],
      ['/no/where', '/no/where is no folder.'],
      ['/etc/hosts', '/etc/hosts is no folder.'],
    ] as const) {
      await terminal.answer(question.over, typed);
      await terminal.see(why);
    }
    await sh('cms1', 'mkdir -p /mnt/sysimage/etc; echo other >/mnt/sysimage/etc/issue');
    await terminal.answer(question.over, '/mnt/sysimage');
    await terminal.answer(question.files, '/etc/../issue');
    await terminal.see('is no path of a backup.');
    await terminal.answer(question.files, '/etc/issue');
    await terminal.see('all of it changes or none');
    await terminal.answer(question.proceed, 'y');
    await terminal.see('restored over /mnt/sysimage.', 60);
    expect(await differences('/etc', '/mnt/sysimage/etc', '--omit-dir-times', '--include=/issue', '--exclude=*')).toBe(
      '',
    );
    await sh('cms1', 'rm -r /mnt/sysimage');
    await task('7');
    for (const typed of ['0', 'all', '-1']) {
      await terminal.answer('Keep how many backups of each kind (q leaves)', typed);
      await terminal.see('is no such number.');
    }
    await terminal.answer('Keep how many backups of each kind (q leaves)', 'q');
    await terminal.see('Nothing was touched.');
    await terminal.answer(question.menu, 'q');
    expect(await terminal.exitCode()).toBe(0);
    // What was typed in the shell is as wide as it is.
    expect(tooWide(await terminal.lines()).filter((line) => !line.startsWith('root@'))).toEqual([]);
    await expectQuiet();
  }, 180_000);

  it('interrupted by Ctrl-C takes away what it began', async () => {
    const before = await filesIn();
    await terminal.type(`cmsadm backup --device=2 --path=${target} --yes`);
    await terminal.see('Writing');
    await terminal.press('C-c');
    expect(await terminal.exitCode()).toBe(130);
    expect(await filesIn()).toEqual(before);
    await expectQuiet();
    expect(await operatorGetsIn()).toBe(true);
  }, 120_000);

  it('killed lets users in again by itself, and leaves no file that looks whole', async () => {
    const before = await filesIn();
    const running = start('cms1', ['cmsadm', 'backup', '--device=2', `--path=${target}`, '--yes']);
    await running.says('Writing');
    await sh('cms1', `kill -9 ${await backupProcess()}`);
    await running.ended();
    expect((await filesIn()).filter((name) => !name.startsWith('.'))).toEqual(before);
    await expect.poll(operatorGetsIn, { timeout: 60_000, interval: 1000 }).toBe(true);
    await expect.poll(filesIn, { timeout: 20_000 }).toEqual(before);
    await expectQuiet();
  }, 180_000);

  it('keeps a device, written in blocks, as well as a folder', async () => {
    // The backups of before would be saved as well, for they are not where this one goes.
    const before = await filesIn();
    for (const name of before.slice(0, -1)) await sh('cms1', `rm ${target}/${name}`);
    await sh('cms1', 'truncate -s 4G /srv/tape');
    const onTape = ['--device=1', '--path=/srv/tape'];
    for (const args of [onTape, ['maintenance', '--level=full', ...onTape, '--compress=gzip']]) {
      const made = await backup(args, 'backup');
      const verified = await backup(['verify', textOf(made, 'name')], 'backup-verify');
      expect(verified).toContain('"outcome":"whole"');
      await backup(['show', '/srv/tape'], 'backup-show');
    }
    await sh('cms1', 'rm /srv/tape');
    await backup(['list', `--folder=${target}`], 'backup-list');
  }, 600_000);

  it('names the file of a flipped bit, and restores nothing of that backup', async () => {
    const name = (await filesIn()).at(-1) ?? '';
    const place = await sh('cms1', `grep -abo -m1 'PRETTY_NAME="Debian' ${target}/${name} | head -n 1 | cut -d: -f1`);
    await sh('cms1', `printf X | dd of=${target}/${name} bs=1 seek=${place.trim()} conv=notrunc status=none`);
    const verified = await backup(['verify', name], 'backup-verify', 5);
    expect(verified).toMatch(/"damaged":\["\/(etc|usr\/lib)\/os-release"\]/);
    const refused = await cmsadm('cms1', 'backup', 'restore', name, '--into=/srv/none', '--yes');
    expect(refused.exitCode, told(refused)).toBe(3);
    expect((await attempt('cms1', 'ls', '/srv/none')).exitCode).not.toBe(0);
    await backup(['prune', '--keep=1', '--days=0'], 'backup-prune');
    expect(await filesIn()).toHaveLength(1);
  }, 120_000);

  it('says before it begins what is missing for cpio, and that a disk has no room', async () => {
    const cpio = await cmsadm('cms1', 'backup', '--format=cpio', '--device=2', `--path=${target}`, '--yes');
    expect(cpio.stderr).toContain('This server does not have cpio.');
    await sh('cms1', 'mkdir -p /mnt/small; mount -t tmpfs -o size=8m none /mnt/small');
    const small = await cmsadm('cms1', 'backup', '--device=2', '--path=/mnt/small', '--yes');
    expect(small.exitCode, told(small)).toBe(3);
    expect(small.stderr).toContain('MB free, and the backup needs about');
    await sh('cms1', 'umount /mnt/small');
    await expectQuiet();
  }, 60_000);

  it('saves historical data in full and in part', async () => {
    const full = await backup(['maintenance', '--level=full', '--device=2', `--path=${target}`], 'backup');
    await sh('cms1', 'sleep 1; echo more >/cms/db/hist/tuesday; rm /cms/db/hist/monday');
    const part = await backup(['maintenance', '--level=incremental', '--device=2', `--path=${target}`], 'backup');
    expect(textOf(part, 'of')).toBe(textOf(full, 'name'));
    await backup(['restore', textOf(part, 'name'), '--into=/srv/history'], 'backup-restore');
    expect(await differences('/cms/db', '/srv/history/cms/db')).toBe('');
    await sh('cms1', 'rm -r /srv/history');
  }, 60_000);

  describe('a whole system over a mounted root', () => {
    const root = '/mnt/sysimage';
    let name = '';
    let calls: readonly string[] = [];
    const args = () => ['restore', name, '--over', root, '--yes'];
    const mountRoot = `mount -o loop /srv/root.img ${root}`;
    const mountBelow = `mount -o loop /srv/below.img ${root}/srv/odd`;
    const unmount = `umount ${root}/srv/odd ${root}`;
    /** An older system on two file systems, as it was made first. */
    const afresh = () =>
      sh(
        'cms1',
        `{ ${unmount}; } 2>/dev/null; for n in root below; do cp --sparse=always /srv/$n.first /srv/$n.img; done; ${mountRoot}; ${mountBelow}`,
      );
    /** Every name of the root with all that it has, and a digest of its content, by find and sha256sum. */
    const standing = (): Promise<string> =>
      sh(
        'cms1',
        `cd ${root} && { find . -name lost+found -prune -o -type d -printf '%P %y %m %U %G %Ts\\n' -o -printf '%P %y %m %U %G %n %l %s %Ts\\n' | sort; getfacl -R -s -p . ; find . -type f -exec sha256sum {} + | sort -k2; } 2>&1 | sha256sum`,
      );
    /** What a restore that was killed left is settled by nobody but the test. */
    const stopTimer = () => sh('cms1', "systemctl stop 'cmsadm-backup*.timer' 'cmsadm-backup*.service'");
    const callOf = (what: string): number => calls.findIndex((call) => call.endsWith(what)) + 1;

    beforeAll(async () => {
      await sh('cms1', `rm -rf ${target}/* /srv/tape`);
      name = textOf(await backup(['--device=2', `--path=${target}`, '--unread'], 'backup'), 'name');
      await sh(
        'cms1',
        [
          '[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237',
          'for n in $(seq 0 63); do [ -e /dev/loop$n ] || mknod /dev/loop$n b 7 $n; done',
          'for n in root below; do truncate -s 2G /srv/$n.img; mkfs.ext4 -q /srv/$n.img; done',
          `mkdir -p ${root}; ${mountRoot}; mkdir -p ${root}/srv/odd; ${mountBelow}; cp -a /etc /root ${root}/`,
          // Some of it edited, some gone, some of its own, some of another kind.
          `cd ${root}; rm etc/hosts; echo old >etc/issue; echo mine >etc/mine; ln etc/issue etc/issue2; chmod 700 etc`,
          'rm etc/hostname; mkdir etc/hostname; mkdir srv/odd/own; echo own >srv/odd/one; chown 1000 srv/odd',
          `cd /; ${unmount}; for n in root below; do mv /srv/$n.img /srv/$n.first; done`,
        ].join('\n'),
      );
      await afresh();
      const whole = await killedAt('cms1', Number.MAX_SAFE_INTEGER, 'backup', ...args());
      expect(whole.exitCode, told(whole)).toBe(0);
      ({ calls } = whole);
    }, 280_000);
    afterAll(async () => {
      await sh('cms1', `${unmount}; rm -f /srv/root.* /srv/below.*`);
    });

    it('is there as it was saved, on both file systems, with what only the root had', async () => {
      const own = /^\*deleting +(mine|issue2|own\/)$/;
      for (const folder of ['/etc', '/usr', '/opt', '/root', '/home', '/cms/admin', '/srv/odd']) {
        const told = await differences(folder, `${root}${folder}`, '--exclude=/.bash_history', '--exclude=lost+found');
        expect(
          told.split('\n').filter((line) => line !== '' && !own.test(line)),
          folder,
        ).toEqual([]);
      }
      expect(
        await sh('cms1', `cd ${root}; cat etc/mine etc/issue2; stat -c %a etc; ls -d .cms* srv/odd/.cms* || :`),
      ).toBe('mine\nold\n755');
      await expectQuiet();
    }, 120_000);

    it.each(['the timer', 'recover', 'the boot', 'unblock', 'another system'] as const)(
      'killed in the middle of the placing is put back by %s',
      async (by) => {
        await afresh();
        const before = await standing();
        const [first, last] = [callOf('.cmsadm-restoring/journal'), callOf('.cmsadm-restoring/decided')];
        expect(last - first).toBeGreaterThan(100);
        const at = by === 'unblock' ? last : Math.trunc((first + last) / 2);
        const killed = await killedAt('cms1', at, 'backup', ...args());
        expect(killed.exitCode, told(killed)).toBe(137);
        if (by !== 'the timer') await stopTimer();
        expect(await standing()).not.toBe(before);
        const putBack = /the restore over \/mnt\/sysimage was put back: \d+ names/;
        if (by === 'the timer') {
          const left = () => sh('cms1', `ls -d ${root}/.cmsadm-restoring 2>/dev/null || :`);
          await expect.poll(left, { timeout: 60_000, interval: 500 }).toBe('');
        } else if (by === 'recover' || by === 'the boot') {
          const settled = await cmsadm('cms1', 'recover', ...(by === 'the boot' ? ['--boot'] : []));
          expect(settled.stdout, told(settled)).toMatch(putBack);
        } else if (by === 'unblock') {
          await sh('cms1', `umount ${root}/srv/odd`);
          const refused = await cmsadm('cms1', 'backup', 'unblock');
          expect(refused.exitCode, told(refused)).toBe(5);
          // Its lines are as wide as a terminal.
          expect(refused.stderr.replaceAll(/\s+/g, ' ')).toContain('/srv/odd is not mounted there');
          await sh('cms1', mountBelow);
          expect(await backup(['unblock'], 'backup-unblock')).toMatch(putBack);
        } else {
          // It knows nothing of that restore.
          await sh(
            'cms1',
            `rm -rf /var/lib/cmsadm/backups/.begun /var/lib/cmsadm/backups/.work; ${unmount}; ${mountRoot}; ${mountBelow}`,
          );
          expect(await backup(['unblock', `--over=${root}`], 'backup-unblock')).toMatch(putBack);
        }
        expect(await standing()).toBe(before);
        await cmsadm('cms1', 'backup', 'unblock');
        await expectQuiet();
      },
      120_000,
    );

    it('killed when all is in its place is finished', async () => {
      await afresh();
      const before = await standing();
      const killed = await killedAt('cms1', callOf('.cmsadm-restoring/decided') + 1, 'backup', ...args());
      expect(killed.exitCode, told(killed)).toBe(137);
      await stopTimer();
      expect(await backup(['unblock'], 'backup-unblock')).toContain('was finished: all of it is in its place');
      expect(await standing()).not.toBe(before);
      expect(await differences('/srv/odd', `${root}/srv/odd`, '--exclude=/own', '--exclude=lost+found')).toBe('');
      expect(await sh('cms1', `stat -c %a ${root}/etc`)).toBe('755');
      await expectQuiet();
    }, 120_000);

    it('interrupted by Ctrl-C, or without room, leaves everything as it was', async () => {
      await afresh();
      const before = await standing();
      await terminal.type(`cmsadm backup ${args().join(' ')}`);
      await terminal.see(`Restoring ${name}`, 120);
      await terminal.press('C-c');
      expect(await terminal.exitCode()).toBe(130);
      expect(await standing()).toBe(before);
      await expectQuiet();
      await sh('cms1', `cd ${root}; fallocate -l $(( $(stat -f -c '%a * %S' .) - 50000000 )) etc/full`);
      const full = await standing();
      const refused = await cmsadm('cms1', 'backup', ...args());
      expect(refused.exitCode, told(refused)).toBe(3);
      expect(refused.stderr.replaceAll(/\s+/g, ' ')).toMatch(/has \d+ MB free, and \d+ MB are restored there/);
      expect(await standing()).toBe(full);
    }, 120_000);
  });

  describe('killed at any of its steps', () => {
    beforeAll(async () => {
      // Little is saved, so that many runs fit into the time.
      await sh('cms1', "printf 'backup:\\n  include: [/root, /cms, /srv/odd]\\n' >>/etc/cmsadm/profiles/lab.yaml");
      await sh('cms1', `rm -rf ${target}/*; echo before >/srv/odd/one; echo before >/srv/odd/other`);
    });
    const run = ['--device=2', `--path=${target}`, '--yes'];

    it('a backup is there whole or not at all', async () => {
      const whole = await killedAt('cms1', Number.MAX_SAFE_INTEGER, 'backup', ...run);
      expect(whole.exitCode, told(whole)).toBe(0);
      expect(whole.calls.length).toBeGreaterThan(20);
      const ends = new Set<string>();
      for (let at = 1; at <= whole.calls.length; at += stride(whole.calls.length, 9)) {
        await sh('cms1', `rm -rf ${target}/*`);
        const killed = await killedAt('cms1', at, 'backup', ...run);
        expect(killed.exitCode, `${at}: ${told(killed)}`).toBe(137);
        await cmsadm('cms1', 'backup', 'unblock');
        await expectQuiet();
        const [name] = await filesIn();
        ends.add(name === undefined ? 'none' : 'whole');
        if (name !== undefined) await backup(['verify', `${target}/${name}`], 'backup-verify');
      }
      expect([...ends].sort()).toEqual(['none', 'whole']);
    }, 290_000);

    it('a restore over the server has changed all of its files or none', async () => {
      await sh('cms1', `rm -rf ${target}/*`);
      await backup(['--device=2', `--path=${target}`], 'backup');
      const [name = ''] = await filesIn();
      const args = ['restore', name, '--over=/', '--files=/srv/odd/one,/srv/odd/other', '--server=cms1', '--yes'];
      const state = () =>
        sh('cms1', 'cat /srv/odd/one /srv/odd/other; ls -A /srv/odd /.cmsadm-restoring 2>/dev/null || true');
      const spoil = () => sh('cms1', 'cd /srv/odd; rm -f *.zdt_*; rm one other; echo now >one; echo now >other');
      await spoil();
      const whole = await killedAt('cms1', Number.MAX_SAFE_INTEGER, 'backup', ...args);
      expect(whole.exitCode, told(whole)).toBe(0);
      const ends = new Set<string>();
      for (let at = 1; at <= whole.calls.length; at += stride(whole.calls.length, 10)) {
        await spoil();
        const before = await state();
        const killed = await killedAt('cms1', at, 'backup', ...args);
        expect(killed.exitCode, `${at}: ${told(killed)}`).toBe(137);
        await cmsadm('cms1', 'backup', 'unblock');
        const after = await state();
        if (after.startsWith('now')) expect(after, killed.calls.at(-1)).toBe(before);
        else expect(after, killed.calls.at(-1)).toMatch(/^before\nbefore\n/);
        ends.add(after.slice(0, 3));
        await expectQuiet();
      }
      expect([...ends].sort()).toEqual(['bef', 'now']);
    }, 290_000);
  });
});
