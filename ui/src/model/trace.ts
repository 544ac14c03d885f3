import * as flag from './flags';
import { isSet } from './ids';
import { nanosOf, statusOf, type RawResource, type RawScope, type RawSpan, type TracesData } from './otlp';
import { timeScale } from './scale';
import { buildTree, MARK_CYCLE, MARK_DUPLICATE, MARK_ORPHAN } from './tree';
import { UNKNOWN_SERVICE } from './service';
import { find, textOf } from './value';

/** What the spans of one ScopeSpans have in common. */
export interface Group {
  service: number;
  resource: RawResource;
  resourceSchemaUrl: string;
  scope: RawScope;
  scopeSchemaUrl: string;
}

/** A trace as columns; a span is its pre-order position, which is also its row when nothing is collapsed. */
export interface Trace {
  traceId: string;
  count: number;
  /** The instant that starts count from. */
  origin: bigint;
  range: number;
  raw: RawSpan[];
  groups: Group[];
  services: string[];
  group: Uint32Array;
  service: Uint32Array;
  /** Nanoseconds from the origin; exact within 104 days of it. */
  start: Float64Array;
  /** End less start; negative when the end comes first. */
  duration: Float64Array;
  parent: Int32Array;
  depth: Uint32Array;
  size: Uint32Array;
  childCount: Uint32Array;
  flags: Uint16Array;
  /** errorsBefore[i] counts the errors in rows 0 .. i, so any subtree's errors are one subtraction. */
  errorsBefore: Uint32Array;
  rowOfId: Map<string, number>;
  tops: number[];
  /** The row that the trace is named after: the first root, or the earliest span where no root is stored; -1 without spans. */
  named: number;
  depthMax: number;
}

export function buildTrace(data: TracesData, traceId: string): Trace {
  const { raw, group, groups, services } = flatten(data);
  const n = raw.length;
  const starts = BigUint64Array.from(raw, (s) => nanosOf(s.startTimeUnixNano));
  const ends = BigUint64Array.from(raw, (s) => nanosOf(s.endTimeUnixNano));
  const scale = timeScale(starts, ends);
  const offset = Float64Array.from(starts, (s) => Number(s - scale.origin));
  const ids = raw.map((s) => (s.spanId ?? '').toLowerCase());
  const parents = raw.map((s) => (isSet(s.parentSpanId) ? s.parentSpanId.toLowerCase() : ''));

  // Spans without a start would lead every list of siblings; they go last.
  const key = offset.map((o, i) => (starts[i] === 0n ? Infinity : o));
  const byId = (a: number, b: number) => (ids[a] === ids[b] ? a - b : ids[a] < ids[b] ? -1 : 1);
  const byTime = Uint32Array.from(raw, (_, i) => i).sort((a, b) => (key[a] === key[b] ? byId(a, b) : key[a] - key[b]));
  const tree = buildTree(ids, parents, byTime);
  const isRoot = (row: number) => parents[tree.order[row]] === '';
  // As in the API's summaries, where a start of 0 is the earliest.
  const isNamedBefore = (a: number, b: number) => {
    if (isRoot(a) !== isRoot(b)) return isRoot(a);
    const [i, k] = [tree.order[a], tree.order[b]];
    return starts[i] === starts[k] ? byId(i, k) < 0 : starts[i] < starts[k];
  };

  const trace: Trace = {
    traceId, count: n, origin: scale.origin, range: scale.range, groups, services,
    raw: new Array(n),
    group: new Uint32Array(n),
    service: new Uint32Array(n),
    start: new Float64Array(n),
    duration: new Float64Array(n),
    flags: new Uint16Array(n),
    errorsBefore: new Uint32Array(n + 1),
    parent: tree.parent, depth: tree.depth, size: tree.size, childCount: tree.childCount, tops: tree.tops,
    rowOfId: new Map(),
    named: -1,
    depthMax: 0,
  };
  for (let row = 0; row < n; row++) {
    const i = tree.order[row];
    trace.raw[row] = raw[i];
    trace.group[row] = group[i];
    trace.service[row] = groups[group[i]].service;
    trace.start[row] = offset[i];
    trace.duration[row] = Number(ends[i] - starts[i]);
    const marks = tree.marks[row];
    const error = statusOf(raw[i]) === 'error';
    trace.flags[row] =
      (error ? flag.ERROR : 0) |
      (marks & MARK_ORPHAN ? flag.ORPHAN : 0) |
      (marks & MARK_CYCLE ? flag.CYCLE : 0) |
      (marks & MARK_DUPLICATE ? flag.DUPLICATE : 0) |
      timeFlags(starts[i], ends[i], !!scale.startOn[i], !!scale.endOn[i]);
    trace.errorsBefore[row + 1] = trace.errorsBefore[row] + (error ? 1 : 0);
    if (!(marks & MARK_DUPLICATE)) trace.rowOfId.set(ids[i], row);
    if (trace.named < 0 || isNamedBefore(row, trace.named)) trace.named = row;
    trace.depthMax = Math.max(trace.depthMax, tree.depth[row]);
  }
  return trace;
}

function timeFlags(start: bigint, end: bigint, startOn: boolean, endOn: boolean): number {
  return (
    (start === 0n ? flag.NO_START : 0) |
    (end === 0n ? flag.NO_END : end < start ? flag.NEGATIVE : 0) |
    (startOn ? 0 : flag.OFF_SCALE) |
    (startOn && !endOn ? flag.END_OFF_SCALE : 0)
  );
}

function flatten(data: TracesData) {
  const raw: RawSpan[] = [];
  const group: number[] = [];
  const groups: Group[] = [];
  const services: string[] = [];
  const serviceOf = new Map<string, number>();
  for (const rs of data.resourceSpans ?? []) {
    const name = textOf(find(rs.resource?.attributes, 'service.name')) || UNKNOWN_SERVICE;
    let service = serviceOf.get(name);
    if (service === undefined) {
      service = services.push(name) - 1;
      serviceOf.set(name, service);
    }
    for (const ss of rs.scopeSpans ?? []) {
      const g = groups.push({
        service,
        resource: rs.resource ?? {},
        resourceSchemaUrl: rs.schemaUrl ?? '',
        scope: ss.scope ?? {},
        scopeSchemaUrl: ss.schemaUrl ?? '',
      }) - 1;
      for (const span of ss.spans ?? []) {
        raw.push(span);
        group.push(g);
      }
    }
  }
  return { raw, group, groups, services };
}

export const hasFlag = (trace: Trace, row: number, bit: number): boolean => (trace.flags[row] & bit) !== 0;

/** Errors below the span, itself left out. */
export const errorsBelow = (trace: Trace, row: number): number =>
  trace.errorsBefore[row + trace.size[row]] - trace.errorsBefore[row + 1];

export interface Counts {
  errors: number;
  orphans: number;
  roots: number;
  cycles: number;
  duplicates: number;
  offScale: number;
  noEnd: number;
  negative: number;
}

export function countsOf(trace: Trace): Counts {
  const count = (bits: number) => trace.flags.reduce((sum, f) => sum + (f & bits ? 1 : 0), 0);
  const orphans = count(flag.ORPHAN);
  const cycles = count(flag.CYCLE);
  return {
    errors: trace.errorsBefore[trace.count], orphans, cycles,
    roots: trace.tops.length - orphans - cycles,
    duplicates: count(flag.DUPLICATE),
    offScale: count(flag.OFF_SCALE | flag.END_OFF_SCALE),
    noEnd: count(flag.NO_END),
    negative: count(flag.NEGATIVE),
  };
}
