import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useCallback, useEffect, useEffectEvent, useMemo, useRef, useState } from 'react';
import { collapseToDepth, revealed, toggled, visibleRows, type Collapsed } from '../../model/rows';
import type { Trace } from '../../model/trace';
import { clampWindow, type Window } from '../../model/window';

const route = getRouteApi('/trace/$traceId');

/** Moving through spans by a held key must not flood the browser's history API, which is rate-limited. */
const URL_DELAY_MS = 150;

/** What is open, selected and on screen of a trace. The selected span is in the URL while its panel is open. */
export function useTraceState(trace: Trace) {
  const { span: linked } = route.useSearch();
  const linkedRow = linked === undefined ? -1 : (trace.rowOfId.get(linked) ?? -1);
  const [cursor, setCursor] = useState(linkedRow);
  const [open, setOpen] = useState(linkedRow >= 0);
  const [collapsed, setCollapsed] = useState<Collapsed>(() => new Uint8Array(trace.count));
  const [window, setWindowRaw] = useState<Window>({ from: 0, to: trace.range });

  // A refresh may have brought spans; positions of before mean nothing in the new trace.
  const [shown, setShown] = useState(trace);
  if (shown !== trace) {
    const id = shown.raw[cursor]?.spanId?.toLowerCase();
    setShown(trace);
    setCursor(id === undefined ? -1 : (trace.rowOfId.get(id) ?? -1));
    setCollapsed(new Uint8Array(trace.count));
    setWindowRaw({ from: 0, to: trace.range });
  }

  const rows = useMemo(
    () => visibleRows(trace, collapsed.length === trace.count ? collapsed : new Uint8Array(trace.count)),
    [trace, collapsed],
  );

  const moveTo = useCallback((span: number) => {
    if (span < 0) return;
    setCursor(span);
    setCollapsed((old) => revealed(trace, old, span));
  }, [trace]);
  const select = useCallback((span: number) => {
    moveTo(span);
    setOpen(true);
  }, [moveTo]);
  const toggle = useCallback((span: number) => {
    setCollapsed((old) => toggled(old, span));
    // What is inside the closed subtree cannot stay selected.
    setCursor((old) => (old > span && old < span + trace.size[span] ? span : old));
  }, [trace]);
  const showDepth = useCallback((depth: number) => {
    setCollapsed(collapseToDepth(trace, depth));
    setCursor((old) => {
      let span = old;
      while (span >= 0 && trace.depth[span] > depth) span = trace.parent[span];
      return span;
    });
  }, [trace]);
  const setWindow = useCallback((next: Window | ((old: Window) => Window)) => {
    setWindowRaw((old) => clampWindow(typeof next === 'function' ? next(old) : next, trace.range));
  }, [trace]);

  useSpanInUrl(trace, linked, open ? cursor : -1, (span) => {
    if (span >= 0) select(span);
    else setOpen(false);
  });

  return {
    cursor, open: open && cursor >= 0, collapsed, rows, window,
    missingSpan: linked !== undefined && linkedRow < 0 ? linked : undefined,
    moveTo, select, toggle, showDepth, setWindow, setOpen,
  };
}

export type TraceState = ReturnType<typeof useTraceState>;

function useSpanInUrl(trace: Trace, linked: string | undefined, selected: number, adopt: (span: number) => void) {
  const navigate = useNavigate();
  const written = useRef(linked);
  const adoptNow = useEffectEvent(adopt);

  useEffect(() => {
    const id = selected < 0 ? undefined : trace.raw[selected]?.spanId?.toLowerCase();
    if (id === written.current) return;
    // A link to a span that is not stored stays until another span is chosen.
    if (id === undefined && linked !== undefined && !trace.rowOfId.has(linked)) return;
    const timer = setTimeout(() => {
      written.current = id;
      void navigate({ to: '.', search: id ? { span: id } : {}, replace: true, resetScroll: false });
    }, URL_DELAY_MS);
    return () => clearTimeout(timer);
  }, [trace, selected, linked, navigate]);

  useEffect(() => {
    if (linked === written.current) return;
    written.current = linked;
    adoptNow(linked === undefined ? -1 : (trace.rowOfId.get(linked) ?? -1));
  }, [trace, linked]);
}
