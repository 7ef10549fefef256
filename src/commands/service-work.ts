import { afterTheDecision, CmsadmError, exitCodes } from '../errors.ts';
import { during } from '../report.ts';
import type { CommandContext } from './context.ts';
import { isDown, labelsOf, type ProductServices, type ServiceSteps } from './service-steps.ts';

/** Seconds that the services may take, all together. */
export const longest = ({ services }: ServiceSteps): number => services.reduce((sum, { seconds }) => sum + seconds, 0);

/**
 * One call for all units: systemd keeps their order, and goes on with it whatever happens to this program. Ctrl-C takes
 * it back.
 * @throws CmsadmError service-failed, interrupted
 */
export async function controlServices(context: CommandContext, steps: ServiceSteps): Promise<void> {
  const { host, report, stop } = context;
  const { verb, services } = steps;
  const units = services.map(({ unit }) => unit);
  const seconds = longest(steps);
  const failed = services.filter(({ state }) => state === 'failed').map(({ unit }) => unit);
  await host.system.control('reset-failed', failed);
  const text = `Turning ${verb === 'start' ? 'on' : 'off'} ${labelsOf(services)}`;
  const isInterrupted = await afterTheDecision('Not everything was done', () =>
    during(report, text, async () => {
      const watched = watch(context, text, units, seconds);
      const work = host.system.control(verb, units, seconds);
      try {
        return await Promise.race([work.then(() => false), watched.interrupted]);
      } catch (error) {
        // Ctrl-C reaches systemctl as well.
        if (stop.requested) return true;
        throw error;
      } finally {
        watched.end();
        work.catch(() => undefined);
      }
    }),
  );
  if (!isInterrupted) return;
  const back = verb === 'start' ? 'stop' : 'start';
  await afterTheDecision('Interrupted, and not all could be taken back', () =>
    during(report, 'Taking it back', async () => {
      await host.system.control(back, units, seconds);
      // A start that was ended half-way is no failure of the unit.
      const states = await host.system.units(units);
      await host.system.control(
        'reset-failed',
        units.filter((unit) => states[unit]?.failed === true),
      );
    }),
  );
  throw new CmsadmError('interrupted', `Interrupted; ${labelsOf(services)} as before.`, {
    exitCode: exitCodes.putBack,
    remedy: 'Run it again when you are ready.',
  });
}

/** Tells how far it is, and ends with true once somebody interrupts. */
function watch(
  { host, report, stop }: CommandContext,
  text: string,
  units: readonly string[],
  seconds: number,
): { readonly interrupted: Promise<true>; readonly end: () => void } {
  const began = host.system.elapsed();
  let timer: NodeJS.Timeout | undefined;
  const interrupted = new Promise<true>((resolve) => {
    timer = setInterval(() => {
      if (stop.requested) return resolve(true);
      void host.system
        .units(units)
        .then((states) => {
          const up = units.filter((unit) => states[unit]?.active === true).length;
          const passed = Math.round((host.system.elapsed() - began) / 1000);
          if (timer !== undefined) report.progress(`${text}: ${up} of ${units.length} up, ${passed} s of ${seconds} s`);
        })
        .catch(() => undefined);
    }, 500);
  });
  const end = (): void => {
    clearInterval(timer);
    timer = undefined;
  };
  return { interrupted, end };
}

/** @throws CmsadmError service-failed where systemd ended well and a unit does not stand so */
export function refuseIfNotSo({ verb, services }: ServiceSteps, after: ProductServices): void {
  const wrong = services.filter(({ name }) => {
    const now = Object.values(after).find((one) => one.name === name);
    return !now || (verb === 'start' ? now.state !== 'on' : !isDown(now));
  });
  if (wrong.length === 0) return;
  throw new CmsadmError('service-failed', `${labelsOf(wrong)} did not stay ${verb === 'start' ? 'on' : 'off'}.`, {
    exitCode: exitCodes.needsPerson,
    remedy: `See \`systemctl status ${wrong.map(({ unit }) => unit).join(' ')}\` there.`,
  });
}
