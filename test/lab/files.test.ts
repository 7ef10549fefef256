import { beforeAll, describe, expect, it } from 'vitest';
import { available, exec } from '../../lab/lab.ts';
import {
  argsOf,
  cms2,
  cmsadm,
  configHa,
  objectOf,
  pair,
  probe,
  rightAnswers,
  type Server,
  setUp,
  sh,
  stopAtFirstFailure,
  told,
  useFreshLab,
} from './kit.ts';
import { changedFiles, differences, expectUntouched, type Standing, servicesOf, standingOfBoth } from './standing.ts';
import { openTerminal } from './terminal.ts';

const { ok, why } = available();

/** Attributes, access lists, owners and modes that are odd but allowed; folders behind links; a second name. */
const odd = `
  chown root:adm /etc/hosts; chmod 664 /etc/hosts
  setfattr -n user.origin -v 'of the site' /etc/hosts
  setfacl -m u:operator:rw,g:daemon:r /etc/hosts
  setfattr -n trusted.audit -v 7 /etc/services; chmod 604 /etc/services
  mv /opt/informix/etc /srv/informix-etc; ln -s ../../srv/informix-etc /opt/informix/etc
  chown informix:adm /srv/informix-etc/sqlhosts; chmod 640 /srv/informix-etc/sqlhosts
  setfacl -m u:informix:rw /srv/informix-etc/sqlhosts
  mv /etc/chrony /srv/chrony; ln -s ../srv/chrony /etc/chrony
  setfattr -n user.origin -v chrony /srv/chrony/chrony.conf
  chgrp operator /cms/install/security/OpenPorts; chmod 2660 /cms/install/security/OpenPorts
  touch -d 2020-02-02 /etc/hosts /etc/services /srv/informix-etc/* /srv/chrony/chrony.conf /cms/install/security/OpenPorts`;

type Which = 'all' | 'attributes' | 'identity';

/** `attributes`: mode, owner, access list, attributes; `all`: the bytes as well; `identity`: which file, and its time. */
async function lookAt(server: Server, which: Which, files = changedFiles): Promise<Standing> {
  const one = {
    attributes:
      'getfacl -cpE "$f" | tr "\\n" " "; getfattr -dm- --absolute-names "$f" | tr "\\n" " "; stat -c "%a %U:%G" "$f"',
    all: 'getfacl -cpE "$f" | tr "\\n" " "; getfattr -dm- --absolute-names "$f" | tr "\\n" " "; stat -c "%a %U:%G" "$f" | tr "\\n" " "; sha256sum <"$f"',
    identity: 'stat -c "%i %Y" "$f"',
  }[which];
  const script = `for f; do [ -e "$f" ] || continue; printf '%s\\t' "$f"; ${one}; done`;
  const { stdout } = await exec(server, ['sh', '-c', script, 'sh', ...files]);
  return new Map(
    stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [path = '', ...facts] = line.split('\t');
        return [path, facts.join('\t')];
      }),
  );
}

const bothLooks = async (which: Which, files?: readonly string[]): Promise<Record<Server, Standing>> => ({
  cms1: await lookAt('cms1', which, files),
  cms2: await lookAt('cms2', which, files),
});

/** Only what both know: files that one of them lacks are left out. */
const differencesOfBoth = (before: Standing, after: Standing): string[] => {
  const known = (of: Standing, other: Standing) => new Map([...of].filter(([path]) => other.has(path)));
  return differences(known(before, after), known(after, before));
};

