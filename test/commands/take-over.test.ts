// Who may become primary, and what must not be lost by it: activate, restore of a role, set up after a take-over.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { activate } from '../../src/commands/activate.ts';
import type { CommandContext } from '../../src/commands/context.ts';
import { disable } from '../../src/commands/disable.ts';
import { restore } from '../../src/commands/restore.ts';
import { reverse } from '../../src/commands/reverse.ts';
import { setUp } from '../../src/commands/setup.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { makeKeyPair } from '../../src/host/pair-key.ts';
import { paths, readPair } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, refusalOf, standing } from '../rehearsal/pair.ts';

const folder = tempFolder();
let newPair: NewPair;
let pattern: RehearsalPair;
beforeAll(async () => {
  newPair = await pairMaker(folder);
  pattern = newPair('set-up');
  await setUp(pattern.context(pattern.cms1), pattern.answers);
});

function paired(name: string): RehearsalPair & { one: CommandContext; two: CommandContext } {
  const pair = newPair(name, pattern);
  return { ...pair, one: pair.context(pair.cms1), two: pair.context(pair.cms2) };
}
const unreachable = (): Promise<never> => Promise.reject(new CmsadmError('unreachable', 'No connection.'));
/** The other server is there only while `isThere` says so. */
const cable = (context: CommandContext, isThere: () => boolean): CommandContext => {
  const { host } = context;
  const connect: typeof host.system.connect = (...to) => (isThere() ? host.system.connect(...to) : unreachable());
  return { ...context, host: { ...host, system: { ...host.system, connect } } };
};
/** On cms2, where the operator says y; the other server is there from the moment that he is asked. */
function backWhenAsked(pair: RehearsalPair): { context: CommandContext; isBack: () => boolean } {
  let isThere = false;
  const isBack = (): boolean => isThere;
  const ask = answering({ 'Proceed?': 'y' });
  const choose: typeof ask.choose = (...question) => {
    isThere = true;
    return ask.choose(...question);
  };
  return { context: cable(pair.context(pair.cms2, { yes: false, ask: { ...ask, choose } }), isBack), isBack };
}
const away = (context: CommandContext): CommandContext => cable(context, () => false);
const primaryOf = (root: string): string | undefined =>
  readPair({ prefix: root, ownersCount: false })?.primary.hostname;
const answers = { peer: 'cms1.example.com', reason: 'cms1 burnt down' };

