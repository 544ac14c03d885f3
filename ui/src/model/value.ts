import type { AnyValue, KeyValue } from './otlp';

export type ValueType = 'string' | 'int' | 'double' | 'bool' | 'bytes' | 'array' | 'kvlist' | 'empty';

export function typeOf(value: AnyValue | undefined): ValueType {
  if (!value) return 'empty';
  if (value.stringValue !== undefined) return 'string';
  if (value.intValue !== undefined) return 'int';
  if (value.doubleValue !== undefined) return 'double';
  if (value.boolValue !== undefined) return 'bool';
  if (value.arrayValue !== undefined) return 'array';
  if (value.kvlistValue !== undefined) return 'kvlist';
  if (value.bytesValue !== undefined) return 'bytes';
  return 'empty';
}

/** What a person reads and copies: scalars bare, nested values as JSON. */
export function textOf(value: AnyValue | undefined): string {
  switch (typeOf(value)) {
    case 'string': return value!.stringValue!;
    case 'int': return String(value!.intValue);
    case 'double': return doubleText(value!.doubleValue!);
    case 'bool': return String(value!.boolValue);
    case 'bytes': return value!.bytesValue!;
    case 'empty': return '';
    default: return nestedText(value!);
  }
}

/** OTLP JSON has no nested-value text of its own; integers keep all their digits here. */
function nestedText(value: AnyValue | undefined): string {
  switch (typeOf(value)) {
    case 'array': return `[${(value!.arrayValue!.values ?? []).map(nestedText).join(', ')}]`;
    case 'kvlist': return `{${(value!.kvlistValue!.values ?? []).map((kv) => `${JSON.stringify(kv.key)}: ${nestedText(kv.value)}`).join(', ')}}`;
    case 'string': case 'bytes': return JSON.stringify(textOf(value));
    case 'empty': return 'null';
    default: return textOf(value);
  }
}

function doubleText(value: number | string): string {
  const number = Number(value);
  // A whole double keeps its point, so that it is not taken for an int.
  return Number.isInteger(number) && Math.abs(number) < 1e15 ? number.toFixed(1) : String(number);
}

export function byteLength(base64: string): number {
  const bare = base64.replace(/=+$/, '');
  return Math.floor((bare.length * 3) / 4);
}

/** "3 items", "12 bytes": what a nested value holds, for its closed state. */
export function sizeText(value: AnyValue): string {
  const many = (n: number, unit: string) => `${n} ${unit}${n === 1 ? '' : 's'}`;
  switch (typeOf(value)) {
    case 'array': return many(value.arrayValue?.values?.length ?? 0, 'item');
    case 'kvlist': return many(value.kvlistValue?.values?.length ?? 0, 'key');
    case 'bytes': return many(byteLength(value.bytesValue ?? ''), 'byte');
    default: return '';
  }
}

/** Search compares only these types. */
export const isSearchable = (type: ValueType): boolean =>
  type === 'string' || type === 'int' || type === 'double' || type === 'bool';

export function find(attributes: KeyValue[] | undefined, key: string): AnyValue | undefined {
  return attributes?.find((kv) => kv.key === key)?.value;
}
