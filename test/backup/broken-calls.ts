import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const ofFiles = ['mkdirSync', 'rmSync', 'unlinkSync', 'linkSync', 'renameSync', 'writeFileSync', 'fsyncSync'] as const;
const ofProcesses = ['spawn'] as const;

/** How a call ends: refused by a full disk, or the process dies there and does nothing any more. */
export type How = 'refused' | 'killed';

/** Thrown where a real process would be gone. */
export class Killed extends Error {}

/**
 * Runs `work` and breaks its call number `at` (from 1) of those that change something outside the process.
 * @returns how many calls it made, and what it threw
 */
export async function breakingAt(
  at: number,
  how: How,
  work: () => Promise<unknown>,
): Promise<{ readonly calls: readonly string[]; readonly thrown: unknown }> {
  const calls: string[] = [];
  let within = false;
  const attend = (name: string): void => {
    calls.push(name);
    if (calls.length === at && how === 'refused')
      throw Object.assign(new Error(`ENOSPC: no space left on device, ${name}`), { code: 'ENOSPC', syscall: name });
    if (calls.length >= at && how === 'killed') throw new Killed(name);
  };
  const restore = [
    ...ofFiles.map((name) => wrap<typeof fs, typeof name>(fs, name, attend)),
    ...ofProcesses.map((name) => wrap<typeof childProcess, typeof name>(childProcess, name, attend)),
  ];
  syncBuiltinESMExports();
  try {
    await work();
    return { calls, thrown: undefined };
  } catch (thrown) {
    return { calls, thrown };
  } finally {
    for (const one of restore) one();
    syncBuiltinESMExports();
  }

  function wrap<Module, Name extends keyof Module & string>(
    module: Module,
    name: Name,
    before: (name: string) => void,
  ): () => void {
    const call = module[name];
    if (typeof call !== 'function') throw new Error(`${name} is no function`);
    const wrapped = (...args: readonly unknown[]): unknown => {
      // Some of them call others.
      if (within) return Reflect.apply(call, module, args);
      before(name);
      within = true;
      try {
        return Reflect.apply(call, module, args);
      } finally {
        within = false;
      }
    };
    Reflect.set(Object(module), name, wrapped);
    return () => void Reflect.set(Object(module), name, call);
  }
}
