const day = 86_400;

/** The clock of a switch against this server's. */
export type ClockCheck = { readonly seconds: number; readonly refused: boolean };

/**
 * By how many seconds the switch is ahead; a link is refused where that is more than 24 hours, either way.
 * @param printed what the `clock` hook said
 * @param now milliseconds since 1970 on this server
 * @returns undefined where that is no time
 */
export function clockCheck(printed: string, now: number): ClockCheck | undefined {
  const text = printed.trim();
  if (!/^\d{1,12}$/.test(text)) return undefined;
  const seconds = Number(text) - Math.floor(now / 1000);
  return { seconds, refused: Math.abs(seconds) > day };
}
