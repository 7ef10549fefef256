/** The lab's servers and names: data that everything else in the lab goes by. */
export const serverNames = ['cms1', 'cms2', 'probe'] as const;
export type ServerName = (typeof serverNames)[number];

/** `no-root`: the sshd of cms2 refuses root, one gets in as `operator` and by sudo. */
export const variants = ['default', 'no-root'] as const;
export type Variant = (typeof variants)[number];

export type LabServer = {
  readonly name: ServerName;
  readonly address: string;
  readonly fqdn: string;
  /** `cms` servers carry the product's stand-ins; the `client` is also time server and witness. */
  readonly kind: 'cms' | 'client';
};

export const labServers: Readonly<Record<ServerName, LabServer>> = {
  cms1: { name: 'cms1', address: '10.77.0.11', fqdn: 'cms1.lab.example', kind: 'cms' },
  cms2: { name: 'cms2', address: '10.77.0.12', fqdn: 'cms2.lab.example', kind: 'cms' },
  probe: { name: 'probe', address: '10.77.0.20', fqdn: 'probe.lab.example', kind: 'client' },
};

/** This machine's end of the lab's network. Nothing of the lab is routed beyond it. */
export const bridge = { name: 'cmslab0', address: '10.77.0.1', prefix: 24, subnet: '10.77.0.0/24' } as const;

/** Lab-only passwords: these servers exist on this machine's own bridge and nowhere else. */
export const passwords = { root: 'lab-root', operator: 'lab-operator' } as const;

/** True for the name of a lab server. */
export function isServerName(text: string): text is ServerName {
  return serverNames.some((name) => name === text);
}
