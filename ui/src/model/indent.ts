/** How far the levels of a tree are moved to the right. */
export interface Indent {
  stepPx: number;
  /** Deeper levels stay where this one is, and say their number instead. */
  levels: number;
}

const STEP_PX = 14;
/** Narrower steps could not be told apart. */
const STEP_PX_MIN = 5;

/** Steps for a tree of this depth that take no more than `roomPx` in all, so that names keep the rest. */
export function indentFor(depthMax: number, roomPx: number): Indent {
  const stepPx = Math.max(STEP_PX_MIN, Math.min(STEP_PX, roomPx / Math.max(1, depthMax)));
  return { stepPx, levels: Math.floor(roomPx / stepPx) };
}

export const indentOf = ({ stepPx, levels }: Indent, depth: number): number => Math.min(depth, levels) * stepPx;
