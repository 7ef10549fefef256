import { CmsadmError, exitCodes } from '../errors.ts';
import type { UnitState } from '../host/system.ts';
import { familyOf } from '../pair/facts.ts';
import { forFamily, type OsFamily, type Profile } from '../profile/schema.ts';
import { during } from '../report.ts';
import { refuseIfOther } from './basis.ts';
import {
  type CommandContext,
  type CommandOutcome,
  confirmed,
  declined,
  type Given,
  requireSomebody,
  settleAnswers,
  usage,
} from './context.ts';
import { lockedHere } from './locked-here.ts';
import { onlyThis, serversThere } from './pair-of-servers.ts';
import { serviceParameters } from './parameters.ts';
import { resultOf } from './run-plan.ts';
import {
  bothOff,
  type OtherServer,
  type ProductServices,
  type ServiceAction,
  type ServiceCommand,
  type ServiceState,
  type ServiceSteps,
  serviceActions,
  serviceSteps,
} from './service-steps.ts';
import { controlServices, longest, refuseIfNotSo } from './service-work.ts';
import { settleFirst } from './settle-first.ts';

type Units = Readonly<Record<string, UnitState>>;

/**
 * Turns the database and the application on or off on this server: shows how they stand here and on the other server,
 * asks, and waits until systemd has done it.
 * @throws CmsadmError no-such-service, application-on, service-changing, both-off, service-failed, those of settleFirst
 */
export async function turnServices(
  context: CommandContext,
  command: ServiceCommand,
  given: Given,
): Promise<CommandOutcome> {
  requireSomebody(context);
  await settleFirst(context);
  const own = await ownServices(context);
  const other = await otherServer(context);
  tellState(context, own, other);
  const action = await settleAction(context, command, given, own);
  if (action === 'q') return declined(context, command);
  const steps = serviceSteps(command, action, own);
  const facts = { action, verb: steps.verb, units: steps.services.map(({ unit }) => unit) };
  const told = (services: ProductServices) => ({ ...facts, services: Object.values(services), other: other ?? null });
  const what = `${command} ${action}`;
  if (steps.services.length === 0) {
    context.report.line(`Nothing is to be done: ${standsSo(command, action, own)}.`);
    return {
      exitCode: exitCodes.done,
      summary: `${what}: nothing to do`,
      result: { outcome: 'nothing', ...told(own) },
    };
  }
  const warnings = bothOff(steps, other);
  for (const line of planLines(steps)) context.report.line(line);
  for (const text of warnings) context.report.warn(text);
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: `${what}: dry run, changes pending`,
      result: { outcome: 'pending', ...told(own), warnings },
    };
  if (context.yes && warnings.length > 0 && given[serviceParameters.bothOff.name] === undefined)
    throw new CmsadmError('both-off', warnings[0] ?? '', {
      details: warnings.slice(1),
      remedy: `If that is meant, give --${serviceParameters.bothOff.name} with --yes.`,
    });
  if (!(await confirmed(context))) return declined(context, what);
  const planned = (now: ServiceSteps, then: readonly string[]): string =>
    JSON.stringify([now.services.map(({ unit }) => unit), then]);
  const read = async (): Promise<string> => {
    const now = serviceSteps(command, action, await ownServices(context));
    return planned(now, bothOff(now, await otherServer(context)));
  };
  await lockedHere(context, what, async () => {
    await refuseIfOther({ seen: planned(steps, warnings), read }, what);
    await controlServices(context, steps);
  });
  const after = await ownServices(context);
  refuseIfNotSo(steps, after);
  const verified = steps.services.map(({ label }) => `${label} is ${steps.verb === 'start' ? 'on' : 'off'}`);
  context.report.show({
    kind: 'result',
    title: `Done: ${verified.join(', ')}.`,
    servers: [{ ...resultOf(await nameOf(context), undefined, [], verified), services: facts.units }],
    notes: [],
  });
  return {
    exitCode: exitCodes.done,
    summary: `${what}: done`,
    result: { outcome: 'done', ...told(after), warnings },
  };
}

