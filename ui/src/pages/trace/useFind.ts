import { useDeferredValue, useMemo, useState } from 'react';
import { neighbour, TraceText } from '../../model/find';
import type { Trace } from '../../model/trace';

/** The text filter inside a trace: which spans match, and which of them the cursor is on. */
export function useFind(trace: Trace, cursor: number) {
  const [text, setText] = useState('');
  const index = useMemo(() => new TraceText(trace), [trace]);
  const deferred = useDeferredValue(text);
  const active = deferred.trim() !== '';
  const matches = useMemo(() => index.find(deferred), [index, deferred]);
  const matching = useMemo(() => {
    if (!active) return null;
    const flags = new Uint8Array(trace.count);
    for (const span of matches) flags[span] = 1;
    return flags;
  }, [trace, matches, active]);
  const position = active ? matches.indexOf(cursor) : -1;
  return { text, setText, active, matches, matching, position, next: (step: 1 | -1) => neighbour(matches, cursor, step) };
}

export type Find = ReturnType<typeof useFind>;
