const UNITS: [name: string, nanos: number][] = [['ns', 1], ['µs', 1e3], ['ms', 1e6], ['s', 1e9]];
const MINUTE = 60e9;
const HOUR = 3600e9;

/** Three significant digits: 412ns, 1.23ms, 2m 05s, 3h 07m. */
export function formatDuration(value: number | bigint): string {
  const nanos = Number(value);
  if (nanos < 0) return `−${formatDuration(-nanos)}`;
  if (nanos < 1e3) return `${Math.round(nanos)}ns`;
  for (let u = 1; u < UNITS.length; u++) {
    const [name, size] = UNITS[u];
    const rounded = Number((nanos / size).toPrecision(3));
    if (rounded < (name === 's' ? 60 : 1000)) {
      return rounded.toFixed(rounded < 10 ? 2 : rounded < 100 ? 1 : 0) + name;
    }
  }
  const seconds = Math.round(nanos / 1e9);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  const minutes = Math.round(nanos / MINUTE);
  return `${Math.floor(minutes / 60)}h ${two(minutes % 60)}m`;
}

/** Every digit: 1.234567ms, 1h 2m 3.000000004s. */
export function formatDurationExact(nanos: bigint): string {
  if (nanos < 0n) return `−${formatDurationExact(-nanos)}`;
  let unit = UNITS.length - 1;
  while (unit > 0 && nanos < BigInt(UNITS[unit][1])) unit--;
  if (nanos < BigInt(MINUTE)) return decimal(nanos, BigInt(UNITS[unit][1])) + UNITS[unit][0];
  const hours = nanos / BigInt(HOUR);
  const minutes = (nanos % BigInt(HOUR)) / BigInt(MINUTE);
  const rest = decimal(nanos % BigInt(MINUTE), 1_000_000_000n);
  return `${hours > 0n ? `${hours}h ` : ''}${minutes}m ${rest}s`;
}

/** A tick of a ruler whose ticks are `step` apart: only the digits that the step needs. */
export function formatTick(nanos: number, step: number): string {
  if (nanos === 0) return '0';
  const sign = nanos < 0 ? '−' : '';
  const size = Math.abs(nanos);
  if (step >= 1e9 && size >= MINUTE) return sign + formatDurationExact(BigInt(size));
  const [name, unit] = UNITS.findLast(([, n]) => size >= n) ?? UNITS[0];
  const digits = Math.max(0, Math.ceil(Math.log10(unit / step) - 1e-9));
  return `${sign}${(size / unit).toFixed(digits)}${name}`;
}

/** What people type, as the API takes it: a bare number means milliseconds. Null when it is not a duration. */
export function normaliseDuration(text: string): string | null {
  const match = /^(\d+(?:\.\d+)?)\s*(ns|us|µs|μs|ms|s|m|h)?$/i.exec(text.trim());
  if (!match) return null;
  const unit = (match[2] ?? 'ms').toLowerCase().replace(/[µμ]s/, 'us');
  return match[1] + unit;
}

function decimal(nanos: bigint, unit: bigint): string {
  const fraction = (nanos % unit).toString().padStart(unit.toString().length - 1, '0').replace(/0+$/, '');
  return `${nanos / unit}${fraction && unit > 1n ? `.${fraction}` : ''}`;
}

const two = (n: number) => String(n).padStart(2, '0');