describe('activate while the primary lives and refuses us', () => {
  test.each([
    {
      name: 'our key is no longer authorised there',
      spoil: ({ cms1 }: RehearsalPair) => writeFileSync(join(cms1, paths.authorizedKeys), ''),
    },
    {
      name: 'it shows another host key than the one of the link',
      spoil: ({ cms2 }: RehearsalPair) => {
        const link = readFileSync(join(cms2, paths.link), 'utf8');
        const other = makeKeyPair('other').publicKey.base64;
        writeFileSync(join(cms2, paths.link), link.replaceAll(/"base64": "[^"]*"/g, `"base64": "${other}"`));
      },
    },
    {
      name: 'our own private key is gone',
      spoil: ({ cms2 }: RehearsalPair) => renameSync(join(cms2, paths.pairKey), join(cms2, `${paths.pairKey}.away`)),
    },
  ])('is refused as uncertain where $name, and touches nothing', async ({ name, spoil }) => {
    const pair = paired(`uncertain-${name.replaceAll(/\W+/g, '-')}`);
    spoil(pair);
    const before = standing(pair);
    await expect(activate(pair.two, answers)).rejects.toMatchObject({
      code: 'primary-uncertain',
      exitCode: exitCodes.refused,
      server: 'cms1.example.com',
      remedy: expect.stringMatching(/power it off/),
    });
    expect(standing(pair)).toEqual(before);
  });
});

test('activate takes no server for away that refuses the connection: its sshd is just started anew', async () => {
  const pair = paired('refused');
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const { two } = pair;
  const connect = (): Promise<never> =>
    Promise.reject(new CmsadmError('unreachable', 'No connection.', { cause: refused }));
  const before = standing(pair);
  await expect(
    activate({ ...two, host: { ...two.host, system: { ...two.host.system, connect } } }, answers),
  ).rejects.toMatchObject({ code: 'primary-uncertain' });
  expect(standing(pair)).toEqual(before);
});

test('disable --alone looks again after the y, too', async () => {
  const pair = paired('alone-back-again');
  const { context, isBack } = backWhenAsked(pair);
  const before = standing(pair);
  const work = disable(context, { peer: 'cms1.example.com', alone: '' });
  await expect(work).rejects.toMatchObject({ code: 'peer-answers' });
  expect(isBack(), 'it was asked').toBe(true);
  expect(standing(pair)).toEqual(before);
});

test('activate looks again after the y: a primary that is back by then stays the only one', async () => {
  const pair = paired('back-again');
  const { context, isBack } = backWhenAsked(pair);
  const before = standing(pair);
  await expect(activate(context, answers)).rejects.toMatchObject({ code: 'primary-answers' });
  expect(isBack(), 'it was asked').toBe(true);
  expect(standing(pair)).toEqual(before);
});

test('a restore on this server alone never makes it the primary', async () => {
  const pair = paired('would-activate');
  const { result } = await reverse(pair.one);
  const before = standing(pair);
  await expect(restore(away(pair.one), { tag: String(result['tag']) })).rejects.toMatchObject({
    code: 'would-activate',
    exitCode: exitCodes.refused,
    remedy: expect.stringContaining('activate'),
  });
  expect(standing(pair)).toEqual(before);
});

test('restoring the tag of a reversal carries over first what was administered since', async () => {
  const pair = paired('restore-reversal');
  const { result } = await reverse(pair.one);
  writeFileSync(join(pair.cms2, 'cms/admin/splits'), 'split 9 administered on cms2\n');
  expect(await restore(pair.two, { tag: String(result['tag']) })).toMatchObject({ result: { outcome: 'done' } });
  expect([primaryOf(pair.cms1), primaryOf(pair.cms2)]).toEqual(['cms1', 'cms1']);
  expect(readFileSync(join(pair.cms1, 'cms/admin/splits'), 'utf8')).toBe('split 9 administered on cms2\n');
});

test('set up on the old primary does not overrule the server that took over meanwhile', async () => {
  const pair = paired('took-over');
  await activate(away(pair.two), answers);
  const before = standing(pair);
  const refused = await refusalOf(setUp(pair.one, {}));
  expect(refused).toMatchObject({
    code: 'preflight-failed',
    exitCode: exitCodes.refused,
    details: [expect.stringMatching(/cms2\.example\.com took over as primary at epoch 2/)],
  });
  expect(standing(pair)).toEqual(before);
  expect([primaryOf(pair.cms1), primaryOf(pair.cms2)]).toEqual(['cms1', 'cms2']);
});

test('a reversal whose session is lost while it is verified is done, and wants a person', async () => {
  const pair = paired('lost');
  const { host, report } = pair.one;
  const sockets = new Set<{ destroy(): unknown }>();
  const connect: typeof host.system.connect = async (...to) => {
    const socket = await host.system.connect(...to);
    sockets.add(socket);
    return socket;
  };
  const step: typeof report.step = (text) => {
    if (text.startsWith('Verifying')) for (const socket of sockets) socket.destroy();
    return report.step(text);
  };
  const cut = { ...pair.one, host: { ...host, system: { ...host.system, connect } }, report: { ...report, step } };
  await expect(reverse(cut)).rejects.toMatchObject({
    code: 'session-lost',
    exitCode: exitCodes.needsPerson,
    message: expect.stringMatching(/^The roles are reversed, but/),
  });
  expect([primaryOf(pair.cms1), primaryOf(pair.cms2)]).toEqual(['cms2', 'cms2']);
});