/** The two services as the units of one server stand. @throws CmsadmError no-such-service */
function servicesOf(profile: Profile, family: OsFamily, units: Units): ProductServices {
  const stateOf = (name: 'database' | 'application'): ServiceState => {
    const service = profile.services[name];
    const unit = service && forFamily(service.unit, family);
    const found = unit === undefined ? undefined : units[unit];
    if (!service || unit === undefined || !found?.exists)
      throw new CmsadmError('no-such-service', `There is no service ${unit ?? name}.`, {
        remedy: unit
          ? `Install the product, or correct services.${name}.unit in the profile.`
          : `The profile "${profile.name}" has to name it: services.${name}.`,
      });
    const state = found.active ? 'on' : (found.changing ?? (found.failed === true ? 'failed' : 'off'));
    return { name, label: service.label, unit, state, seconds: service.seconds };
  };
  return { database: stateOf('database'), application: stateOf('application') };
}

/** @throws CmsadmError no-such-service */
async function ownServices({ host, profile }: CommandContext): Promise<ProductServices> {
  const family = familyOf(host);
  const names = ['database', 'application'].flatMap((name) => {
    const service = profile.services[name];
    return service ? [forFamily(service.unit, family)] : [];
  });
  return servicesOf(profile, family, await host.system.units(names));
}

/** How the other server of a pair stands, asked over the pair's own key; undefined on a single server. */
async function otherServer(context: CommandContext): Promise<OtherServer | undefined> {
  const { link, peer, away } = await during(context.report, 'Asking how the services stand', () =>
    serversThere(context),
  );
  if (!link) return undefined;
  const { fqdn: name } = link.peer;
  if (!peer) return { name, away: away?.message ?? 'it does not answer' };
  try {
    const { family, units } = await peer.server.facts({ address: link.self.address, fqdn: link.self.fqdn });
    return { name, services: servicesOf(context.profile, family, units) };
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return { name, away: error.message };
  } finally {
    peer.session.close();
  }
}

function tellState({ report }: CommandContext, own: ProductServices, other: OtherServer | undefined): void {
  const tell = (services: ProductServices): string =>
    Object.values(services)
      .map(({ label, unit, state }) => `${label} (${unit}) is ${state === 'failed' ? 'off: it failed' : state}`)
      .join(', ');
  report.line(`This server: ${tell(own)}.`);
  if (other && 'away' in other) report.warn(`${other.name} can't be asked how its services stand: ${other.away}`);
  else if (other) report.line(`${other.name}: ${tell(other.services)}.`);
}

async function settleAction(
  context: CommandContext,
  command: ServiceCommand,
  given: Given,
  own: ProductServices,
): Promise<ServiceAction | 'q'> {
  const actions = serviceActions[command];
  const check = (typed: string): string => {
    const text = typed.trim();
    if (text === 'q' && context.ask) return text;
    const action = actions.find((one, index) => text === one || text === String(index + 1));
    if (action === undefined)
      throw usage(
        text === '' ? 'Nothing says what is to be done.' : `${JSON.stringify(text)} is no choice.`,
        `Type 1 to ${actions.length} (${actions.join(', ')}), or q to leave.`,
      );
    // What is refused is refused at its question, where another choice can be made.
    serviceSteps(command, action, own);
    return action;
  };
  const parameter = command === 'run_ids' ? serviceParameters.idsAction : serviceParameters.cmsAction;
  const { action = '' } = await settleAnswers([{ parameter, check }], given, context);
  return action === 'q' ? action : (actions.find((one) => one === action) ?? 'q');
}

function standsSo(command: ServiceCommand, action: ServiceAction, { database, application }: ProductServices): string {
  if (action === 'on') return `${command === 'run_ids' ? database.label : application.label} is on already`;
  if (action === 'all-off') return `${application.label} and ${database.label} are off already`;
  return `${command === 'run_ids' ? database.label : application.label} is off already`;
}

const planLines = (steps: ServiceSteps): string[] => [
  ...steps.services.map(
    ({ label, unit }) => `  ${steps.verb === 'start' ? 'Turn on' : 'Turn off'}  ${label} (${unit})`,
  ),
  `It takes at most ${longest(steps)} s.`,
];

const nameOf = async (context: CommandContext): Promise<string> =>
  (await onlyThis(context)).servers[0]?.name ?? 'this server';
