// Searches in memory, as far as the UI asks.
const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];
const STATUSES = ['unset', 'ok', 'error'];
const UNITS = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

function textOf(value = {}) {
  const [type] = Object.keys(value);
  return type === undefined || typeof value[type] === 'object' ? null : String(value[type]);
}

const typeOf = (value = {}) => (Object.keys(value)[0] ?? 'any').replace('Value', '').replace(/array|kvlist/, 'any');

function nanos(text) {
  const [, number, unit] = /^([\d.]+)(ns|us|ms|s|m|h)$/.exec(text);
  return Number(number) * UNITS[unit];
}

function instant(text, fallback) {
  if (!text) return fallback;
  if (text.startsWith('+')) return BigInt(Date.now()) * 1_000_000n + BigInt(Math.round(nanos(text.slice(1))));
  if (text.startsWith('-')) return BigInt(Date.now()) * 1_000_000n - BigInt(Math.round(nanos(text.slice(1))));
  return /^\d+$/.test(text) ? BigInt(text) : BigInt(Date.parse(text)) * 1_000_000n;
}

export class Store {
  constructor(traces) {
    this.traces = [];
    for (const trace of traces) this.add(trace);
  }

  add({ traceId, data }) {
    const spans = data.resourceSpans.flatMap((rs) => {
      const service = textOf(rs.resource.attributes.find((a) => a.key === 'service.name')?.value);
      return rs.scopeSpans.flatMap((ss) => ss.spans.map((span) => ({
        span, service, resource: rs.resource.attributes, scope: ss.scope.attributes ?? [],
        start: BigInt(span.startTimeUnixNano), duration: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)),
      })));
    });
    this.traces.push({ traceId, data, spans, summary: summarise(traceId, spans) });
    this.traces.sort((a, b) => (BigInt(b.summary.start_unix_nano) > BigInt(a.summary.start_unix_nano) ? 1 : -1));
  }

  get(traceId) {
    return this.traces.find((t) => t.traceId === traceId)?.data;
  }

  all() {
    return this.traces.flatMap((t) => t.spans);
  }

  spanCount() {
    return this.all().length;
  }

  services() {
    return count(this.all(), (s) => s.service).map(([name, n]) => ({ name, ...n })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  operations(service) {
    const spans = this.all().filter((s) => !service || s.service === service);
    return count(spans, (s) => JSON.stringify([s.service, s.span.name, KINDS[s.span.kind]]))
      .map(([key, n]) => { const [service, name, kind] = JSON.parse(key); return { service, name, kind, ...n }; });
  }

  attributes() {
    const found = new Map();
    for (const s of this.all()) for (const [level, kv] of levels(s)) {
      const key = `${level}.${kv.key}`;
      const entry = found.get(key) ?? { level, key: kv.key, type: typeOf(kv.value), count: 0 };
      entry.count++;
      found.set(key, entry);
    }
    return [...found.values()];
  }

  values(key, level) {
    const found = new Map();
    for (const s of this.all()) for (const [at, kv] of levels(s)) {
      const value = textOf(kv.value);
      if (kv.key !== key || (level && at !== level) || value === null) continue;
      const entry = found.get(value) ?? { value, type: typeOf(kv.value), count: 0 };
      entry.count++;
      found.set(value, entry);
    }
    const values = [...found.values()].sort((a, b) => b.count - a.count);
    return { values: values.slice(0, 100), complete: values.length <= 100 };
  }

  search(query) {
    const limit = Number(query.get('limit') ?? 20);
    const from = Number(query.get('cursor') ?? 0);
    const matches = condition(query);
    const found = this.traces.filter((t) => t.spans.some(matches)).map((t) => t.summary);
    const next = from + limit;
    return { traces: found.slice(from, next), next_cursor: next < found.length ? String(next) : null, partial: query.get('service') === 'ads' };
  }

  series(query) {
    const steps = Number(query.get('steps') ?? 60);
    const now = BigInt(Date.now()) * 1_000_000n;
    const start = instant(query.get('start'), now - 3_600_000_000_000n);
    const end = instant(query.get('end'), now);
    const step = (end - start) / BigInt(steps) || 1n;
    const series = { name: null, spans: Array(steps).fill(0), errors: Array(steps).fill(0), duration_sum_nano: Array(steps).fill('0') };
    const matches = condition(query);
    for (const s of this.all()) {
      const at = Number((s.start - start) / step);
      if (s.start < start || at >= steps || !matches(s)) continue;
      series.spans[at]++;
      if (s.span.status?.code === 2) series.errors[at]++;
    }
    return { start_unix_nano: String(start), step_nano: String(step), partial: false, series: [series] };
  }
}

function condition(query) {
  const service = query.get('service');
  const operation = query.get('operation');
  const status = query.get('status');
  const min = query.get('min_duration') ? nanos(query.get('min_duration')) : -Infinity;
  const max = query.get('max_duration') ? nanos(query.get('max_duration')) : Infinity;
  const start = instant(query.get('start'), 0n);
  const end = instant(query.get('end'), 1n << 64n);
  const attributes = query.getAll('attribute').map((a) => [a.slice(0, a.indexOf('=')), a.slice(a.indexOf('=') + 1)]);
  return (s) =>
    (!service || s.service === service) && (!operation || s.span.name === operation) &&
    (!status || STATUSES[s.span.status?.code ?? 0] === status) &&
    s.duration >= min && s.duration <= max && s.start >= start && s.start < end &&
    attributes.every(([key, value]) => levels(s).some(([level, kv]) => (kv.key === key || `${level}.${kv.key}` === key) && textOf(kv.value) === value));
}

function levels(s) {
  const { span } = s;
  return [
    ...s.resource.map((kv) => ['resource', kv]), ...s.scope.map((kv) => ['scope', kv]), ...span.attributes.map((kv) => ['span', kv]),
    ...(span.events ?? []).flatMap((e) => e.attributes.map((kv) => ['event', kv])),
    ...(span.links ?? []).flatMap((l) => l.attributes.map((kv) => ['link', kv])),
  ];
}

function count(spans, keyOf) {
  const counts = new Map();
  for (const s of spans) {
    const entry = counts.get(keyOf(s)) ?? { span_count: 0, error_count: 0 };
    entry.span_count++;
    if (s.span.status?.code === 2) entry.error_count++;
    counts.set(keyOf(s), entry);
  }
  return [...counts];
}

function summarise(traceId, spans) {
  const ids = new Set(spans.map((s) => s.span.spanId));
  const dated = spans.filter((s) => s.start > 0n);
  const first = dated.reduce((a, b) => (b.start < a.start ? b : a));
  const root = dated.find((s) => !s.span.parentSpanId);
  const end = dated.reduce((max, s) => { const e = BigInt(s.span.endTimeUnixNano); return e > max && e < 1n << 63n ? e : max; }, 0n);
  const from = (root ?? first).start;
  return {
    trace_id: traceId, root_service: (root ?? first).service, root_name: (root ?? first).span.name,
    start_unix_nano: String(from), duration_nano: String(end - from), span_count: spans.length,
    error_count: spans.filter((s) => s.span.status?.code === 2).length,
    services: count(spans, (s) => s.service).map(([name, n]) => ({ name, ...n })).sort((a, b) => b.span_count - a.span_count),
    missing_root: !root, orphan_count: spans.filter((s) => s.span.parentSpanId && !ids.has(s.span.parentSpanId)).length,
  };
}
