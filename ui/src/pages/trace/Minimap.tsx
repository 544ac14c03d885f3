import { useEffect, useRef } from 'react';
import { useThemeVersion, useWidth } from '../../components/hooks';
import { formatDuration } from '../../model/duration';
import type { Trace } from '../../model/trace';
import type { Window } from '../../model/window';
import { drawMinimap, MINIMAP_PX } from './drawMinimap';
import { useRangeDrag } from './useRangeDrag';

interface Props {
  trace: Trace;
  colors: Uint8Array;
  window: Window;
  onWindow: (window: Window) => void;
}

const EDGE_PX = 6;

/** The whole trace in a strip; dragging zooms. Drawn once: what moves lies above the canvas. */
export function Minimap({ trace, colors, window: view, onWindow }: Props) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const theme = useThemeVersion();
  const from = view.from / trace.range;
  const to = view.to / trace.range;
  const whole = from <= 0 && to >= 1;

  useEffect(() => {
    if (canvas.current && width > 0) drawMinimap(canvas.current, trace, colors, width);
  }, [trace, colors, width, theme]);

  const { range, onPointerDown } = useRangeDrag(
    ([a, b]) => onWindow({ from: a * trace.range, to: b * trace.range }),
    (share, widthPx) => {
      if (whole) return null;
      if (Math.abs(share - from) * widthPx <= EDGE_PX) return to;
      return Math.abs(share - to) * widthPx <= EDGE_PX ? from : null;
    },
  );
  const percent = (share: number) => `${share * 100}%`;

  return (
    <div className="minimap-box">
      <div
        ref={ref} className="minimap" role="img" onPointerDown={onPointerDown} onDoubleClick={() => onWindow({ from: 0, to: trace.range })}
        aria-label={`Overview of ${formatDuration(trace.range)}; ${whole ? 'all' : formatDuration(view.to - view.from)} in view`}
        style={{ height: MINIMAP_PX }}
      >
        <canvas ref={canvas} />
        {!whole && <div className="minimap-shade" style={{ left: 0, width: percent(from) }} />}
        {!whole && <div className="minimap-shade" style={{ left: percent(to), right: 0 }} />}
        {!whole && <div className="minimap-view" style={{ left: percent(from), width: percent(to - from) }} />}
        {range && <div className="minimap-drag" style={{ left: percent(range[0]), width: percent(range[1] - range[0]) }} />}
      </div>
    </div>
  );
}
