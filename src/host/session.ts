import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import * as v from 'valibot';
import { CmsadmError, exitCodes, explained } from '../errors.ts';
import { programRoot } from '../program-root.ts';
import { PROTOCOL, protocolOf } from '../protocol.ts';
import { versionOf } from './program-version.ts';

/**
 * The first line of a session; whatever a log-in script printed before it is skipped. `protocol` is the oldest number
 * that is spoken there, `newest` the newest; version 1 said nothing but its only one.
 */
const greeting = v.object({
  cmsadm: v.literal('peer'),
  protocol: v.number(),
  newest: v.optional(v.number()),
  version: v.string(),
});
type Greeting = v.InferOutput<typeof greeting>;

const requestLine = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ id: v.number(), verb: v.string(), args: v.optional(v.unknown()) }),
);
const failure = v.object({
  code: v.string(),
  message: v.string(),
  remedy: v.optional(v.string()),
  exitCode: v.optional(v.picklist(Object.values(exitCodes))),
  server: v.optional(v.string()),
  file: v.optional(v.string()),
  details: v.optional(v.array(v.string())),
});
const response = v.object({ id: v.number(), result: v.optional(v.unknown()), error: v.optional(failure) });

// Node 24's readline ends lines at U+2028 and U+2029 too; JSON may hold them as they are.
const messageLine = (message: unknown): string =>
  `${JSON.stringify(message).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')}\n`;

/** The calling end is heard at least this often, and given up after this long without a word (milliseconds). */
const usualSilence = { ping: 5_000, most: 30_000 };

type Verb = (args: never) => Promise<unknown>;
const isVerb = (value: unknown): value is (args: unknown) => Promise<unknown> => typeof value === 'function';

