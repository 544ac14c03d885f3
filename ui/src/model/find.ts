import { ERROR } from './flags';
import type { KeyValue } from './otlp';
import type { Group, Trace } from './trace';
import { textOf } from './value';

const pairs = (attributes: KeyValue[] | undefined): string =>
  (attributes ?? []).map((kv) => `${kv.key}=${textOf(kv.value)}\n`).join('');

/**
 * Lower-cased text of every span, made at the first search and kept: names, ids, status,
 * attributes and events. Resource and scope are kept once a group.
 */
export class TraceText {
  private readonly spans: string[] = [];
  private readonly groups: string[];
  private readonly trace: Trace;

  constructor(trace: Trace) {
    this.trace = trace;
    this.groups = trace.groups.map((g) => groupText(g, trace.services[g.service]));
  }

  /** Spans that contain the text, ascending. */
  find(text: string): Uint32Array {
    const wanted = text.trim().toLowerCase();
    if (wanted === '') return new Uint32Array(0);
    const inGroup = this.groups.map((g) => g.includes(wanted));
    const found: number[] = [];
    for (let span = 0; span < this.trace.count; span++) {
      if (inGroup[this.trace.group[span]] || this.textOfSpan(span).includes(wanted)) found.push(span);
    }
    return Uint32Array.from(found);
  }

  private textOfSpan(span: number): string {
    return (this.spans[span] ??= spanText(this.trace, span));
  }
}

function groupText(group: Group, service: string): string {
  const { resource, scope } = group;
  return `${service}\n${pairs(resource.attributes)}${scope.name ?? ''} ${scope.version ?? ''}\n${pairs(scope.attributes)}`.toLowerCase();
}

function spanText(trace: Trace, span: number): string {
  const raw = trace.raw[span];
  const events = (raw.events ?? []).map((e) => `${e.name ?? ''}\n${pairs(e.attributes)}`).join('');
  return `${raw.name ?? ''}\n${raw.spanId ?? ''}\n${raw.status?.message ?? ''}\n${pairs(raw.attributes)}${events}`.toLowerCase();
}

export function errorSpans(trace: Trace): Uint32Array {
  return Uint32Array.from(trace.flags.keys()).filter((span) => trace.flags[span] & ERROR);
}

/** The entry after or before `from` in an ascending list, going round at the ends; -1 when it is empty. */
export function neighbour(sorted: Uint32Array, from: number, step: 1 | -1): number {
  if (sorted.length === 0) return -1;
  if (step === 1) return sorted.find((span) => span > from) ?? sorted[0];
  return sorted.findLast((span) => span < from) ?? sorted[sorted.length - 1];
}
