import { formatTick } from '../../model/duration';
import { ticksOf, type Window } from '../../model/window';
import { useRangeDrag } from './useRangeDrag';

interface Props {
  window: Window;
  widthPx: number;
  range: number;
  onWindow: (window: Window) => void;
}

const LABEL_PX = 56;

/** Time from the trace's start; dragging zooms. */
export function Ruler({ window: view, widthPx, range: whole, onWindow }: Props) {
  const length = view.to - view.from;
  const { range, onPointerDown } = useRangeDrag(([a, b]) => onWindow({ from: view.from + a * length, to: view.from + b * length }));
  const { step, at } = ticksOf(view, widthPx);
  return (
    <div className="ruler" onPointerDown={onPointerDown} onDoubleClick={() => onWindow({ from: 0, to: whole })} title="Drag to zoom, double-click for the whole trace">
      {at.map((tick) => {
        const x = ((tick - view.from) / length) * widthPx;
        return (
          <span key={tick} className={x + LABEL_PX > widthPx ? 'tick tick-end' : 'tick'} style={{ transform: `translateX(${x}px)` }}>
            <span>{formatTick(tick, step)}</span>
          </span>
        );
      })}
      {range && <div className="minimap-drag" style={{ left: `${range[0] * 100}%`, width: `${(range[1] - range[0]) * 100}%` }} />}
    </div>
  );
}

export function GridLines({ window: view, widthPx }: { window: Window; widthPx: number }) {
  return ticksOf(view, widthPx).at.map((tick) => (
    <i key={tick} className="gridline" style={{ transform: `translateX(${((tick - view.from) / (view.to - view.from)) * widthPx}px)` }} />
  ));
}
