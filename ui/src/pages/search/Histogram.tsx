import type { UseQueryResult } from '@tanstack/react-query';
import { useRef, useState, type PointerEvent } from 'react';
import type { SeriesList } from '../../api/types';
import { ErrorNote } from '../../components/ErrorNote';
import { counted, plural } from '../../model/count';
import type { Search } from '../../model/search';
import { formatAxis, formatStart } from '../../model/time';

interface Props {
  query: UseQueryResult<SeriesList>;
  /** The search beside it failed too and says why. */
  quiet: boolean;
  change: (patch: Partial<Search>) => void;
}

/** Odd, so that on narrow screens every second one can go. */
const AXIS_LABELS = 5;
/** Slivers, in percent of the plot: one span among thousands is seen, and one error of few spans. */
const SPANS_MIN = 5;
const ERRORS_MIN = 2.5;

/** Matching spans over time; dragging sets the time range. */
export function Histogram({ query, quiet, change }: Props) {
  if (query.isError && !query.data && !quiet) return <div className="histogram"><ErrorNote error={query.error} retry={() => void query.refetch()} /></div>;
  return <Chart list={query.data} change={change} />;
}

function Chart({ list, change }: { list: SeriesList | undefined; change: Props['change'] }) {
  const plot = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState<number | null>(null);
  const [from, setFrom] = useState<number | null>(null);
  const spans = list?.series[0]?.spans ?? [];
  const errors = list?.series[0]?.errors ?? [];
  const steps = Math.max(1, spans.length);
  const highest = Math.max(1, ...spans);
  const startMs = list ? Number(BigInt(list.start_unix_nano) / 1_000_000n) : 0;
  const stepMs = list ? Number(BigInt(list.step_nano)) / 1e6 : 0;
  const total = spans.reduce((a, b) => a + b, 0);
  const failed = errors.reduce((a, b) => a + b, 0);

  const stepAt = (e: PointerEvent) => {
    const box = plot.current!.getBoundingClientRect();
    return Math.min(steps - 1, Math.max(0, Math.floor(((e.clientX - box.left) / box.width) * steps)));
  };
  const finish = () => {
    if (from !== null && at !== null && from !== at) {
      const iso = (step: number) => new Date(startMs + step * stepMs).toISOString();
      change({ range: 'custom', start: iso(Math.min(from, at)), end: iso(Math.max(from, at) + 1) });
    }
    setFrom(null);
  };
  const low = at === null ? 0 : Math.min(from ?? at, at);
  const high = at === null ? 0 : Math.max(from ?? at, at);

  return (
    <section className="histogram" aria-label="Spans over time">
      <div className="histogram-head">
        <span><b>{total.toLocaleString('en')}</b> matching {plural(total, 'span')}</span>
        <span className={failed ? 'text-error' : undefined}><b>{failed.toLocaleString('en')}</b> {plural(failed, 'error')}</span>
        {list?.partial && <span className="text-warn">partial: a damaged block was left out</span>}
        <span className="histogram-hint">{at === null || !list ? 'drag to set the time range' : describe(low, high)}</span>
      </div>
      <div
        ref={plot}
        className="histogram-plot"
        role="img"
        aria-label={`${counted(total, 'span')}, ${counted(failed, 'error')}`}
        onPointerDown={(e) => {
          if (e.button !== 0 || !list) return;
          e.currentTarget.setPointerCapture(e.pointerId);
          setFrom(stepAt(e));
          setAt(stepAt(e));
        }}
        onPointerMove={(e) => list && setAt(stepAt(e))}
        onPointerUp={finish}
        onPointerCancel={() => setFrom(null)}
        onPointerLeave={() => from === null && setAt(null)}
      >
        <svg viewBox={`0 0 ${steps} 100`} preserveAspectRatio="none" aria-hidden="true">
          {at !== null && <rect className={from === null ? 'histogram-hover' : 'histogram-brush'} x={low} y={0} width={high - low + 1} height={100} />}
          {spans.map((n, i) => n > 0 && <rect key={i} className="histogram-spans" x={i + 0.1} width={0.8} y={100 - height(n)} height={height(n)} />)}
          {errors.map((n, i) => {
            const tall = Math.max(ERRORS_MIN, (height(spans[i]) * n) / spans[i]);
            return n > 0 && <rect key={i} className="histogram-errors" x={i + 0.1} width={0.8} y={100 - tall} height={tall} />;
          })}
        </svg>
        <span className="histogram-max">{total > 0 ? highest.toLocaleString('en') : ''}</span>
      </div>
      <div className="histogram-axis" aria-hidden="true">
        {Array.from({ length: AXIS_LABELS }, (_, i) => (
          <span key={i}>{list ? formatAxis(startMs + (steps * stepMs * i) / (AXIS_LABELS - 1), steps * stepMs) : '\u00a0'}</span>
        ))}
      </div>
    </section>
  );

  function height(n: number) {
    return Math.max(SPANS_MIN, (n / highest) * 96);
  }

  function describe(a: number, b: number) {
    const sum = (list: number[]) => list.slice(a, b + 1).reduce((x, y) => x + y, 0);
    const time = (step: number) => formatStart(BigInt(Math.round(startMs + step * stepMs)) * 1_000_000n, Date.now()).replace(/\.\d+$/, '');
    return `${time(a)} – ${time(b + 1)}: ${counted(sum(spans), 'span')}, ${counted(sum(errors), 'error')}`;
  }
}
