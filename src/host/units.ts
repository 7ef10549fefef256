import type { UnitState } from './system.ts';

/** What `systemctl show` is asked for each unit. */
export const unitProperties =
  'Id,LoadState,ActiveState,UnitFileState,MainPID,Listen,ConditionResult,StateChangeTimestamp';

const states: Readonly<Record<string, Pick<UnitState, 'active' | 'changing'>>> = {
  active: { active: true },
  // As `systemctl is-active` takes them.
  reloading: { active: true },
  refreshing: { active: true },
  // Also the wait between two tries of a unit that failed (auto-restart).
  activating: { active: false, changing: 'starting' },
  deactivating: { active: false, changing: 'stopping' },
};

/** Of a time that is told in whole seconds, the end of that second: `systemctl show` cuts off what is behind them. */
const timeIn = (text: string): number | undefined => {
  const [, day, time] = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC$/.exec(text) ?? [];
  return day === undefined ? undefined : Date.parse(`${day}T${time}.999Z`);
};

/** Reads what `systemctl show` tells of these units: a block each, in their order. */
export function parseUnits(names: readonly string[], shown: string): Record<string, UnitState> {
  const blocks = shown.trimEnd().split('\n\n');
  return Object.fromEntries(
    names.map((name, i) => {
      const field = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(blocks[i] ?? '')?.[1] ?? '';
      const state = field('ActiveState');
      const changedAt = timeIn(field('StateChangeTimestamp'));
      return [
        name,
        {
          exists: field('LoadState') === 'loaded',
          ...(states[state] ?? { active: false }),
          enabled: field('UnitFileState') === 'enabled',
          failed: state === 'failed',
          idle: state === 'inactive' && field('ConditionResult') === 'no',
          daemon: !['', '0'].includes(field('MainPID')),
          ...(changedAt === undefined ? {} : { changedAt }),
          listens: [...(blocks[i] ?? '').matchAll(/^Listen=(.*)$/gm)].map(([, listen = '']) => listen),
        },
      ];
    }),
  );
}
