/** One server of the pair as the configuration files name it. All values are checked before they come here. */
export type Server = { readonly address: string; readonly fqdn: string; readonly hostname: string };

/** A port that a server opens for the address `from`, the other server. */
export type PeerPort = { readonly port: number; readonly protocol: 'tcp' | 'udp'; readonly from: string };
