import { useMemo } from 'react';
import { counted } from '../../model/count';
import { formatDuration, formatDurationExact } from '../../model/duration';
import * as flag from '../../model/flags';
import { kindOf, nanosOf, statusOf } from '../../model/otlp';
import { selfTime } from '../../model/selftime';
import { formatInstant } from '../../model/time';
import { errorsBelow, type Trace } from '../../model/trace';

const MINUTE_NANOS = 60e9;

export function Facts({ trace, span, onSpan }: { trace: Trace; span: number; onSpan: (span: number) => void }) {
  const raw = trace.raw[span];
  const start = nanosOf(raw.startTimeUnixNano);
  const end = nanosOf(raw.endTimeUnixNano);
  const flags = trace.flags[span];
  const self = useMemo(() => selfTime(trace, span), [trace, span]);
  const duration = trace.duration[span];
  const parent = trace.parent[span];
  const children = trace.childCount[span];
  const below = errorsBelow(trace, span);
  return (
    <dl className="pairs facts-span">
      <div>
        <dt>duration</dt>
        <dd>
          {flags & flag.NO_END ? <span className="text-warn">no end time</span>
            : flags & flag.NO_START ? <span className="text-warn">no start time</span> : <Exact nanos={end - start} />}
          {(flags & flag.NEGATIVE) !== 0 && <span className="mark">ends before it starts</span>}
        </dd>
      </div>
      <div>
        <dt>self time</dt>
        <dd>
          {flags & (flag.NO_END | flag.NEGATIVE | flag.NO_START)
            ? <span className="text-muted">not known</span>
            : <><Exact nanos={BigInt(Math.round(self))} /> <span className="text-muted">{duration > 0 ? `${((self / duration) * 100).toFixed(self === duration ? 0 : 1)}%` : ''}</span></>}
        </dd>
      </div>
      <div><dt>start</dt><dd><Instant nanos={start} /> <span className="text-muted">{flags & (flag.NO_START | flag.OFF_SCALE) ? '' : `+${formatDurationExact(start - trace.origin)}`}</span></dd></div>
      <div><dt>end</dt><dd><Instant nanos={end} /></dd></div>
      <div><dt>kind</dt><dd>{kindOf(raw)}</dd></div>
      <div><dt>status</dt><dd className={statusOf(raw) === 'error' ? 'text-error' : undefined}>{statusOf(raw)}</dd></div>
      <div>
        <dt>parent</dt>
        <dd>
          {parent >= 0
            ? <button className="link" onClick={() => onSpan(parent)}>{trace.services[trace.service[parent]]}: {trace.raw[parent].name || '(no name)'}</button>
            : flags & flag.ORPHAN ? <span className="text-warn">not stored: <code>{raw.parentSpanId}</code></span>
            : flags & flag.CYCLE ? <span className="text-warn">a circle, cut here: <code>{raw.parentSpanId}</code></span>
            : <span className="text-muted">none, a root</span>}
        </dd>
      </div>
      <div>
        <dt>children</dt>
        <dd>{children} <span className="text-muted">{children > 0 && `of ${(trace.size[span] - 1).toLocaleString('en')} below`}</span>{below > 0 && <span className="text-error"> {counted(below, 'error')} below</span>}</dd>
      </div>
    </dl>
  );
}

/** Rounded for reading, all digits beside it when they say more. */
function Exact({ nanos }: { nanos: bigint }) {
  const short = formatDuration(nanos);
  const exact = formatDurationExact(nanos);
  const same = Number.parseFloat(short) === Number.parseFloat(exact) && Number(nanos) < MINUTE_NANOS;
  return <><b>{short}</b>{!same && <span className="text-muted"> {exact}</span>}</>;
}

function Instant({ nanos }: { nanos: bigint }) {
  if (nanos === 0n) return <span className="text-warn">not set</span>;
  return <time title={formatInstant(nanos, 'utc')}>{formatInstant(nanos)}</time>;
}
