import type { Host } from '../host/system.ts';
import { clearAlarms, raiseAlarm, readAlarms } from '../pair/alarms.ts';

/** Raises an alarm unless the same text stands already. */
export function raiseOnce(host: Host, text: string): void {
  if (readAlarms(host.root).some((alarm) => alarm.text === text)) return;
  raiseAlarm(host.root, text, host.system.clock());
}

/** Takes away the alarms that begin so, but for the one that stands. */
export function settleBut({ root }: Host, heads: readonly string[], standing: string | undefined): void {
  const over = readAlarms(root).filter(({ text }) => text !== standing && heads.some((head) => text.startsWith(head)));
  if (over.length > 0) clearAlarms(root, over);
}
