/** Where the backups of this server keep what they know. */
export const places = {
  /** One JSON file per backup, and the snapshots of full maintenance backups. */
  catalogue: '/var/lib/cmsadm/backups',
  /** Gone when the backup or restore that uses it has ended. */
  scratch: '/var/lib/cmsadm/backups/.work',
  /** Held while a backup or the restore of one runs. */
  lock: '/run/cmsadm/backup',
  /** What a backup or restore has begun that its death would leave; a power cut leaves this as well. */
  begun: '/var/lib/cmsadm/backups/.begun',
  nologin: '/run/nologin',
  /** Second name of the nologin that is ours. */
  ownNologin: '/run/cmsadm/nologin',
} as const;

/** Beginnings of paths that no backup saves: backups in the folder that it goes to, and what is only there meanwhile. */
export const neverSaved = ({ kind, path }: { readonly kind: 'folder' | 'device'; readonly path: string }): string[] => [
  places.scratch,
  places.begun,
  ...(kind === 'device'
    ? [path]
    : ['CMSADM-', 'CMSMNT-', '.CMSADM-', '.CMSMNT-'].map((name) => `${path === '/' ? '' : path}/${name}`)),
];
