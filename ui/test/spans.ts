import type { RawSpan, TracesData } from '../src/model/otlp';
import { buildTrace, type Trace } from '../src/model/trace';

export const T0 = 1_763_640_216_000_000_000n;

/** `[id, parent, start, end, extra]`, times in nanoseconds after T0; -1 means not set. */
export type Row = [id: string, parent: string, start: number, end: number, extra?: RawSpan];

export function traceOf(rows: Row[], service = 'shop'): Trace {
  const at = (n: number) => (n === -1 ? '0' : String(T0 + BigInt(n)));
  const spans = rows.map(([spanId, parentSpanId, start, end, extra]): RawSpan => ({
    spanId, parentSpanId, name: spanId, startTimeUnixNano: at(start), endTimeUnixNano: at(end), ...extra,
  }));
  return buildTrace(dataOf({ [service]: spans }), 't');
}

export function dataOf(services: Record<string, RawSpan[]>): TracesData {
  return {
    resourceSpans: Object.entries(services).map(([name, spans]) => ({
      resource: { attributes: [{ key: 'service.name', value: { stringValue: name } }] },
      scopeSpans: [{ spans }],
    })),
  };
}

/** The tree as indented names, one a line. */
export const drawn = (trace: Trace): string[] => trace.raw.map((s, i) => '.'.repeat(trace.depth[i]) + s.spanId);
