import { createHash } from 'node:crypto';

/** Numbers that look random and are the same for the same key, on every machine. */
export type Random = {
  /** From 0 (included) to 1 (excluded). */
  share(): number;
  /** A whole number from `least` to `most`, both included. */
  whole(least: number, most: number): number;
  pick<T>(list: readonly [T, ...T[]]): T;
  /** One of the names, as often as its weight says. */
  weighted<T extends string>(weights: Readonly<Record<T, number>>, names: readonly [T, ...T[]]): T;
  shuffled<T>(list: readonly T[]): T[];
};

/** A generator for one key: mulberry32, begun with the key's SHA-256. */
export function randomFor(key: string): Random {
  let state = createHash('sha256').update(key).digest().readUInt32BE(0);
  const share = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const whole = (least: number, most: number): number => least + Math.floor(share() * (most - least + 1));
  return {
    share,
    whole,
    pick: (list) => list[whole(0, list.length - 1)] ?? list[0],
    weighted: (weights, names) => {
      let left = share() * names.reduce((sum, name) => sum + weights[name], 0);
      return (
        names.find((name) => {
          left -= weights[name];
          return left < 0;
        }) ?? names[0]
      );
    },
    shuffled: (list) => {
      const rest = [...list];
      return list.flatMap(() => rest.splice(whole(0, rest.length - 1), 1));
    },
  };
}
