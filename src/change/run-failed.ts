import { CmsadmError, exitCodes } from '../errors.ts';
import { transactionId } from '../pair/tag.ts';
import type { Report } from '../report.ts';
import type { Change } from './change.ts';
import type { Server } from './server.ts';

/** One server of a transaction: how to call it, what it is to do. */
export type Side = { readonly name: string; readonly server: Server; readonly change: Change };

/** How a server stands after the attempt to put it back: for a person, and what he has to do there if anything. */
type Standing = { readonly told: readonly string[]; readonly toDo?: string };

/**
 * Puts the servers of a failed run back, tells how each of them stands, and makes of the first cause the error that ends
 * the run: exit 4 if all are as before, 5 if a person must look.
 * @param sides with `touched`: its commit was begun
 * @param seconds until the way back of a server that can't be reached fires at the latest
 * @returns the error; a bug as it is, its servers' standing in the report
 */
export async function putAllBack(
  sides: readonly { readonly side: Side; readonly touched: boolean }[],
  cause: unknown,
  seconds: number,
  report: Report,
): Promise<unknown> {
  const standings: Standing[] = [];
  for (const { side, touched } of sides) {
    const end = report.step(`Putting ${side.name} back`);
    const standing = await putOneBack(side, touched, seconds);
    end(standing.toDo === undefined ? 'done' : 'failed');
    standings.push(standing);
  }
  const told = standings.flatMap((standing) => standing.told);
  if (!(cause instanceof CmsadmError)) {
    // A bug: its stack matters more than anything; what was put back stands in the report.
    for (const line of told) report.warn(line);
    return cause;
  }
  const toDo = standings.flatMap((standing) => standing.toDo ?? []);
  const interrupted = cause.code === 'interrupted';
  const whole = interrupted ? exitCodes.interrupted : exitCodes.putBack;
  return new CmsadmError(cause.code, cause.message, {
    exitCode: toDo.length > 0 ? exitCodes.needsPerson : whole,
    details: [...cause.details, ...told],
    ...(cause.server === undefined ? {} : { server: cause.server }),
    ...(cause.file === undefined ? {} : { file: cause.file }),
    remedy:
      toDo.length > 0 ? toDo.join(' ') : (cause.remedy ?? (interrupted ? 'Run it again when you are ready.' : again)),
    cause,
  });
}

const again = 'Remove the cause and run the command again.';

async function putOneBack({ name, server, change }: Side, touched: boolean, seconds: number): Promise<Standing> {
  try {
    const { left, edited, leftToDo } = await server.putBack({
      id: transactionId(change.tag, change.step),
      by: 'operator',
    });
    return {
      told: [
        `${name}: as before.`,
        ...left.map((path) => `${name}: ${path} was edited meanwhile and is left as it is.`),
        ...edited.map((kept) => `${name}: an edit made meanwhile is kept in ${kept}.`),
        ...leftToDo.map((unit) => `${name}: ${unit} still runs with the configuration that was put back.`),
      ],
      // Its timer was faster, and restarts nothing that interrupts users.
      ...(leftToDo.length === 0 ? {} : { toDo: `Restart ${leftToDo.join(', ')} on ${name}.` }),
    };
  } catch (error) {
    return standingOf(name, error, touched, seconds);
  }
}

function standingOf(name: string, error: unknown, touched: boolean, seconds: number): Standing {
  const code = error instanceof CmsadmError ? error.code : '';
  if (code === 'transaction-unknown') return { told: [`${name}: nothing had been changed.`] };
  if (code === 'session-lost' && !touched)
    return { told: [`${name}: as before; what was prepared there is cleared away when its session ends.`] };
  if (code === 'session-lost')
    return {
      told: [
        `${name}: not known from here. It puts itself back when it sees that the session is gone (half a minute at most); if it can't, its timer does it within ${seconds} s, or its next boot.`,
      ],
      toDo: `Nothing has to be done at once; when ${name} can be reached, run \`cmsadm recover\` here: it settles both servers and says how they stand.`,
    };
  if (code === 'confirmed-already')
    return {
      told: [`${name}: as planned; it is confirmed there.`],
      toDo: `Run \`cmsadm recover\` on ${name}, then look at both with \`cmsadm config_HA show\`.`,
    };
  const problem = error instanceof CmsadmError ? [error.message, ...error.details].join(' ') : String(error);
  const remedy = error instanceof CmsadmError ? error.remedy : undefined;
  return {
    told: [`${name}: not as before yet. ${problem}`],
    toDo: remedy?.includes('cmsadm recover')
      ? `On ${name}: ${remedy}`
      : `${remedy ?? 'Remove the cause.'} Then run \`cmsadm recover\` on ${name}.`,
  };
}