describe.skipIf(!ok)(`files${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab();
  stopAtFirstFailure();
  let before: Record<Server, Standing>;
  let identity: Record<Server, Standing>;
  let tag: string;

  beforeAll(async () => {
    for (const server of pair) await sh(server, odd);
    await sh('cms2', 'ln /etc/services /srv/services-too');
    before = await bothLooks('all');
    identity = await bothLooks('identity');
  });

  it('shows where a file behind links really is, and which one has another name', async () => {
    const args = ['config_HA', 'setup', ...argsOf(await rightAnswers()), '--yes', '--dry-run'];
    const json = await cmsadm('cms1', ...args, '--json');
    expect(json.exitCode, told(json)).toBe(2);
    const files = (name: string) => ({ name, files: expect.arrayContaining([expect.objectContaining(real)]) });
    const real = { path: '/opt/informix/etc/sqlhosts', real: '/srv/informix-etc/sqlhosts', what: 'changed' };
    expect(objectOf(json)).toMatchObject({ review: { servers: [files('cms1.lab.example'), files(cms2.fqdn)] } });
    expect(json.stdout).toContain('{"path":"/etc/services","otherNames":1,"what":"changed"}');
    const screen = await cmsadm('cms1', ...args);
    const text = screen.stdout.replaceAll(/\s+/g, ' ');
    expect(text).toContain('changed /opt/informix/etc/sqlhosts, really /srv/informix-etc/sqlhosts');
    expect(text).toContain('changed /etc/services, 1 other name of it (hard link) will keep the old content');
  });

  it('changes the text alone: mode, owner, access list and attributes are carried', async () => {
    const attributes = await bothLooks('attributes');
    tag = await setUp({ 'ntp-server': probe.address });
    for (const server of pair) {
      const now = await lookAt(server, 'attributes');
      expect(differencesOfBoth(attributes[server], now), server).toEqual([]);
      expect(now.get('/etc/hosts'), server).toMatch(/user:operator:rw-.*user.origin="of the site".*664 root:adm/);
      expect(await sh(server, 'cat /etc/hosts /opt/informix/etc/sqlhosts'), server).toContain('cms2');
      expect(await sh(server, 'readlink /opt/informix/etc /etc/chrony'), server).toBe(
        '../../srv/informix-etc\n../srv/chrony',
      );
    }
  });

  it('keeps the very files of before as backups, and nothing for those that it made', async () => {
    for (const server of pair) {
      const backups = await lookAt(
        server,
        'identity',
        [...before[server].keys()].map((path) => `${path}.${tag}`),
      );
      expect(backups.size, server).toBeGreaterThan(5);
      for (const [path, facts] of backups)
        expect(facts, `${server}: ${path}`).toBe(identity[server].get(path.replace(`.${tag}`, '')));
      const made = changedFiles.filter((path) => !before[server].has(path)).map((path) => `${path}.${tag}`);
      expect(await lookAt(server, 'identity', made), server).toEqual(new Map());
    }
    expect(await sh('cms2', `stat -c %i /srv/services-too /etc/services.${tag} | uniq | wc -l`)).toBe('1');
  });

  it('writes no file whose text stays, and restarts nothing for it', async () => {
    const still = {
      files: await bothLooks('identity'),
      cms1: await servicesOf('cms1'),
      cms2: await servicesOf('cms2'),
    };
    await configHa('cms1', ['reverse']);
    for (const server of pair) {
      const changed = differences(still.files[server], await lookAt(server, 'identity'));
      expect(
        changed.map((line) => line.split(':')[0]),
        server,
      ).toEqual(['/var/lib/cmsadm/pair.json']);
      expect(differences(still[server], await servicesOf(server)), server).toEqual([]);
    }
  });

  it('restores text, mode, owner, access list and attributes, whatever became of them since', async () => {
    await sh('cms2', 'setfattr -x user.origin /etc/hosts; setfacl -b /etc/hosts; chmod 600 /etc/hosts');
    await sh('cms2', 'chown root:root /cms/install/security/OpenPorts; rm /etc/chrony/chrony.conf');
    await configHa('cms2', ['restore', `--tag=${tag}`]);
    for (const server of pair) expect(differences(before[server], await lookAt(server, 'all')), server).toEqual([]);
  });

  const places = ['/etc', '/root', '/opt', '/srv', '/cms'];
  const meanwhile = [
    { name: 'a file is edited', server: 'cms1', script: 'echo "# by hand" >>/etc/hosts', says: '/etc/hosts' },
    { name: 'a mode is changed', server: 'cms2', script: 'chmod 664 /etc/services', says: '/etc/services' },
    {
      name: 'a link is turned elsewhere',
      server: 'cms2',
      script: 'cp -a /srv/informix-etc /srv/trap; mv /srv/informix-etc /srv/moved; ln -s trap /srv/informix-etc',
      says: '/srv/informix-etc',
    },
  ] as const;
  it.each(meanwhile)('stops everything when, before the y, $name', async ({ server, script, says }) => {
    const terminal = await openTerminal('cms1', 'files');
    try {
      const { 'ntp-server': _none, ...flags } = await rightAnswers();
      await terminal.type(`cmsadm config_HA setup ${argsOf({ ...flags, 'ntp-server': probe.address }).join(' ')}`);
      await terminal.see('Proceed? (y/n, d shows the diffs):', 60);
      await sh(server, script);
      const standing = await standingOfBoth(places);
      await terminal.type('y');
      expect(await terminal.exitCode(60)).toBe(4);
      const screen = (await terminal.lines()).join('').replaceAll(/\s+/g, '');
      expect(screen).toContain(says);
      expect(screen).toContain(`${server}.lab.example`);
      await expectUntouched(standing, places);
    } finally {
      await terminal.close();
    }
  });

  it('leaves the same text, mode, owner, access lists and attributes after disable', async () => {
    const single = await bothLooks('all');
    await setUp({ 'ntp-server': probe.address });
    await configHa('cms1', ['disable', `--peer=${cms2.fqdn}`]);
    for (const server of pair) expect(differences(single[server], await lookAt(server, 'all')), server).toEqual([]);
  });
});
