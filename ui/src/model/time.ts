const two = (n: number) => String(n).padStart(2, '0');

function fields(ms: number, utc: boolean) {
  const d = new Date(ms);
  return utc
    ? { date: `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`, clock: `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}` }
    : { date: `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`, clock: `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}` };
}

export const msOf = (nanos: bigint): number => Number(nanos / 1_000_000n);

/** 2026-11-20 12:03:36.123456789, in local time or UTC, with all nanoseconds. */
export function formatInstant(nanos: bigint, zone: 'local' | 'utc' = 'local'): string {
  const ms = msOf(nanos);
  // Date ends in the year 275760; u64 nanoseconds end in 2554, so every value is a date.
  const { date, clock } = fields(ms, zone === 'utc');
  const fraction = (nanos % 1_000_000_000n).toString().padStart(9, '0');
  return `${date} ${clock}.${fraction}${zone === 'utc' ? 'Z' : ''}`;
}

/** The clock to the millisecond, with the date before it unless it is today. */
export function formatStart(nanos: bigint, nowMs: number): string {
  const ms = msOf(nanos);
  const { date, clock } = fields(ms, false);
  const millis = String(ms % 1000).padStart(3, '0');
  return `${date === fields(nowMs, false).date ? '' : `${date} `}${clock}.${millis}`;
}

export function formatAgo(ms: number, nowMs: number): string {
  const seconds = Math.round((nowMs - ms) / 1000);
  if (seconds < -1) return `in ${span(-seconds)}`;
  return seconds < 2 ? 'now' : `${span(seconds)} ago`;
}

function span(seconds: number): string {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** A label on a time axis that spans `rangeMs`. */
export function formatAxis(ms: number, rangeMs: number): string {
  const { date, clock } = fields(ms, false);
  if (rangeMs < 10_000) return `${clock}.${String(Math.floor(ms % 1000)).padStart(3, '0')}`;
  if (rangeMs < 600_000) return clock;
  return rangeMs < 86_400_000 ? clock.slice(0, 5) : `${date.slice(5)} ${clock.slice(0, 5)}`;
}

/** The value of an <input type="datetime-local">, which has no zone. */
export function toInputValue(iso: string | undefined): string {
  const ms = iso ? Date.parse(iso) : NaN;
  if (Number.isNaN(ms)) return '';
  const { date, clock } = fields(ms, false);
  return `${date}T${clock}`;
}

export function fromInputValue(value: string): string | undefined {
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}
