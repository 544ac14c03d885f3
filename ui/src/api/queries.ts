import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query';
import type { TracesData } from '../model/otlp';
import { conditionsOf, LIMIT_DEFAULT, RANGE_DEFAULT, seriesTimesOf, timesOf, type QueryString, type Search } from '../model/search';
import { buildTrace } from '../model/trace';
import { ApiError, get, send } from './client';
import type { Attribute, AttributeValues, Operation, SearchPage, SeriesList, ServiceCount, Status } from './types';

export const LIVE_MS = 5000;
const EMPTY_POLL_MS = 2000;
const MISSING_POLL_MS = 5000;
const SERIES_STEPS = 80;

/** Polls while there is none, so that the first span changes the page by itself. */
export const servicesQuery = queryOptions({
  queryKey: ['services'],
  queryFn: ({ signal }) => get<{ services: ServiceCount[] }>('/services', {}, signal).then((r) => r.services),
  refetchInterval: (query) => (query.state.data?.length === 0 ? EMPTY_POLL_MS : false),
});

export const operationsQuery = (service: string | undefined) =>
  queryOptions({
    queryKey: ['operations', service ?? null],
    queryFn: ({ signal }) =>
      get<{ operations: Operation[] }>('/operations', service === undefined ? {} : { service }, signal).then((r) => r.operations),
  });

export const attributesQuery = queryOptions({
  queryKey: ['attributes'],
  queryFn: ({ signal }) => get<{ attributes: Attribute[] }>('/attributes', {}, signal).then((r) => r.attributes),
});

export const valuesQuery = (key: string, level: string | undefined) =>
  queryOptions({
    queryKey: ['values', level ?? '', key],
    queryFn: ({ signal }) => get<AttributeValues>('/attributes/values', { key, ...(level && { level }) }, signal),
    enabled: key !== '',
  });

export const statusQuery = queryOptions({
  queryKey: ['status'],
  queryFn: ({ signal }) => get<Status>('/status', {}, signal),
  staleTime: 30_000,
});

const live = (search: Search) => (search.live ? LIVE_MS : false);

export const tracesQuery = (search: Search) =>
  infiniteQueryOptions({
    queryKey: ['traces', conditionsOf(search), timesOf(search), search.limit ?? LIMIT_DEFAULT],
    queryFn: ({ signal, pageParam }) =>
      get<SearchPage>('/traces', {
        ...conditionsOf(search),
        ...timesOf(search),
        limit: String(search.limit ?? LIMIT_DEFAULT),
        ...(pageParam !== '' && { cursor: pageParam }),
      }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    refetchInterval: live(search),
  });

export const seriesQuery = (search: Search) =>
  queryOptions({
    queryKey: ['series', conditionsOf(search), search.range ?? RANGE_DEFAULT, seriesTimesOf(search)],
    queryFn: async ({ signal, client }) => {
      const ask = (times: QueryString) =>
        get<SeriesList>('/series', { ...conditionsOf(search), ...times, steps: String(SERIES_STEPS) }, signal);
      if (search.range !== 'all') return ask(seriesTimesOf(search));
      const { retention_seconds } = await client.ensureQueryData(statusQuery);
      return narrowed(await ask({ start: `-${Math.max(1, retention_seconds)}s` }), ask);
    },
    placeholderData: keepPreviousData,
    refetchInterval: live(search),
  });

/** All time may hold an hour of spans in a month of retention: asks again for the part that has any. */
async function narrowed(list: SeriesList, ask: (times: QueryString) => Promise<SeriesList>): Promise<SeriesList> {
  for (let round = 0; round < 3; round++) {
    const spans = list.series[0]?.spans ?? [];
    const first = spans.findIndex((n) => n > 0);
    if (first < spans.length / 2) break;
    const start = BigInt(list.start_unix_nano) + BigInt(first) * BigInt(list.step_nano);
    list = await ask({ start: String(start) });
  }
  return list;
}

export const traceQuery = (traceId: string) =>
  queryOptions({
    queryKey: ['trace', traceId],
    queryFn: async ({ signal }) => buildTrace(await get<TracesData>(`/traces/${encodeURIComponent(traceId)}`, {}, signal), traceId),
    // Comparing two answers of 100,000 spans field by field would block the page.
    structuralSharing: false,
    staleTime: Infinity,
    gcTime: 60_000,
    // Its spans may still be on their way.
    refetchInterval: (query) => (isMissing(query.state.error) ? MISSING_POLL_MS : false),
  });

export const isMissing = (error: unknown): boolean => error instanceof ApiError && error.status === 404;

export async function makeSample(): Promise<string> {
  const response = await send('/sample', { method: 'POST' });
  return ((await response.json()) as { trace_id: string }).trace_id;
}
