import type { Trace } from './trace';

/** The span's time with none of its children running. */
export function selfTime(trace: Trace, span: number): number {
  const from = trace.start[span];
  const to = from + Math.max(0, trace.duration[span]);
  let covered = 0;
  let reached = from;
  const last = span + trace.size[span];
  // Children come in order of start, so one pass merges them.
  for (let child = span + 1; child < last; child += trace.size[child]) {
    const start = Math.max(reached, trace.start[child]);
    const end = Math.min(to, trace.start[child] + Math.max(0, trace.duration[child]));
    if (end <= start) continue;
    covered += end - start;
    reached = end;
  }
  return to - from - covered;
}
