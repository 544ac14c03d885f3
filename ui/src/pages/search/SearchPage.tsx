import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useCallback } from 'react';
import { seriesQuery, servicesQuery, tracesQuery } from '../../api/queries';
import { ErrorNote } from '../../components/ErrorNote';
import { useTitle } from '../../components/hooks';
import { readSearch, type Search } from '../../model/search';
import { shownService } from '../../model/service';
import { Filters } from './Filters';
import { FirstSpan } from './FirstSpan';
import { Histogram } from './Histogram';
import { Results } from './Results';

const route = getRouteApi('/');

export function SearchPage() {
  const services = useQuery(servicesQuery);
  if (services.data?.length === 0) return <FirstSpan />;
  if (services.isError && !services.data) {
    return <main className="page"><ErrorNote error={services.error} retry={() => void services.refetch()} /></main>;
  }
  return <SearchView />;
}

function SearchView() {
  const search = route.useSearch();
  const navigate = useNavigate({ from: '/' });
  const client = useQueryClient();
  const traces = useInfiniteQuery(tracesQuery(search));
  const series = useQuery(seriesQuery(search));
  const service = search.service === undefined ? undefined : shownService(search.service);
  useTitle([service, search.operation].filter(Boolean).join(' · ') || 'Search');

  const change = useCallback(
    (patch: Partial<Search>) => void navigate({ search: (old: Search) => readSearch({ ...old, ...patch }) }),
    [navigate],
  );
  const refresh = () => void client.invalidateQueries({ predicate: (q) => q.queryKey[0] !== 'trace' });

  return (
    <main className="page">
      <Filters search={search} change={change} refresh={refresh} busy={traces.isFetching} />
      <Histogram query={series} quiet={traces.isError} change={change} />
      <Results query={traces} search={search} change={change} />
    </main>
  );
}
