import { formatDuration } from '../../model/duration';
import * as flag from '../../model/flags';
import { nanosOf } from '../../model/otlp';
import type { Trace } from '../../model/trace';
import { barAt } from '../../model/window';
import { labelWidth } from './labelWidth';
import type { RowProps } from './WaterfallRow';

const TICKS_MAX = 100;

export function TimelineCell({ trace, span, color, timelinePx, from, to }: RowProps) {
  const flags = trace.flags[span];
  const duration = trace.duration[span];
  const label = labelOf(trace, span);
  const window = { from, to };
  // A span off the scale gets an arrow only: its end may lie on the scale, its length says nothing there.
  const length = flags & flag.OFF_SCALE ? 0 : duration;
  const bar = barAt(trace.start[span], length, window, timelinePx, labelWidth(label));
  const kind = flags & flag.ERROR ? 'svc-error' : `svc-${color}`;
  const odd = flags & (flag.NEGATIVE | flag.NO_END) ? ' bar-odd' : '';
  return (
    <div role="gridcell" className="row-time" style={{ width: timelinePx }}>
      {bar.outside === null
        ? <i className={`bar ${kind}${odd}${flags & flag.END_OFF_SCALE ? ' bar-cut' : ''}`} style={{ transform: `translateX(${bar.left}px)`, width: bar.width }} />
        : <i className={bar.outside === 'before' ? 'arrow arrow-before' : 'arrow arrow-after'} title={bar.outside === 'before' ? 'Earlier than shown' : 'Later than shown'} />}
      <Events trace={trace} span={span} from={from} to={to} timelinePx={timelinePx} />
      <span className={bar.label === 'in' ? 'bar-label bar-label-in' : 'bar-label'} data-testid="row-duration" style={{ transform: `translateX(${bar.labelLeft}px)` }}>{label}</span>
    </div>
  );
}

/** The duration, and why a span without a place on the scale has none. */
function labelOf(trace: Trace, span: number): string {
  const flags = trace.flags[span];
  if (flags & flag.NO_END) return flags & flag.NO_START ? 'no times' : 'no end';
  if (flags & flag.NO_START) return 'no start time';
  const duration = formatDuration(trace.duration[span]);
  if (flags & flag.OFF_SCALE) {
    const start = trace.start[span];
    return `${duration} · ${formatDuration(Math.abs(start))} ${start < 0 ? 'before' : 'after'}`;
  }
  return duration;
}

function Events({ trace, span, from, to, timelinePx }: { trace: Trace; span: number; from: number; to: number; timelinePx: number }) {
  const events = trace.raw[span].events;
  if (!events?.length) return null;
  return events.slice(0, TICKS_MAX).map((event, i) => {
    const at = Number(nanosOf(event.timeUnixNano) - trace.origin);
    if (at < from || at > to) return null;
    const x = ((at - from) / (to - from)) * timelinePx;
    return <i key={i} className={event.name === 'exception' ? 'event event-exception' : 'event'} title={event.name} style={{ transform: `translateX(${x - 1}px)` }} />;
  });
}
