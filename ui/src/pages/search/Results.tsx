import type { InfiniteData, UseInfiniteQueryResult } from '@tanstack/react-query';
import type { SearchPage } from '../../api/types';
import { ErrorNote } from '../../components/ErrorNote';
import { useNow } from '../../components/hooks';
import { useColors } from '../../components/useColors';
import { WarnIcon } from '../../components/icons';
import { plural } from '../../model/count';
import { isUnfiltered, LIMIT_DEFAULT, LIMITS, RANGE_DEFAULT, RANGES } from '../../model/search';
import type { FilterProps } from './Filters';
import { ResultRow } from './ResultRow';

interface Props extends FilterProps {
  query: UseInfiniteQueryResult<InfiniteData<SearchPage>>;
}

export function Results({ query, search, change }: Props) {
  const now = useNow();
  const colorOf = useColors();
  const pages = query.data?.pages ?? [];
  const traces = pages.flatMap((p) => p.traces);
  const longest = traces.reduce((max, t) => Math.max(max, Number(t.duration_nano)), 1);
  const limit = search.limit ?? LIMIT_DEFAULT;
  const more = query.hasNextPage ? '+' : '';

  return (
    <section className={query.isPlaceholderData ? 'results results-old' : 'results'} aria-label="Traces" aria-busy={query.isFetching}>
      {query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />}
      {pages.some((p) => p.partial) && (
        <div className="note note-warn" role="status"><WarnIcon /> Some results may be missing: a damaged block was left out.</div>
      )}
      <div className="results-head">
        <span className="results-count">
          {query.isPending ? 'Searching…' : query.isError && traces.length === 0 ? 'No answer' : `${traces.length.toLocaleString('en')}${more} ${plural(more ? 2 : traces.length, 'trace')}, newest first`}
          <select className="input" aria-label="Traces a page" value={limit} onChange={(e) => change({ limit: Number(e.target.value) })}>
            {[...new Set([...LIMITS, limit])].sort((a, b) => a - b).map((n) => <option key={n} value={n}>{n} a page</option>)}
          </select>
        </span>
        <span>Duration</span>
        <span className="results-num">Spans</span>
        <span className="results-num">Errors</span>
        <span className="results-time">Start</span>
      </div>
      {query.isPending && <Skeleton rows={limit} />}
      {query.isSuccess && traces.length === 0 && <Nothing search={search} change={change} />}
      <ol className="results-list">
        {traces.map((t) => <ResultRow key={t.trace_id} trace={t} longest={longest} now={now} colorOf={colorOf} />)}
      </ol>
      {query.hasNextPage && (
        <button className="button results-more" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
          {query.isFetchingNextPage ? 'Loading…' : 'Load more'}
        </button>
      )}
    </section>
  );
}

function Skeleton({ rows }: { rows: number }) {
  return (
    <div aria-hidden="true">
      {Array.from({ length: Math.min(rows, 20) }, (_, i) => <div key={i} className="result skeleton"><i /><i /></div>)}
    </div>
  );
}

function Nothing({ search, change }: FilterProps) {
  const range = search.range ?? RANGE_DEFAULT;
  return (
    <div className="nothing">
      <p>
        No trace {isUnfiltered(search) ? '' : 'meets these conditions '}
        {range === 'all' ? 'at all.' : range === 'custom' ? 'in this time.' : `in the ${RANGES[range].label.toLowerCase()}.`}
      </p>
      <p>
        {range !== 'all' && <button className="button" onClick={() => change({ range: 'all', start: undefined, end: undefined })}>Search all time</button>}{' '}
        {!isUnfiltered(search) && (
          <button
            className="button"
            onClick={() => change({ service: undefined, operation: undefined, attribute: undefined, status: undefined, min_duration: undefined, max_duration: undefined })}
          >
            Clear the conditions
          </button>
        )}
      </p>
    </div>
  );
}
