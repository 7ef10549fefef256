import { readFileSync } from 'node:fs';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, expect, onTestFailed } from 'vitest';
import { enter, guestEnvironment } from '../../lab/guest.ts';
import { addresses, down, exec, readFile, up, writeFile } from '../../lab/lab.ts';
import { guestOf } from '../../lab/lifecycle.ts';
import { installProduct, labPackages } from '../../lab/product.ts';
import type { RunResult } from '../../lab/run.ts';
import { passwords, type ServerName, type Variant } from '../../lab/servers.ts';
import { fingerprint } from '../../src/host/ssh-client.ts';
import { parsePublicKey } from '../../src/pair/facts.ts';

export const pair = ['cms1', 'cms2'] as const;
export type Server = (typeof pair)[number];

export const { cms1, cms2, probe } = addresses();

/** A fresh lab with the product on cms1, for a whole test file; it is taken down at the end. */
export function useFreshLab(
  options: { readonly variant?: Variant; readonly confirmSeconds?: number; readonly diskMb?: number } = {},
): void {
  const { variant, diskMb } = options;
  beforeAll(async () => {
    await down();
    await up({ ...(variant === undefined ? {} : { variant }), ...(diskMb === undefined ? {} : { diskMb }) });
    await installProduct('cms1', options);
    await writeFile('cms1', '/root/peer-password', `${passwords.root}\n`, { mode: 0o600 });
  }, 300_000);
  afterAll(down);
}

/** The tests of a journey build on each other: after the first failure the rest is skipped, not failed one by one. */
export function stopAtFirstFailure(): void {
  let broken = false;
  beforeEach((context) => {
    context.skip(broken, 'an earlier step failed');
    onTestFailed(() => {
      broken = true;
    });
  });
}

/** A command that may fail. */
export const attempt = (server: Server, ...argv: string[]): Promise<RunResult> => exec(server, argv, { reject: false });

/** The output of a shell script inside a server. Throws when it fails. */
export const sh = async (server: Server, script: string): Promise<string> =>
  (await exec(server, ['sh', '-c', script])).stdout;

export const cmsadm = (server: Server, ...args: string[]): Promise<RunResult> => attempt(server, 'cmsadm', ...args);

/** Everything that a command said: for the message of an assertion. */
export const told = ({ exitCode, stdout, stderr }: RunResult): string => `exit code ${exitCode}\n${stderr}\n${stdout}`;

/** Runs config_HA with --json and --yes, expects this exit code, and returns the object that it printed. */
export async function configHa(server: Server, args: readonly string[], exitCode = 0): Promise<unknown> {
  const result = await cmsadm(server, 'config_HA', ...args, '--json', '--yes');
  expect(result.exitCode, told(result)).toBe(exitCode);
  return JSON.parse(result.stdout);
}

/** The object that a command printed with --json; an unreadable one becomes an error with all that was said. */
export function objectOf(result: RunResult): unknown {
  try {
    return JSON.parse(result.stdout);
  } catch {
    throw new Error(`No JSON object on standard output: ${told(result)}`);
  }
}

/** A server's host key as an operator reads it at its console. */
export async function fingerprintOf(server: Server): Promise<string> {
  const key = parsePublicKey((await readFile(server, '/etc/ssh/ssh_host_ed25519_key.pub')).toString());
  if (key === undefined) throw new Error(`${server} has no host key`);
  return fingerprint(key);
}

export type Flags = Readonly<Record<string, string | undefined>>;

/** What set up asks for, as flags by name; undefined leaves one out. */
export async function rightAnswers(): Promise<Flags> {
  return {
    'ntp-server': 'none',
    'secondary-ip': cms2.address,
    'secondary-fqdn': cms2.fqdn,
    'licence-package': labPackages.licence,
    'ha-package': labPackages.haPackage,
    'peer-user': 'root',
    'peer-password-file': '/root/peer-password',
    'peer-fingerprint': await fingerprintOf('cms2'),
  };
}

export const argsOf = (flags: Flags): string[] =>
  Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`]));

/** Sets the pair up by flags, from cms1. @returns the tag of the change */
export async function setUp(more: Flags = {}): Promise<string> {
  const done = await configHa('cms1', ['setup', ...argsOf({ ...(await rightAnswers()), ...more })]);
  expect(done).toMatchObject({ outcome: 'done', tag: expect.stringMatching(/^zdt_\d+_\d+$/) });
  return /"tag":"(zdt_\d+_\d+)"/.exec(JSON.stringify(done))?.[1] ?? '';
}

/** A shell script that the operator's guide shows, found by a text in it, without its indent. */
export function guideScript(containing: string): string {
  const guide = readFileSync(new URL('../../docs/guide.md', import.meta.url), 'utf8');
  const blocks = [...guide.matchAll(/^ {4}#!\/bin\/sh\n(?:(?: {4}.*)?\n)*/gm)].map(([block]) => block);
  const found = blocks.find((block) => block.includes(containing));
  if (found === undefined) throw new Error(`docs/guide.md shows no script with "${containing}"`);
  return found.replaceAll(/^ {4}/gm, '');
}

/** A command inside a server that goes on while the test does something else to it. */
export function start(server: ServerName, argv: readonly string[]) {
  const [file, ...args] = enter(guestOf(server), argv);
  const running = execa(file, args, {
    all: true,
    reject: false,
    extendEnv: false,
    env: guestEnvironment,
    stdin: 'ignore',
    timeout: 200_000,
  });
  let said = '';
  let isEnded = false;
  void running.then(() => {
    isEnded = true;
  });
  running.all.on('data', (data: Buffer) => {
    said += data.toString();
  });
  return {
    said: () => said,
    /** Waits until it has said this, looking every few milliseconds. */
    says: async (text: string) => {
      const end = Date.now() + 60_000;
      while (!said.includes(text)) {
        if (isEnded || Date.now() > end) throw new Error(`It did not say "${text}", but: ${said}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    ended: async (): Promise<RunResult> => {
      const { exitCode } = await running;
      return { exitCode: exitCode ?? -1, stdout: said, stderr: '' };
    },
  };
}

/** The process that holds the lock of a server: the one that changes the pair. */
export const lockHolder = async (server: Server): Promise<string> =>
  (await sh(server, 'sed -n "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/p" /run/cmsadm/lock')).trim();
