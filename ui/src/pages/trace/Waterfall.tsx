import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useEffectEvent, useMemo, useRef, type MouseEvent } from 'react';
import { useMedia, useStoredNumber, useWidth } from '../../components/hooks';
import { Splitter } from '../../components/Splitter';
import { indentFor } from '../../model/indent';
import { rowPosition } from '../../model/rows';
import type { Trace } from '../../model/trace';
import { panned, zoomed } from '../../model/window';
import { GridLines, Ruler } from './Ruler';
import type { TraceState } from './useTraceState';
import { WaterfallRow } from './WaterfallRow';

interface Props {
  trace: Trace;
  colors: Uint8Array;
  state: TraceState;
  matching: Uint8Array | null;
}

export const ROW_PX = 26;
const HEAD_PX = 26;
const JUMP_PX = 2 * ROW_PX;
const OVERSCAN = 10;
/** Until someone drags the line. */
const TREE_SHARE = 0.4;
const TREE_SHARE_NARROW = 0.54;
const TREE_PX = 560;
const TREE_PX_MIN = 110;
const TIMELINE_PX_MIN = 120;
/** Room right of the timeline, so that a bar at its end does not touch the frame. */
const EDGE_PX = 10;
const INDENT_SHARE = 0.35;
const INDENT_SHARE_NARROW = 0.2;

export function Waterfall({ trace, colors, state, matching }: Props) {
  const { rows, cursor, window: view } = state;
  const scroller = useRef<HTMLDivElement>(null);
  const [measure, width] = useWidth<HTMLDivElement>();
  const narrow = useMedia('(max-width: 600px)');
  const [stored, setStored] = useStoredNumber('spanfall.tree', 0);
  const wanted = stored ? (width * stored) / 1000 : Math.min(TREE_PX, width * (narrow ? TREE_SHARE_NARROW : TREE_SHARE));
  const treeMax = Math.max(TREE_PX_MIN, width - TIMELINE_PX_MIN);
  const treePx = Math.round(Math.min(treeMax, Math.max(TREE_PX_MIN, wanted)));
  const timelinePx = Math.max(1, width - treePx - EDGE_PX);
  // Steps of deep traces are narrower and then end, so that names keep most of the column.
  const indentRoom = treePx * (narrow ? INDENT_SHARE_NARROW : INDENT_SHARE);
  const indent = useMemo(() => indentFor(trace.depthMax, indentRoom), [trace, indentRoom]);

  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: OVERSCAN,
    scrollMargin: HEAD_PX,
    scrollPaddingStart: HEAD_PX + ROW_PX,
    scrollPaddingEnd: ROW_PX,
  });

  const showCursor = useEffectEvent(() => {
    if (cursor < 0) return;
    const position = rowPosition(rows, cursor);
    const { scrollTop, clientHeight } = scroller.current!;
    const top = position * ROW_PX;
    // A step scrolls by a row; a jump brings its surroundings along.
    const far = top < scrollTop - JUMP_PX || top > scrollTop + clientHeight + JUMP_PX;
    virtual.scrollToIndex(position, { align: far ? 'center' : 'auto' });
  });
  useEffect(() => {
    showCursor();
  }, [cursor]);

  const onWheel = useEffectEvent((e: WheelEvent) => {
    const box = scroller.current!.getBoundingClientRect();
    const at = (e.clientX - box.left - treePx) / timelinePx;
    if (e.ctrlKey && at >= 0) {
      e.preventDefault();
      state.setWindow((old) => zoomed(old, trace.range, Math.exp(e.deltaY * 0.004), Math.min(1, at)));
    } else if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
      e.preventDefault();
      state.setWindow((old) => panned(old, trace.range, (e.deltaX || e.deltaY) / timelinePx));
    }
  });
  useEffect(() => {
    const element = scroller.current!;
    const listener = (e: WheelEvent) => onWheel(e);
    // React's own wheel listeners are passive and could not keep the browser from zooming the page.
    element.addEventListener('wheel', listener, { passive: false });
    return () => element.removeEventListener('wheel', listener);
  }, []);

  const onClick = (e: MouseEvent<HTMLElement>) => {
    const target = e.target as HTMLElement;
    const row = target.closest<HTMLElement>('[data-row]');
    if (!row || getSelection()?.type === 'Range') return;
    const span = Number(row.dataset.row);
    if (target.closest('.twist')) state.toggle(span);
    else state.select(span);
  };

  return (
    <div className="waterfall-frame">
      <div
        ref={(element) => {
          scroller.current = element;
          measure(element);
        }}
        className="waterfall" role="treegrid" tabIndex={0} aria-label="Spans" aria-rowcount={rows.length + 1} aria-colcount={2}
        aria-activedescendant={cursor >= 0 ? `span-${cursor}` : undefined} data-testid="waterfall"
      >
        <div className="waterfall-head" role="row" aria-rowindex={1} style={{ height: HEAD_PX }}>
          <div role="columnheader" className="tree-head" style={{ width: treePx }}>Service and span</div>
          <div role="columnheader" aria-label="Time" className="ruler-cell" style={{ width: timelinePx }}>
            <Ruler window={view} widthPx={timelinePx} range={trace.range} onWindow={state.setWindow} />
          </div>
        </div>
        <div role="rowgroup" className="waterfall-rows" style={{ height: virtual.getTotalSize() }} onClick={onClick}>
          <div className="gridlines" aria-hidden="true" style={{ left: treePx, width: timelinePx }}><GridLines window={view} widthPx={timelinePx} /></div>
          {virtual.getVirtualItems().map((item) => {
            const span = rows[item.index];
            return (
              <WaterfallRow
                key={span} trace={trace} span={span} position={item.index} color={colors[trace.service[span]]}
                topPx={item.index * ROW_PX} treePx={treePx} timelinePx={timelinePx} indent={indent}
                from={view.from} to={view.to} active={span === cursor} collapsed={state.collapsed[span] === 1}
                match={matching === null ? undefined : matching[span] === 1}
              />
            );
          })}
        </div>
      </div>
      <div className="tree-splitter" style={{ left: treePx }}>
        <Splitter label="Width of the span column" value={treePx} min={TREE_PX_MIN} max={treeMax} onChange={(px) => setStored((px / width) * 1000)} />
      </div>
    </div>
  );
}
