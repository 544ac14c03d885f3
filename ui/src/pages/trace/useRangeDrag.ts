import { useState, type PointerEvent } from 'react';

/** Less than this is a click, not a range. */
const DRAG_PX_MIN = 4;

export type Share = [from: number, to: number];

/**
 * Drags over an element as shares of its width, 0 to 1. `begin` may return an edge to keep
 * where it is, so that the other one is moved instead of a new range being drawn.
 */
export function useRangeDrag(onRange: (range: Share) => void, begin?: (share: number, widthPx: number) => number | null) {
  const [range, setRange] = useState<Share | null>(null);

  const onPointerDown = (down: PointerEvent<HTMLElement>) => {
    if (down.button !== 0) return;
    const element = down.currentTarget;
    const box = element.getBoundingClientRect();
    const shareOf = (e: { clientX: number }) => Math.min(1, Math.max(0, (e.clientX - box.left) / box.width));
    const fixed = begin?.(shareOf(down), box.width) ?? null;
    const start = fixed ?? shareOf(down);
    let dragged: Share | null = null;
    element.setPointerCapture(down.pointerId);
    const move = (e: globalThis.PointerEvent) => {
      if (!dragged && Math.abs(e.clientX - down.clientX) < DRAG_PX_MIN) return;
      const to = shareOf(e);
      dragged = [Math.min(start, to), Math.max(start, to)];
      setRange(dragged);
    };
    const done = () => {
      element.removeEventListener('pointermove', move);
      setRange(null);
      if (dragged && dragged[1] > dragged[0]) onRange(dragged);
    };
    element.addEventListener('pointermove', move);
    element.addEventListener('lostpointercapture', done, { once: true });
  };

  return { range, onPointerDown };
}
