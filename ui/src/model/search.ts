import { normaliseDuration } from './duration';
import { STATUSES, type Status } from './otlp';

/**
 * The search page's whole state, named as in its query string and, where it exists there, in the API.
 * An empty service is the one without a name; any other text that is empty counts as not given.
 */
export interface Search {
  service?: string;
  operation?: string;
  attribute?: string[];
  status?: Status;
  min_duration?: string;
  max_duration?: string;
  range?: RangeName;
  /** RFC 3339; only with the range `custom`. */
  start?: string;
  end?: string;
  limit?: number;
  live?: boolean;
}

export const RANGES = {
  '5m': { label: 'Last 5 minutes', minutes: 5 },
  '15m': { label: 'Last 15 minutes', minutes: 15 },
  '1h': { label: 'Last hour', minutes: 60 },
  '6h': { label: 'Last 6 hours', minutes: 360 },
  '24h': { label: 'Last 24 hours', minutes: 1440 },
  '7d': { label: 'Last 7 days', minutes: 10_080 },
  all: { label: 'All time', minutes: 0 },
  custom: { label: 'Custom…', minutes: 0 },
} as const;
export type RangeName = keyof typeof RANGES;

export const RANGE_DEFAULT: RangeName = '1h';
export const LIMITS = [20, 50, 100, 200];
export const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 1000;

export type QueryString = Record<string, string | string[]>;

/** Reads any query string; what does not fit is left out, so a mangled link still opens. */
export function readSearch(query: Record<string, unknown>): Search {
  const search: Search = {};
  const text = (name: string) => {
    const value = [query[name]].flat()[0];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const set = <K extends keyof Search>(name: K, value: Search[K] | undefined) => {
    if (value !== undefined) search[name] = value;
  };
  const service = [query.service].flat()[0];
  set('service', typeof service === 'string' ? service : undefined);
  set('operation', text('operation'));
  const conditions = [query.attribute ?? []].flat().filter((a): a is string => typeof a === 'string' && /^.+=/s.test(a));
  if (conditions.length > 0) search.attribute = [...new Set(conditions)];
  set('status', STATUSES.find((s) => s === text('status')));
  set('min_duration', text('min_duration'));
  set('max_duration', text('max_duration'));
  const range = text('range') ?? (text('start') || text('end') ? 'custom' : undefined);
  if (range && range in RANGES && range !== RANGE_DEFAULT) search.range = range as RangeName;
  if (search.range === 'custom') {
    set('start', text('start'));
    set('end', text('end'));
  }
  const limit = Number(text('limit') ?? query.limit ?? LIMIT_DEFAULT);
  if (Number.isInteger(limit) && limit >= 1 && limit <= LIMIT_MAX && limit !== LIMIT_DEFAULT) search.limit = limit;
  if (text('live') === '1' || query.live === true) search.live = true;
  return search;
}

/** The inverse of readSearch. */
export function writeSearch(search: Search): QueryString {
  const query: QueryString = {};
  for (const [name, value] of Object.entries(readSearch({ ...search }))) {
    query[name] = Array.isArray(value) ? value : value === true ? '1' : String(value);
  }
  return query;
}

/** What /traces and /series are asked; the time range apart. */
export function conditionsOf(search: Search): QueryString {
  const { service, operation, attribute, status } = search;
  const min = search.min_duration && (normaliseDuration(search.min_duration) ?? search.min_duration);
  const max = search.max_duration && (normaliseDuration(search.max_duration) ?? search.max_duration);
  return { ...(service !== undefined && { service }), ...defined({ operation, attribute, status, min_duration: min, max_duration: max }) };
}

/** How far clocks of senders may be ahead: "last hour" takes those in, and no year 2554. */
const AHEAD = '+5m';

/** The time range as /traces takes it. */
export function timesOf(search: Search): QueryString {
  const range = search.range ?? RANGE_DEFAULT;
  if (range === 'all') return {};
  if (range === 'custom') return defined({ start: search.start, end: search.end });
  return { start: `-${RANGES[range].minutes}m`, end: AHEAD };
}

/** The time range as /series takes it: steps up to now. */
export function seriesTimesOf(search: Search): QueryString {
  const { start, end } = timesOf(search);
  return end === AHEAD ? defined({ start }) : defined({ start, end });
}

/** The shortest range that reaches back to an instant. */
export function rangeReaching(instantMs: number, nowMs: number): RangeName {
  const minutes = (nowMs - instantMs) / 60_000;
  const names: RangeName[] = [RANGE_DEFAULT, '6h', '24h', '7d'];
  return names.find((name) => RANGES[name].minutes > minutes) ?? 'all';
}

export const isUnfiltered = (search: Search): boolean => Object.keys(conditionsOf(search)).length === 0;

function defined(query: Record<string, string | string[] | undefined>): QueryString {
  return Object.fromEntries(Object.entries(query).filter(([, v]) => v !== undefined && v !== '')) as QueryString;
}

/** Plain repeated parameters instead of the router's JSON, so that links read well. */
export function parseQuery(text: string): QueryString {
  const query: QueryString = {};
  for (const [name, value] of new URLSearchParams(text)) {
    query[name] = name in query ? [query[name], value].flat() : value;
  }
  return query;
}

export function formatQuery(query: Record<string, unknown>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) {
      if (one === undefined || one === null || one === false) continue;
      parameters.append(name, one === true ? '1' : String(one));
    }
  }
  return parameters.size > 0 ? `?${parameters}` : '';
}
