import type { Host } from '../host/system.ts';
import { paths } from '../pair/state.ts';
import { type TransactionId, tagOf } from '../pair/tag.ts';

const unitOf = (id: TransactionId): string =>
  `cmsadm-way-back-${tagOf(id).slice('zdt_'.length).replace('_', '-')}-${id.endsWith('link') ? 'link' : 'change'}`;

/** Arms (again) the timer that puts an unconfirmed change back, whatever happens to this process. */
export const arm = (host: Host, id: TransactionId, seconds: number): Promise<void> =>
  host.system.arm(unitOf(id), seconds, [paths.command, 'recover', '--way-back', id]);

export const disarm = (host: Host, id: TransactionId): Promise<void> => host.system.disarm(unitOf(id));
