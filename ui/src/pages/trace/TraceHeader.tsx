import { Link, useCanGoBack, useRouter } from '@tanstack/react-router';
import { useMemo } from 'react';
import { readToken } from '../../api/auth';
import { send, url } from '../../api/client';
import { CopyButton } from '../../components/CopyButton';
import { useNow } from '../../components/hooks';
import { BackIcon, DownloadIcon, RefreshIcon } from '../../components/icons';
import { Service } from '../../components/Service';
import { formatDuration, formatDurationExact } from '../../model/duration';
import { formatAgo, formatInstant, msOf } from '../../model/time';
import { countsOf, type Trace } from '../../model/trace';

interface Props {
  trace: Trace;
  colors: Uint8Array;
  refreshing: boolean;
  refresh: () => void;
  onService: (name: string) => void;
}

export function TraceHeader({ trace, colors, refreshing, refresh, onService }: Props) {
  const now = useNow();
  const root = trace.named;
  const { errors } = useMemo(() => countsOf(trace), [trace]);
  const perService = useMemo(() => {
    const counts = trace.services.map(() => ({ spans: 0, errors: 0 }));
    trace.service.forEach((s, span) => {
      counts[s].spans++;
      counts[s].errors += trace.flags[span] & 1;
    });
    return counts;
  }, [trace]);
  const order = useMemo(() => trace.services.map((_, i) => i).sort((a, b) => perService[b].spans - perService[a].spans), [trace, perService]);

  return (
    <header className="trace-head">
      <div className="trace-title">
        <BackLink />
        <h1 title={`${trace.services[trace.service[root]]}: ${trace.raw[root].name ?? ''}`}>
          <span className="trace-service">{trace.services[trace.service[root]]}</span>
          <span>{trace.raw[root].name || '(no name)'}</span>
        </h1>
        <span className="trace-id"><code>{trace.traceId}</code><CopyButton text={trace.traceId} label="Copy the trace id" /></span>
        <span className="trace-actions">
          <button className={refreshing ? 'button busy' : 'button'} onClick={refresh} title="Fetch the trace again, with spans that came since"><RefreshIcon /><span className="wide-only"> Refresh</span></button>
          <a className="button" href={url(`/traces/${trace.traceId}`)} download={`trace-${trace.traceId}.json`} onClick={(e) => download(e, trace.traceId)} title="Download as OTLP JSON">
            <DownloadIcon /><span className="wide-only"> JSON</span>
          </a>
        </span>
      </div>
      <dl className="facts">
        <div><dt>Start</dt>{trace.origin === 0n
          ? <dd className="text-warn" title="No span of the trace has a start time">no start time</dd>
          : <dd title={formatInstant(trace.origin, 'utc')}>{formatInstant(trace.origin).slice(0, -6)} <span className="text-muted">{formatAgo(msOf(trace.origin), now)}</span></dd>}</div>
        <div><dt>Duration</dt><dd title={formatDurationExact(BigInt(trace.range))}>{formatDuration(trace.range)}</dd></div>
        <div><dt>Spans</dt><dd>{trace.count.toLocaleString('en')}</dd></div>
        <div><dt>Services</dt><dd>{trace.services.length}</dd></div>
        <div><dt>Errors</dt><dd className={errors ? 'text-error' : undefined}>{errors.toLocaleString('en')}</dd></div>
        <div><dt>Depth</dt><dd>{trace.depthMax + 1}</dd></div>
        <div className="legend">
          {order.map((i) => (
            <button key={i} className="legend-item" onClick={() => onService(trace.services[i])}>
              <Service name={trace.services[i]} color={colors[i]} count={perService[i].spans} errors={perService[i].errors} />
            </button>
          ))}
        </div>
      </dl>
    </header>
  );
}

/** Back to the results one came from; to an empty search when the trace was opened by a link. */
function BackLink() {
  const router = useRouter();
  const canGoBack = useCanGoBack();
  return (
    <Link
      to="/" className="button button-plain" aria-label="Back to search" title="Back to search"
      onClick={(e) => {
        if (!canGoBack || e.ctrlKey || e.metaKey) return;
        e.preventDefault();
        router.history.back();
      }}
    >
      <BackIcon />
    </Link>
  );
}

/** A plain link cannot carry the token. */
function download(event: React.MouseEvent<HTMLAnchorElement>, traceId: string) {
  if (!readToken()) return;
  event.preventDefault();
  void send(`/traces/${traceId}`).then((r) => r.blob()).then((blob) => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = `trace-${traceId}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
