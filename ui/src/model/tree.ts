export interface Tree {
  /** Input positions in pre-order; everything else below is indexed by pre-order. */
  order: Uint32Array;
  parent: Int32Array;
  depth: Uint32Array;
  /** Spans in the subtree, itself included. */
  size: Uint32Array;
  childCount: Uint32Array;
  marks: Uint8Array;
  /** Depth 0, in the order shown. */
  tops: number[];
}

export const MARK_ORPHAN = 1;
export const MARK_CYCLE = 2;
export const MARK_DUPLICATE = 4;

/**
 * Makes a forest of any spans. `parents[i]` is '' for a root. `byTime` holds the input positions in
 * the order in which siblings are shown. Roots come first, then orphans and cut circles. No
 * recursion: traces may be thousands of levels deep.
 *
 * crates/model/src/tree.rs makes the same tree; crates/model/tests/data/trees.json holds both to it.
 */
export function buildTree(ids: string[], parents: string[], byTime: Uint32Array): Tree {
  const n = ids.length;
  const marks = new Uint8Array(n);
  const first = new Map<string, number>();
  const second = new Map<string, number>();
  for (let i = 0; i < n; i++) {
    if (!first.has(ids[i])) {
      first.set(ids[i], i);
      continue;
    }
    marks[i] |= MARK_DUPLICATE;
    if (!second.has(ids[i])) second.set(ids[i], i);
  }
  const up = new Int32Array(n).fill(-1);
  for (let i = 0; i < n; i++) {
    if (parents[i] === '') continue;
    // Ids may be shared, as by the two sides of a call in Zipkin's model: the parent is another span.
    const at = first.get(parents[i]) === i ? second.get(parents[i]) : first.get(parents[i]);
    if (at === undefined) marks[i] |= MARK_ORPHAN;
    else up[i] = at;
  }
  cutCycles(up, byTime, marks);

  const { starts, children } = childLists(up, byTime);
  const all = Array.from(byTime).filter((i) => up[i] < 0);
  const isRoot = (i: number) => !(marks[i] & (MARK_ORPHAN | MARK_CYCLE));
  const tops = [...all.filter(isRoot), ...all.filter((i) => !isRoot(i))];
  return preOrder(tops, up, starts, children, marks);
}

/** Cuts every circle at its earliest span. A span has one parent at most, so a walk upwards ends at a top or in a circle. */
function cutCycles(up: Int32Array, byTime: Uint32Array, marks: Uint8Array) {
  const rank = new Uint32Array(up.length);
  byTime.forEach((i, at) => {
    rank[i] = at;
  });
  const walk = new Uint32Array(up.length);
  let current = 0;
  for (const start of byTime) {
    current++;
    let i: number = start;
    while (i >= 0 && !walk[i]) {
      walk[i] = current;
      i = up[i];
    }
    if (i < 0 || walk[i] !== current) continue;
    let earliest = i;
    for (let at = up[i]; at !== i; at = up[at]) if (rank[at] < rank[earliest]) earliest = at;
    up[earliest] = -1;
    marks[earliest] |= MARK_CYCLE;
  }
}

/** Children of all spans in one array; those of i are at starts[i] .. starts[i + 1]. */
function childLists(up: Int32Array, byTime: Uint32Array) {
  const starts = new Uint32Array(up.length + 1);
  for (const parent of up) if (parent >= 0) starts[parent + 1]++;
  for (let i = 0; i < up.length; i++) starts[i + 1] += starts[i];
  const next = starts.slice();
  const children = new Uint32Array(starts[up.length]);
  for (const i of byTime) if (up[i] >= 0) children[next[up[i]]++] = i;
  return { starts, children };
}

function preOrder(tops: number[], up: Int32Array, starts: Uint32Array, children: Uint32Array, inputMarks: Uint8Array): Tree {
  const n = up.length;
  const tree: Tree = {
    order: new Uint32Array(n),
    parent: new Int32Array(n).fill(-1),
    depth: new Uint32Array(n),
    size: new Uint32Array(n).fill(1),
    childCount: new Uint32Array(n),
    marks: new Uint8Array(n),
    tops: [],
  };
  const rowOf = new Uint32Array(n);
  const stack = tops.slice().reverse();
  for (let row = 0; stack.length > 0; row++) {
    const i = stack.pop()!;
    rowOf[i] = row;
    tree.order[row] = i;
    tree.marks[row] = inputMarks[i];
    tree.childCount[row] = starts[i + 1] - starts[i];
    if (up[i] >= 0) {
      tree.parent[row] = rowOf[up[i]];
      tree.depth[row] = tree.depth[tree.parent[row]] + 1;
    } else tree.tops.push(row);
    for (let c = starts[i + 1] - 1; c >= starts[i]; c--) stack.push(children[c]);
  }
  for (let row = n - 1; row > 0; row--) {
    if (tree.parent[row] >= 0) tree.size[tree.parent[row]] += tree.size[row];
  }
  return tree;
}
