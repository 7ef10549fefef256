import type { Judge } from '../host/system.ts';
import { forFamily, type ManagedFile, type OsFamily, type Profile } from '../profile/schema.ts';
import { paths } from './state.ts';
import type { Step } from './tag.ts';

/** Kinds of files that are ours alone: written whole, removed by disable. */
type OwnKind = 'pair_key' | 'sshd_drop_in' | 'unit' | 'link' | 'pair' | 'settings' | 'profile';
type FirewallKind = 'nftables' | 'iptables' | 'firewalld';
export type FileKind = ManagedFile['kind'] | OwnKind | FirewallKind | 'administered';

/** One row of the table of files that a change may touch. */
export type FileRow = {
  readonly kind: FileKind;
  readonly path: string;
  readonly step: Step;
  readonly owners: readonly string[];
  readonly mode: number;
  readonly create: boolean;
  readonly secret: boolean;
  /** Names of the profile's services that read it. */
  readonly services: readonly string[];
  /** Of a rendered file: its template, and who judges it. */
  readonly text?: string;
  readonly judge?: Judge;
};

const own = (kind: OwnKind, path: string, step: Step, mode: number, services: readonly string[] = []): FileRow => ({
  kind,
  path,
  step,
  owners: ['root'],
  mode,
  create: true,
  secret: kind === 'pair_key' && !path.endsWith('.pub'),
  services,
});

/** Every file that a change may touch on a server of this family, in the order in which it is written. */
export function managedFiles(profile: Profile, family: OsFamily): readonly FileRow[] {
  const firewall = profile.firewall[family];
  return [
    ...profile.files.map((row) => ({
      kind: row.kind,
      path: forFamily(row.path, family),
      step: row.step,
      owners: row.owners,
      mode: Number.parseInt(row.mode, 8),
      create: row.create,
      secret: row.kind === 'untouched',
      services: row.services,
      ...(row.text === undefined ? {} : { text: row.text }),
      ...(row.judge === undefined ? {} : { judge: row.judge }),
    })),
    ...(firewall.adapter === 'none' || firewall.path === undefined
      ? []
      : [
          {
            kind: firewall.adapter,
            path: firewall.path,
            step: 'change' as const,
            owners: ['root'],
            mode: 0o644,
            create: false,
            secret: false,
            services: ['firewall'],
          },
        ]),
    own('settings', paths.settings, 'link', 0o644),
    own('profile', `${paths.siteProfiles}/${profile.name}.yaml`, 'link', 0o644),
    own('pair_key', paths.pairKey, 'link', 0o600),
    own('pair_key', `${paths.pairKey}.pub`, 'link', 0o644),
    own('sshd_drop_in', paths.sshdDropIn, 'link', 0o600, ['sshd']),
    own('unit', paths.recoverUnit, 'link', 0o644),
    own('link', paths.link, 'link', 0o600),
    own('unit', paths.agentUnit, 'change', 0o644),
    own('pair', paths.pair, 'change', 0o600),
  ];
}
