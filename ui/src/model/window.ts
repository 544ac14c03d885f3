/** The part of a trace's time that is on screen, in nanoseconds from its origin. */
export interface Window {
  from: number;
  to: number;
}

/** Below this no two timestamps could differ on screen. */
const WINDOW_NANOS_MIN = 10;

export function clampWindow(window: Window, range: number): Window {
  const length = Math.min(range, Math.max(Math.min(WINDOW_NANOS_MIN, range), window.to - window.from));
  const from = Math.min(Math.max(0, window.from), range - length);
  return { from, to: from + length };
}

/** `factor` below 1 zooms in; the instant at `anchor` (0 .. 1 of the window) stays in place. */
export function zoomed(window: Window, range: number, factor: number, anchor = 0.5): Window {
  const length = window.to - window.from;
  const next = Math.max(length * factor, Math.min(WINDOW_NANOS_MIN, range));
  const from = window.from + (length - next) * anchor;
  return clampWindow({ from, to: from + next }, range);
}

export function panned(window: Window, range: number, share: number): Window {
  const by = (window.to - window.from) * share;
  return clampWindow({ from: window.from + by, to: window.to + by }, range);
}

/** A window around one span with some room at both sides. */
export function around(start: number, duration: number, range: number): Window {
  const length = Math.max(duration, range / 1e6, WINDOW_NANOS_MIN);
  return clampWindow({ from: start - length * 0.1, to: start + length * 1.1 }, range);
}

export interface Bar {
  /** Which edge the bar lies beyond; the rest then says where its arrow is. */
  outside: 'before' | 'after' | null;
  left: number;
  width: number;
  label: 'left' | 'right' | 'in';
  labelLeft: number;
}

const BAR_PX_MIN = 2;
const GAP_PX = 5;
const ARROW_PX = 12;

/** Pixels of a bar and its label. The label never leaves the timeline: it goes right of the bar, else left, else on it. */
export function barAt(start: number, duration: number, window: Window, widthPx: number, labelPx: number): Bar {
  const perNano = widthPx / (window.to - window.from);
  const x0 = (start - window.from) * perNano;
  const x1 = (start + Math.max(0, duration) - window.from) * perNano;
  if (x1 < 0) return { outside: 'before', left: 0, width: 0, label: 'right', labelLeft: ARROW_PX };
  if (x0 > widthPx) {
    return { outside: 'after', left: widthPx, width: 0, label: 'left', labelLeft: Math.max(0, widthPx - ARROW_PX - labelPx) };
  }
  const left = Math.min(Math.max(0, x0), Math.max(0, widthPx - BAR_PX_MIN));
  const right = Math.max(Math.min(widthPx, x1), left + BAR_PX_MIN);
  const width = right - left;
  if (right + GAP_PX + labelPx <= widthPx) return { outside: null, left, width, label: 'right', labelLeft: right + GAP_PX };
  if (left - GAP_PX - labelPx >= 0) return { outside: null, left, width, label: 'left', labelLeft: left - GAP_PX - labelPx };
  return { outside: null, left, width, label: 'in', labelLeft: Math.max(0, Math.min(right, widthPx) - GAP_PX - labelPx) };
}

/** Round instants inside the window, about `everyPx` apart. */
export function ticksOf(window: Window, widthPx: number, everyPx = 110): { step: number; at: number[] } {
  const wanted = ((window.to - window.from) * everyPx) / Math.max(widthPx, everyPx);
  const step = niceStep(wanted);
  const at: number[] = [];
  for (let k = Math.ceil(window.from / step); k * step <= window.to; k++) at.push(k * step);
  return { step, at };
}

const MINUTE = 60e9;
const CLOCK_STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1440].map((m) => m * MINUTE);

/** 1, 2 or 5 times a power of ten; above half a minute, what a clock shows. */
function niceStep(wanted: number): number {
  if (wanted > MINUTE / 2) {
    const found = CLOCK_STEPS.find((s) => s >= wanted);
    if (found) return found;
    const day = 1440 * MINUTE;
    return Math.ceil(wanted / day) * day;
  }
  const power = 10 ** Math.floor(Math.log10(Math.max(1, wanted)));
  return ([1, 2, 5, 10].find((m) => m * power >= wanted) ?? 10) * power;
}
