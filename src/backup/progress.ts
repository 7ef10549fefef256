import type { Report } from '../report.ts';

/** Milliseconds between two texts. */
const often = 250;

/** A size as people read it. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

export const durationText = (seconds: number): string =>
  seconds < 90
    ? `${Math.round(seconds)} s`
    : seconds < 5400
      ? `${Math.round(seconds / 60)} min`
      : `${(seconds / 3600).toFixed(1)} h`;

/** How far it is, how fast it goes, and how long it will take. */
function progressText(what: string, done: number, total: number, seconds: number): string {
  const rate = seconds > 0 ? done / seconds : 0;
  const left = rate > 0 && total > done ? `, ${durationText((total - done) / rate)} left` : '';
  const percent =
    total > 0 ? `${Math.min(99, Math.floor((done / total) * 100))} % of ${sizeText(total)}` : sizeText(done);
  return `${what}: ${percent}, ${sizeText(rate)}/s${left}`;
}

/**
 * Tells the progress of one step, not too often.
 * @param elapsed milliseconds since some instant
 * @returns what gets the bytes that are done
 */
export function progressOf(
  report: Pick<Report, 'progress'>,
  what: string,
  total: number,
  elapsed: () => number,
): (done: number) => void {
  const begun = elapsed();
  let told = begun;
  return (done) => {
    const now = elapsed();
    if (now - told < often) return;
    told = now;
    report.progress(progressText(what, done, total, (now - begun) / 1000));
  };
}
