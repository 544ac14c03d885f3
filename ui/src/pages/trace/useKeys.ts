import { useEffect, useEffectEvent, type RefObject } from 'react';
import { neighbour } from '../../model/find';
import { rowPosition } from '../../model/rows';
import type { Trace } from '../../model/trace';
import { around, panned, zoomed } from '../../model/window';
import type { Find } from './useFind';
import type { TraceState } from './useTraceState';

/** Shown by the help; `useKeys` does what they say. */
export const SHORTCUTS: [keys: string, what: string][] = [
  ['↑ ↓ or k j', 'previous, next span'],
  ['← →', 'collapse or go to the parent; expand or go to the first child'],
  ['Home End', 'first, last span'],
  ['PgUp PgDn', '20 spans up, down'],
  ['Enter', 'open the span'],
  ['Esc', 'close'],
  ['/', 'filter'],
  ['n N', 'next, previous match'],
  ['e E', 'next, previous error'],
  ['+ −', 'zoom in, out'],
  ['f', 'zoom to the span'],
  ['Shift ← →', 'move the zoomed part'],
  ['0', 'whole trace'],
  ['?', 'these keys'],
];

const PAGE_ROWS = 20;

interface Targets {
  trace: Trace;
  state: TraceState;
  find: Find;
  errors: Uint32Array;
  filterBox: RefObject<HTMLInputElement | null>;
  helpOpen: boolean;
  setHelp: (open: boolean) => void;
}

export function useKeys({ trace, state, find, errors, filterBox, helpOpen, setHelp }: Targets) {
  const { cursor, rows, collapsed, window: view } = state;

  const step = (by: number) => {
    const at = cursor < 0 ? (by > 0 ? -1 : rows.length) : rowPosition(rows, cursor);
    state.moveTo(rows[Math.min(rows.length - 1, Math.max(0, at + by))]);
  };
  const inward = () => {
    if (cursor < 0 || trace.childCount[cursor] === 0) return;
    if (collapsed[cursor]) state.toggle(cursor);
    else state.moveTo(cursor + 1);
  };
  const outward = () => {
    if (cursor < 0) return;
    if (trace.childCount[cursor] > 0 && !collapsed[cursor]) state.toggle(cursor);
    else state.moveTo(trace.parent[cursor]);
  };
  /** Zooming keeps the selected span in sight when it is. */
  const anchor = () => {
    const middle = cursor < 0 ? -1 : (trace.start[cursor] + Math.max(0, trace.duration[cursor]) / 2 - view.from) / (view.to - view.from);
    return middle >= 0 && middle <= 1 ? middle : 0.5;
  };
  const escape = () => {
    if (helpOpen) setHelp(false);
    else if (state.open) state.setOpen(false);
    else if (find.text) find.setText('');
  };

  const actions: Record<string, () => void> = {
    ArrowDown: () => step(1),
    j: () => step(1),
    ArrowUp: () => step(-1),
    k: () => step(-1),
    PageDown: () => step(PAGE_ROWS),
    PageUp: () => step(-PAGE_ROWS),
    Home: () => state.moveTo(rows[0]),
    End: () => state.moveTo(rows[rows.length - 1]),
    ArrowRight: inward,
    ArrowLeft: outward,
    Enter: () => cursor >= 0 && state.setOpen(true),
    Escape: escape,
    '/': () => filterBox.current?.select(),
    n: () => state.moveTo(find.next(1)),
    N: () => state.moveTo(find.next(-1)),
    e: () => state.moveTo(neighbour(errors, cursor, 1)),
    E: () => state.moveTo(neighbour(errors, cursor, -1)),
    '+': () => state.setWindow(zoomed(view, trace.range, 0.5, anchor())),
    '=': () => state.setWindow(zoomed(view, trace.range, 0.5, anchor())),
    '-': () => state.setWindow(zoomed(view, trace.range, 2, anchor())),
    '0': () => state.setWindow({ from: 0, to: trace.range }),
    f: () => cursor >= 0 && state.setWindow(around(trace.start[cursor], trace.duration[cursor], trace.range)),
    'Shift+ArrowLeft': () => state.setWindow(panned(view, trace.range, -0.25)),
    'Shift+ArrowRight': () => state.setWindow(panned(view, trace.range, 0.25)),
    '?': () => setHelp(!helpOpen),
  };

  const onKey = useEffectEvent((e: KeyboardEvent) => {
    if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
    const target = e.target as HTMLElement;
    if (keepsKey(target, e.key)) return;
    const action = actions[e.shiftKey && e.key.startsWith('Arrow') ? `Shift+${e.key}` : e.key];
    if (!action) return;
    e.preventDefault();
    action();
  });

  useEffect(() => {
    const listener = (e: KeyboardEvent) => onKey(e);
    document.addEventListener('keydown', listener);
    return () => document.removeEventListener('keydown', listener);
  }, []);
}

/** Keys that the focused element itself has a use for. */
function keepsKey(target: HTMLElement, key: string): boolean {
  if (target.closest('input, textarea, select, [contenteditable]')) return true;
  if (key === 'Enter' || key === ' ') return !!target.closest('a, button, summary');
  if (/^(Arrow|Page|Home|End)/.test(key)) return !!target.closest('.panel, [role=tablist]');
  return false;
}