function failureOf(thrown: unknown): v.InferOutput<typeof failure> {
  const error = explained(thrown);
  if (!(error instanceof CmsadmError))
    return { code: 'bug', message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  return {
    code: error.code,
    message: error.message,
    exitCode: error.exitCode,
    details: [...error.details],
    ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
    ...(error.server === undefined ? {} : { server: error.server }),
    ...(error.file === undefined ? {} : { file: error.file }),
  };
}

/**
 * Serves fixed verbs as JSON lines, one request at a time, until the other end closes or falls silent: the connection to
 * a server that lost its power stays open for hours.
 * @param most milliseconds without a word after which the other end counts as gone
 * @param ours the newest protocol spoken here; the one before is spoken too
 */
export async function serveSession(
  input: Readable,
  output: Writable,
  verbs: Readonly<Record<string, Verb>>,
  version: string,
  most = usualSilence.most,
  ours = PROTOCOL,
): Promise<void> {
  const say = (message: unknown): void => void output.write(messageLine(message));
  output.on('error', () => input.destroy()); // the other end is gone; the loop below ends
  say({ cmsadm: 'peer', protocol: Math.max(1, ours - 1), newest: ours, version });
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  // A destroyed socket closes without an end.
  input.once('close', () => lines.close());
  const giveUp = (): NodeJS.Timeout => setTimeout(() => lines.close(), most);
  let silence = giveUp();
  let isWaiting = true;
  // A part of a line is a word too: a long one takes its time on a slow line.
  const heard = (): void => {
    if (!isWaiting) return;
    clearTimeout(silence);
    silence = giveUp();
  };
  input.on('data', heard);
  try {
    for await (const line of lines) {
      // What comes while a verb is at work waits unread; that is no silence.
      isWaiting = false;
      clearTimeout(silence);
      if (line.trim() === '') {
        isWaiting = true;
        silence = giveUp();
        continue;
      }
      const parsed = v.safeParse(requestLine, line);
      // The other end was cut off in the middle of a line.
      if (!parsed.success) break;
      const asked = parsed.output;
      const known = Object.hasOwn(verbs, asked.verb) && protocolOf(asked.verb) <= ours;
      const verb = known ? verbs[asked.verb] : undefined;
      try {
        if (!isVerb(verb)) throw new CmsadmError('verb-unknown', `There is no verb "${asked.verb}".`);
        say({ id: asked.id, result: (await verb(asked.args)) ?? null });
      } catch (error) {
        say({ id: asked.id, error: failureOf(error) });
      }
      isWaiting = true;
      silence = giveUp();
    }
  } catch (cause) {
    // ECONNRESET: the other end went and left words of ours unread.
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
  }
  input.off('data', heard);
  clearTimeout(silence);
}

/** The calling end of a session. */
export type Session = {
  readonly greeting: Greeting;
  /** What both ends understand: the lower of their newest protocols. */
  readonly protocol: number;
  /**
   * @throws the CmsadmError of the other server, with its name; `session-lost` when it went away; `verb-too-new` for what
   * an older program there does not know
   */
  call(verb: string, args?: unknown): Promise<unknown>;
  close(): void;
  /** Resolves when the other end is gone. */
  readonly closed: Promise<void>;
};

/**
 * Opens a session over a stream pair.
 * @param server name for errors
 * @param ours the newest protocol spoken here; the one before is spoken too
 * @param patience seconds to wait for the greeting
 * @throws CmsadmError no-greeting, protocol-refused
 */
export async function openSession(
  input: Readable,
  output: Writable,
  server: string,
  end: () => void,
  ours = PROTOCOL,
  patience = 20,
): Promise<Session> {
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  const noise: string[] = [];
  let greet: ((value: Greeting) => void) | undefined;
  let lost: (() => void) | undefined;
  let gone = false;
  let pings: NodeJS.Timeout | undefined;
  let next = 1;

  const closed = new Promise<void>((resolve) => {
    lost = resolve;
  });
  const sessionLost = (): CmsadmError =>
    new CmsadmError('session-lost', `The session with ${server} was lost.`, {
      server,
      remedy: 'Check the network and the server, then run `cmsadm recover`.',
    });

  lines.on('line', (line) => {
    const value = parseLine(line);
    if (greet) {
      const first = v.safeParse(greeting, value);
      if (!first.success) noise.push(line);
      else greet(first.output);
      return;
    }
    const answered = v.safeParse(response, value);
    if (!answered.success) return;
    const asked = waiting.get(answered.output.id);
    waiting.delete(answered.output.id);
    const failed = answered.output.error;
    if (!failed) asked?.resolve(answered.output.result);
    else asked?.reject(errorFrom(failed, server));
  });
  lines.on('close', () => {
    gone = true;
    clearInterval(pings);
    for (const { reject } of waiting.values()) reject(sessionLost());
    waiting.clear();
    lost?.();
  });
  output.on('error', () => lines.close()); // a broken pipe is the same as a closed one
  lines.on('error', () => lines.close()); // readline hands on what its input ends with
  input.once('close', () => lines.close()); // a destroyed socket closes without an end

  const first = await new Promise<Greeting>((resolve, reject) => {
    const fail = (why: string): void =>
      reject(
        new CmsadmError('no-greeting', `cmsadm on ${server} did not greet: ${why}.`, {
          server,
          details: noise.slice(-5).map((line) => line.slice(0, 200)),
          remedy: `Log in to ${server} and run \`cmsadm --version\` there.`,
        }),
      );
    const timer = setTimeout(() => fail(`no answer within ${patience} s`), patience * 1000);
    greet = (value) => {
      clearTimeout(timer);
      greet = undefined;
      resolve(value);
    };
    void closed.then(() => {
      clearTimeout(timer);
      if (greet) fail('the connection closed');
    });
  });
  const theirs = first.newest ?? first.protocol;
  const protocol = Math.min(ours, theirs);
  if (protocol < first.protocol || protocol < ours - 1) {
    end();
    throw new CmsadmError(
      'protocol-refused',
      `${server} runs cmsadm ${first.version}, which speaks protocol ${theirs}; ${ourVersion()} here speaks ${ours}. One step between the two is bridged, not more.`,
      {
        server,
        remedy: 'Install the same version of cmsadm on both servers: unpack its HA package and run ./install.',
      },
    );
  }
  const call = (verb: string, args?: unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      if (gone) return reject(sessionLost());
      if (protocolOf(verb) > protocol) return reject(verbTooNew(verb, server, first, protocol));
      const id = next++;
      waiting.set(id, { resolve, reject });
      output.write(messageLine({ id, verb, args }));
    });
  // Only a sign of life: that the session is lost, the calls tell.
  if (!gone) pings = setInterval(() => void call('ping').catch(() => undefined), usualSilence.ping).unref();
  return {
    greeting: first,
    protocol,
    closed,
    close: () => {
      clearInterval(pings);
      end();
    },
    call,
  };
}

const ourVersion = (): string => `cmsadm ${versionOf(programRoot)}`;

const verbTooNew = (verb: string, server: string, { version }: Greeting, protocol: number): CmsadmError =>
  new CmsadmError(
    'verb-too-new',
    `${server} runs cmsadm ${version}, which does not know "${verb}" (protocol ${protocol}); ${ourVersion()} here does (protocol ${protocolOf(verb)}).`,
    {
      server,
      remedy:
        protocol < 2
          ? // What brings it to another version is itself one of the things that it lacks.
            `Install this version there too: unpack its HA package on ${server}, run ./install, then \`systemctl restart cmsadm-agent\`.`
          : 'Bring both servers to the newer version: cmsadm config_HA upgrade.',
    },
  );

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // noise of a log-in script
  }
}

function errorFrom(failed: v.InferOutput<typeof failure>, server: string): Error {
  if (failed.code === 'bug') return new Error(`on ${server}: ${failed.message}`);
  return new CmsadmError(failed.code, failed.message, {
    server: failed.server ?? server,
    ...(failed.remedy === undefined ? {} : { remedy: failed.remedy }),
    ...(failed.file === undefined ? {} : { file: failed.file }),
    ...(failed.exitCode === undefined ? {} : { exitCode: failed.exitCode }),
    details: failed.details ?? [],
  });
}
