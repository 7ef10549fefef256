// What else happens while a large file is on its way: in its own data set, and in others.
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { callAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { loginThrough } from './faults.ts';
import { drained, startAgent, status } from './running-agents.ts';
import { placeOf, write } from './two-servers.ts';
import { bothSets, inOthers, textIn, unmountOthers, withOthers } from './two-sets.ts';
import { until } from './until.ts';

const MB = 1_048_576;

/** A login with which parts of files take their time until all is let go. */
function slowly(peer: Host) {
  let goOn: () => void = () => {};
  const letGo = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const seen = { parts: 0 };
  const login = loginThrough(peer, async (verb, call) => {
    const answer = call();
    if (verb !== 'agentPut') return answer;
    seen.parts += 1;
    await Promise.race([letGo, new Promise((resolve) => setTimeout(resolve, 500))]);
    return answer;
  });
  return { login, seen, goOn: () => goOn() };
}

/** Two agents in step; then a large file goes as slowly as the test wants. */
async function slowTransfer(path = 'large') {
  const { one, two } = withOthers(100);
  const { login, seen, goOn } = slowly(two);
  startAgent(two, one, bothSets);
  startAgent(one, two, bothSets, undefined, {}, login);
  await drained(one);
  write(one, path, Buffer.alloc(50 * MB, 'x'));
  await until(
    () => seen.parts,
    (count) => count > 0,
  );
  const isUnderWay = (): boolean => !fs.existsSync(placeOf(two, path));
  return { one, two, isUnderWay, goOn };
}

const isState = (host: Host, state: string): Promise<unknown> =>
  until(
    () => status(host),
    ({ sets }) => sets[1]?.state === state,
  );

describe('another data set', () => {
  it('that is held is told while that goes on', async () => {
    const { one, two, isUnderWay, goOn } = await slowTransfer();
    for (const name of fs.readdirSync(inOthers(one, ''))) fs.rmSync(inOthers(one, name));
    await isState(one, 'held');
    expect((await status(one)).state).toContain('others is held');
    expect(readAlarms(one.root).map(({ text }) => text)).toEqual([expect.stringContaining('others is held')]);
    expect(isUnderWay()).toBe(true);
    goOn();
    await until(isUnderWay, (is) => !is);
    expect(fs.readdirSync(inOthers(two, ''))).toHaveLength(100);
  });

  it('of which events were lost passes, as a whole', async () => {
    const { one, two, isUnderWay, goOn } = await slowTransfer();
    for (let round = 0; round < 70; round += 1)
      for (let name = 0; name < 100; name += 1) fs.writeFileSync(inOthers(one, `${name}`), `${round}`);
    fs.writeFileSync(inOthers(one, 'new'), 'text');
    await until(
      () => [textIn(inOthers(two, 'new')), textIn(inOthers(two, '99'))],
      (found) => found.join() === 'text,69',
    );
    expect(isUnderWay()).toBe(true);
    goOn();
    await drained(one);
    expect(await callAgent(two, 'syncConflicts')).toEqual([]);
  });

  it('whose disk is away is not sent what is written below its mount point', async () => {
    const { one, two, isUnderWay, goOn } = await slowTransfer();
    unmountOthers(one);
    await isState(one, 'held');
    fs.writeFileSync(inOthers(one, '7'), 'of the factory');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(isUnderWay()).toBe(true);
    expect(textIn(inOthers(two, '7'))).toBe('good');
    goOn();
    await until(isUnderWay, (is) => !is);
    expect(textIn(inOthers(two, '7'))).toBe('good');
  });

  it('whose disk was not there at the start is not sent before it was compared', async () => {
    const { one, two } = withOthers(100);
    startAgent(two, one, bothSets);
    const stop = startAgent(one, two, bothSets);
    await drained(one);
    await stop();
    unmountOthers(one);
    write(one, 'large', Buffer.alloc(12 * MB, 'x'));
    const { login, seen, goOn } = slowly(two);
    startAgent(one, two, bothSets, undefined, {}, login);
    await until(
      () => seen.parts,
      (count) => count > 1,
    );
    fs.writeFileSync(inOthers(one, '7'), 'of the factory');
    await new Promise((resolve) => setTimeout(resolve, 300));
    goOn();
    await isState(one, 'held');
    expect(textIn(inOthers(two, '7'))).toBe('good');
  });
});

describe('the folder of a large file', () => {
  it('is renamed there too when it was renamed meanwhile', async () => {
    const { one, two, isUnderWay, goOn } = await slowTransfer('app.new/large');
    fs.renameSync(placeOf(one, 'app.new'), placeOf(one, 'app'));
    await until(
      () => fs.existsSync(placeOf(two, 'app')),
      (is) => is,
    );
    goOn();
    await until(isUnderWay, (is) => !is);
    const names = (host: Host): string =>
      fs.readdirSync(placeOf(host, '').toString(), { recursive: true }).sort().join();
    await until(
      () => names(two),
      (found) => found === names(one),
    );
    expect(names(one)).toBe('app,app/large');
  });
});

describe('a further name of a large file', () => {
  it('is changed there too when it was changed meanwhile', async () => {
    const { one, two, isUnderWay, goOn } = await slowTransfer('x/large');
    fs.mkdirSync(placeOf(one, 'y'));
    fs.linkSync(placeOf(one, 'x/large'), placeOf(one, 'y/large'));
    const file = fs.openSync(placeOf(one, 'y/large'), 'r+');
    fs.writeSync(file, 'changed', 0);
    fs.closeSync(file);
    await until(isUnderWay, (is) => is);
    goOn();
    const start = (path: string): string => {
      if (!fs.existsSync(placeOf(two, path))) return '';
      const there = fs.openSync(placeOf(two, path), 'r');
      const begin = Buffer.alloc(7);
      fs.readSync(there, begin);
      fs.closeSync(there);
      return begin.toString();
    };
    await until(
      () => [start('x/large'), start('y/large')],
      (found) => found.join() === 'changed,changed',
    );
  });
});

it('another data set with a refused name does not hold up a large file with each of its changes', async () => {
  const { one, two } = withOthers(10);
  const { login, seen, goOn } = slowly(two);
  let compared = 0;
  const counting = async () => {
    const session = await login();
    const call: typeof session.call = (verb, args) => {
      if (verb === 'agentDigests') compared += 1;
      return session.call(verb, args);
    };
    return { ...session, call };
  };
  startAgent(two, one, bothSets);
  startAgent(one, two, bothSets, undefined, {}, counting);
  await drained(one);
  // A folder cannot take the place of what is no folder there, and no file.
  spawnSync('mkfifo', [inOthers(two, 'taken')]);
  fs.mkdirSync(inOthers(one, 'taken'));
  await isState(one, 'stopped');
  write(one, 'large', Buffer.alloc(12 * MB, 'x'));
  await until(
    () => seen.parts,
    (count) => count > 0,
  );
  const before = compared;
  for (let change = 0; change < 10; change += 1) {
    fs.writeFileSync(inOthers(one, '1'), `${change}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(fs.existsSync(placeOf(two, 'large'))).toBe(false);
  expect(compared).toBe(before);
  goOn();
  await until(
    () => textIn(inOthers(two, '1')),
    (text) => text === '9',
  );
});
