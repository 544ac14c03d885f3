export interface TraceRef {
  traceId: string;
  spanId?: string;
}

/** A trace id as people have it: bare, with dashes, in a traceparent header or in a link to a trace. */
export function parseTraceRef(text: string): TraceRef | null {
  const input = text.trim().toLowerCase();
  const parent = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}/.exec(input);
  if (parent) return { traceId: parent[1], spanId: parent[2] };
  const link = /\/traces?\/([0-9a-f]{1,32})(?![0-9a-f])/.exec(input);
  if (link) {
    const span = /[?&]span=([0-9a-f]{1,16})(?![0-9a-f])/.exec(input);
    return { traceId: pad(link[1]), ...(span && { spanId: span[1].padStart(16, '0') }) };
  }
  const bare = input.replace(/^0x|[-\s]/g, '');
  return /^[0-9a-f]{1,32}$/.test(bare) ? { traceId: pad(bare) } : null;
}

const pad = (id: string) => id.padStart(32, '0');

/** JSON leaves an unset parent out, empty, or all zeros, by encoder. */
export const isSet = (id: string | undefined): id is string => !!id && !/^0*$/.test(id);
