import { CmsadmError } from '../errors.ts';

/** One of the product's services on one server. */
export type ServiceState = {
  /** Its name in the profile: `database`, `application`. */
  readonly name: string;
  readonly label: string;
  readonly unit: string;
  readonly state: 'on' | 'off' | 'failed' | 'starting' | 'stopping';
  /** Longest time until it is up or down. */
  readonly seconds: number;
};

/** The services that run_ids and run_cms turn on and off. */
export type ProductServices = { readonly database: ServiceState; readonly application: ServiceState };

/** What one choice does: the units of one verb, in the order in which they come up or go down. */
export type ServiceSteps = { readonly verb: 'start' | 'stop'; readonly services: readonly ServiceState[] };

export type ServiceAction = 'on' | 'off' | 'all-off';

/** The choices of each command, as its list numbers them. */
export const serviceActions = {
  run_ids: ['on', 'off'],
  run_cms: ['on', 'off', 'all-off'],
} as const satisfies Record<string, readonly ServiceAction[]>;
export type ServiceCommand = keyof typeof serviceActions;

/**
 * What is to be done so that the services stand as chosen; nothing where they stand so. What is just starting can be
 * turned off: one that fails and is tried again never ends by itself.
 * @throws CmsadmError application-on for a database that the application stands on; service-changing
 */
export function serviceSteps(
  command: ServiceCommand,
  action: ServiceAction,
  { database, application }: ProductServices,
): ServiceSteps {
  const verb = action === 'on' ? 'start' : 'stop';
  if (command === 'run_ids' && verb === 'stop') {
    if (application.state === 'on')
      throw new CmsadmError('application-on', `${application.label} is on, and stands on ${database.label}.`, {
        remedy: `Turn both off: cmsadm run_cms --action all-off. Or ${application.label} first: cmsadm run_cms --action off.`,
      });
    if (!isDown(application)) throw changing(application, `, and stands on ${database.label}`);
  }
  const both = verb === 'start' ? [database, application] : [application, database];
  const concerned = command === 'run_ids' ? [database] : action === 'off' ? [application] : both;
  const onItsWay = concerned.find(({ state }) => state === 'stopping' || (state === 'starting' && verb === 'start'));
  if (onItsWay) throw changing(onItsWay);
  return { verb, services: concerned.filter((service) => isDown(service) === (verb === 'start')) };
}

/** Neither up nor on its way: nothing stands on it. */
export const isDown = ({ state }: ServiceState): boolean => state === 'off' || state === 'failed';

function changing({ name, label, unit, state }: ServiceState, why = ''): CmsadmError {
  const off = name === 'database' ? 'run_ids --action off' : 'run_cms --action off';
  return new CmsadmError('service-changing', `${label} is just ${state}${why}.`, {
    remedy: `Wait, and look with: systemctl status ${unit}.${state === 'starting' ? ` It can be turned off: cmsadm ${off}.` : ''}`,
  });
}

/** What the other server says of the same services, or why it can't be asked. */
export type OtherServer = { readonly name: string } & (
  | { readonly services: ProductServices }
  | { readonly away: string }
);

/** Why a stop would leave the pair without a service, or may: one sentence for each; nothing for a start. */
export function bothOff({ verb, services }: ServiceSteps, other: OtherServer | undefined): string[] {
  if (verb === 'start' || !other) return [];
  if ('away' in other)
    return services.length === 0
      ? []
      : [`${other.name} can't be asked: nobody knows whether ${labelsOf(services)} would be on anywhere.`];
  const theirs = Object.values(other.services);
  return services.flatMap(({ name, label }) => {
    const there = theirs.find((one) => one.name === name);
    if (!there || there.state === 'on') return [];
    return isDown(there)
      ? [`${label} is off on ${other.name} too: it would be off on both servers.`]
      : [`${label} is just ${there.state} on ${other.name}: it may be off on both servers.`];
  });
}

export const labelsOf = (services: readonly ServiceState[]): string => services.map(({ label }) => label).join(' and ');
