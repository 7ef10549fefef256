import type { UnitState } from './system.ts';

/** What `systemctl show` is asked for each unit. */
export const unitProperties = 'Id,LoadState,ActiveState,UnitFileState,MainPID,Listen,ConditionResult';

const states: Readonly<Record<string, Pick<UnitState, 'active' | 'changing'>>> = {
  active: { active: true },
  // As `systemctl is-active` takes them.
  reloading: { active: true },
  refreshing: { active: true },
  // Also the wait between two tries of a unit that failed (auto-restart).
  activating: { active: false, changing: 'starting' },
  deactivating: { active: false, changing: 'stopping' },
};

/** Reads what `systemctl show` tells of these units: a block each, in their order. */
export function parseUnits(names: readonly string[], shown: string): Record<string, UnitState> {
  const blocks = shown.trimEnd().split('\n\n');
  return Object.fromEntries(
    names.map((name, i) => {
      const field = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(blocks[i] ?? '')?.[1] ?? '';
      const state = field('ActiveState');
      return [
        name,
        {
          exists: field('LoadState') === 'loaded',
          ...(states[state] ?? { active: false }),
          enabled: field('UnitFileState') === 'enabled',
          failed: state === 'failed',
          idle: state === 'inactive' && field('ConditionResult') === 'no',
          daemon: !['', '0'].includes(field('MainPID')),
          listens: [...(blocks[i] ?? '').matchAll(/^Listen=(.*)$/gm)].map(([, listen = '']) => listen),
        },
      ];
    }),
  );
}
