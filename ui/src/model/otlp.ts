/** The shapes of OTLP JSON (opentelemetry-proto, trace/v1), as far as they are read here. */

export interface AnyValue {
  stringValue?: string;
  boolValue?: boolean;
  intValue?: string | number;
  doubleValue?: number | string;
  arrayValue?: { values?: AnyValue[] };
  kvlistValue?: { values?: KeyValue[] };
  bytesValue?: string;
}

export interface KeyValue {
  key: string;
  value?: AnyValue;
}

export interface RawEvent {
  timeUnixNano?: string | number;
  name?: string;
  attributes?: KeyValue[];
  droppedAttributesCount?: number;
}

export interface RawLink {
  traceId?: string;
  spanId?: string;
  traceState?: string;
  flags?: number;
  attributes?: KeyValue[];
  droppedAttributesCount?: number;
}

export interface RawSpan {
  traceId?: string;
  spanId?: string;
  parentSpanId?: string;
  traceState?: string;
  flags?: number;
  name?: string;
  kind?: number | string;
  startTimeUnixNano?: string | number;
  endTimeUnixNano?: string | number;
  attributes?: KeyValue[];
  droppedAttributesCount?: number;
  events?: RawEvent[];
  droppedEventsCount?: number;
  links?: RawLink[];
  droppedLinksCount?: number;
  status?: { code?: number | string; message?: string };
}

export interface RawScope {
  name?: string;
  version?: string;
  attributes?: KeyValue[];
  droppedAttributesCount?: number;
}

export interface EntityRef {
  schemaUrl?: string;
  type?: string;
  idKeys?: string[];
  descriptionKeys?: string[];
}

export interface RawResource {
  attributes?: KeyValue[];
  droppedAttributesCount?: number;
  entityRefs?: EntityRef[];
}

export interface ScopeSpans {
  scope?: RawScope;
  spans?: RawSpan[];
  schemaUrl?: string;
}

export interface ResourceSpans {
  resource?: RawResource;
  scopeSpans?: ScopeSpans[];
  schemaUrl?: string;
}

export interface TracesData {
  resourceSpans?: ResourceSpans[];
}

export const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const;
export type Kind = (typeof KINDS)[number];

export const STATUSES = ['unset', 'ok', 'error'] as const;
export type Status = (typeof STATUSES)[number];

/** The specification asks for numbers; some encoders write the enum's name. */
function enumOf<T extends string>(names: readonly T[], prefix: string, value: number | string | undefined): T {
  if (typeof value === 'number') return names[value] ?? names[0];
  const name = (value ?? '').replace(prefix, '').toLowerCase();
  return names.find((n) => n === name) ?? names[Number(name)] ?? names[0];
}

export const kindOf = (span: RawSpan): Kind => enumOf(KINDS, 'SPAN_KIND_', span.kind);
export const statusOf = (span: RawSpan): Status => enumOf(STATUSES, 'STATUS_CODE_', span.status?.code);

/** u64 nanoseconds; what cannot be read counts as not set. */
export function nanosOf(value: string | number | undefined): bigint {
  if (value === undefined || value === '') return 0n;
  try {
    const nanos = BigInt(value);
    return nanos < 0n ? 0n : BigInt.asUintN(64, nanos);
  } catch {
    return 0n;
  }
}
