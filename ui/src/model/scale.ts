const DAY = 24 * 3600e9;

export interface Scale {
  /** The instant that offsets count from. */
  origin: bigint;
  /** From the origin to the end of the latest span on the scale; at least 1 ns. */
  range: number;
  startOn: Uint8Array;
  endOn: Uint8Array;
}

/**
 * The time range that a trace is drawn on. A start of 0, or one far from all others, would
 * squeeze the rest into a pixel, so such spans stay off the scale. Far is a day from the median,
 * or four times the middle half's extent when the trace itself lasts for days.
 */
export function timeScale(starts: BigUint64Array, ends: BigUint64Array): Scale {
  const n = starts.length;
  const startOn = new Uint8Array(n);
  const endOn = new Uint8Array(n);
  const known: number[] = [];
  for (let i = 0; i < n; i++) if (starts[i] > 0n) known.push(i);
  if (known.length === 0) for (let i = 0; i < n; i++) known.push(i);
  if (n === 0) return { origin: 0n, range: 1, startOn, endOn };

  // Doubles are exact to 256 ns here: enough to find a median, not to place a span.
  const approximate = Float64Array.from(known, (i) => Number(starts[i]));
  const byStart = known.map((_, k) => k).sort((a, b) => approximate[a] - approximate[b]);
  const median = starts[known[byStart[byStart.length >> 1]]];
  const instants = new Float64Array(known.length * 2);
  known.forEach((i, k) => {
    instants[2 * k] = Number(starts[i] - median);
    instants[2 * k + 1] = Number((ends[i] > starts[i] ? ends[i] : starts[i]) - median);
  });
  // A span alone is its own scale, however long.
  const reach = known.length === 1 ? Infinity : reachOf(instants);

  let from = 0;
  let to = 0;
  known.forEach((i, k) => {
    const start = instants[2 * k];
    if (Math.abs(start) > reach) return;
    startOn[i] = 1;
    from = Math.min(from, start);
    to = Math.max(to, start);
    const end = instants[2 * k + 1];
    if (end > reach) return;
    endOn[i] = 1;
    to = Math.max(to, end);
  });
  return { origin: median + BigInt(from), range: Math.max(1, to - from), startOn, endOn };
}

function reachOf(instants: Float64Array): number {
  const sorted = instants.slice().sort();
  const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)];
  return Math.max(DAY, 4 * (at(0.75) - at(0.25)));
}
