import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { isMissing, servicesQuery, traceQuery } from '../../api/queries';
import { ErrorNote } from '../../components/ErrorNote';
import { useTitle } from '../../components/hooks';
import { parseTraceRef } from '../../model/ids';
import { MissingTrace } from './MissingTrace';
import { TraceView } from './TraceView';

const route = getRouteApi('/trace/$traceId');

export function TracePage() {
  const { traceId: asked } = route.useParams();
  const traceId = parseTraceRef(asked)?.traceId ?? asked;
  const query = useQuery(traceQuery(traceId));
  // Colours depend on it; bars that change theirs after a moment would look like a fault.
  const services = useQuery(servicesQuery);
  useTitle(`Trace ${traceId.slice(0, 8)}`);

  if (query.data && query.data.count > 0 && !services.isPending) {
    return <TraceView key={traceId} trace={query.data} refreshing={query.isFetching} refresh={() => void query.refetch()} />;
  }
  if (query.isPending || (query.data && query.data.count > 0)) return <main className="trace trace-loading" aria-busy="true"><p role="status">Loading the trace…</p></main>;
  if (query.isError && !isMissing(query.error)) {
    return <main className="page"><ErrorNote error={query.error} retry={() => void query.refetch()} /></main>;
  }
  return <MissingTrace traceId={traceId} busy={query.isFetching} retry={() => void query.refetch()} />;
}
