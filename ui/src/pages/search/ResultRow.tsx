import { Link } from '@tanstack/react-router';
import { memo } from 'react';
import type { TraceSummary } from '../../api/types';
import { ErrorIcon } from '../../components/icons';
import { Service } from '../../components/Service';
import { counted } from '../../model/count';
import { formatDuration, formatDurationExact } from '../../model/duration';
import { shownService } from '../../model/service';
import { formatAgo, formatInstant, formatStart, msOf } from '../../model/time';

interface Props {
  trace: TraceSummary;
  /** Nanoseconds; the bars are relative to it. */
  longest: number;
  now: number;
  colorOf: (service: string) => number;
}

const SERVICES_SHOWN = 6;

export const ResultRow = memo(function ResultRow({ trace, longest, now, colorOf }: Props) {
  const start = BigInt(trace.start_unix_nano);
  const duration = BigInt(trace.duration_nano);
  const share = (Number(duration) / longest) * 100;
  const hidden = trace.services.length - SERVICES_SHOWN;
  return (
    <li>
      <Link to="/trace/$traceId" params={{ traceId: trace.trace_id }} className="result" data-testid="trace-result" data-trace-id={trace.trace_id}>
        <span className="result-name">
          <b>{shownService(trace.root_service ?? '')}</b> <span>{trace.root_name || '(no name)'}</span>
        </span>
        <span className="result-duration" title={formatDurationExact(duration)}>
          <span className="result-bar"><i className={trace.error_count ? 'result-bar-error' : ''} style={{ width: `${share}%` }} /></span>
          <span>{formatDuration(duration)}</span>
        </span>
        <span className="results-num"><span className="result-label">spans </span>{trace.span_count.toLocaleString('en')}</span>
        <span className="results-num">
          {trace.error_count > 0 ? <span className="text-error"><ErrorIcon /> {trace.error_count.toLocaleString('en')}</span> : <span className="text-muted">0</span>}
        </span>
        {start === 0n ? <span className="results-time text-warn" title="No span of the trace has a start time">no start time</span> : (
          <time className="results-time" title={formatInstant(start, 'utc')} dateTime={new Date(msOf(start)).toISOString()}>
            <span>{formatStart(start, now)}</span> <span className="text-muted result-ago">{formatAgo(msOf(start), now)}</span>
          </time>
        )}
        <span className="result-services">
          {trace.services.slice(0, SERVICES_SHOWN).map((s) => (
            <Service key={s.name} name={s.name} color={colorOf(s.name)} count={s.span_count} errors={s.error_count} />
          ))}
          {hidden > 0 && <span className="text-muted" title={trace.services.slice(SERVICES_SHOWN).map((s) => shownService(s.name)).join(', ')}>+{hidden} more</span>}
          {trace.missing_root && <span className="mark" title="No span without a parent is stored">no root</span>}
          {trace.orphan_count > 0 && <span className="mark" title="Spans whose parent is not stored">{counted(trace.orphan_count, 'orphan')}</span>}
          <code className="result-id">{trace.trace_id.slice(0, 8)}</code>
        </span>
      </Link>
    </li>
  );
});
