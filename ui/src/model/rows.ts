import type { Trace } from './trace';

/** One byte a span: 1 where its children are hidden. */
export type Collapsed = Uint8Array;

/** The spans to show, ascending; a collapsed subtree is one jump. */
export function visibleRows(trace: Trace, collapsed: Collapsed): Uint32Array {
  const rows = new Uint32Array(trace.count);
  let shown = 0;
  for (let span = 0; span < trace.count; span += collapsed[span] ? trace.size[span] : 1) rows[shown++] = span;
  return rows.subarray(0, shown);
}

/** Where a span is among the rows, or where its nearest shown ancestor is. */
export function rowPosition(rows: Uint32Array, span: number): number {
  let low = 0;
  let high = rows.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rows[middle] <= span) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Hides everything below `depth`; Infinity shows all. */
export function collapseToDepth(trace: Trace, depth: number): Collapsed {
  const collapsed = new Uint8Array(trace.count);
  for (let span = 0; span < trace.count; span++) {
    if (trace.childCount[span] > 0 && trace.depth[span] >= depth) collapsed[span] = 1;
  }
  return collapsed;
}

export function toggled(collapsed: Collapsed, span: number): Collapsed {
  const next = collapsed.slice();
  next[span] ^= 1;
  return next;
}

/** Opens every ancestor; the same array when the span is already shown. */
export function revealed(trace: Trace, collapsed: Collapsed, span: number): Collapsed {
  let next = collapsed;
  for (let up = trace.parent[span]; up >= 0; up = trace.parent[up]) {
    if (!next[up]) continue;
    if (next === collapsed) next = collapsed.slice();
    next[up] = 0;
  }
  return next;
}
