import { describe, expect, test } from 'vitest';
import { kindOf, statusOf, type AnyValue } from '../src/model/otlp';
import { byteLength, sizeText, textOf, typeOf } from '../src/model/value';

const nested: AnyValue = {
  kvlistValue: {
    values: [
      { key: 'list', value: { arrayValue: { values: [{ intValue: '9223372036854775807' }, { stringValue: 'a "b"' }, {}] } } },
      { key: 'ok', value: { boolValue: false } },
    ],
  },
};

describe('attribute values', () => {
  test.each<[AnyValue | undefined, string, string]>([
    [{ stringValue: '' }, 'string', ''],
    [{ stringValue: 'x' }, 'string', 'x'],
    [{ intValue: '9223372036854775807' }, 'int', '9223372036854775807'],
    [{ intValue: 5 }, 'int', '5'],
    [{ doubleValue: 200 }, 'double', '200.0'],
    [{ doubleValue: 0.1 }, 'double', '0.1'],
    [{ doubleValue: 1e300 }, 'double', '1e+300'],
    [{ doubleValue: 'NaN' }, 'double', 'NaN'],
    [{ doubleValue: '-Infinity' }, 'double', '-Infinity'],
    [{ boolValue: false }, 'bool', 'false'],
    [{ bytesValue: '3q2+7w==' }, 'bytes', '3q2+7w=='],
    [{ arrayValue: {} }, 'array', '[]'],
    [{ arrayValue: { values: [{ stringValue: 'a' }, { intValue: '1' }] } }, 'array', '["a", 1]'],
    [nested, 'kvlist', '{"list": [9223372036854775807, "a \\"b\\"", null], "ok": false}'],
    [{}, 'empty', ''],
    [undefined, 'empty', ''],
  ])('%j is %s %j', (value, type, text) => {
    expect(typeOf(value)).toBe(type);
    expect(textOf(value)).toBe(text);
  });

  test('sizes', () => {
    expect(sizeText(nested)).toBe('2 keys');
    expect(sizeText({ arrayValue: { values: [{}] } })).toBe('1 item');
    expect(sizeText({ bytesValue: '3q2+7w==' })).toBe('4 bytes');
    expect(byteLength('')).toBe(0);
  });
});

test('kinds and statuses by number, by name, or unknown', () => {
  expect([2, 'SPAN_KIND_CONSUMER', undefined, 17].map((kind) => kindOf({ kind }))).toEqual(['server', 'consumer', 'unspecified', 'unspecified']);
  expect([2, 'STATUS_CODE_OK', undefined].map((code) => statusOf({ status: { code } }))).toEqual(['error', 'ok', 'unset']);
  expect(statusOf({})).toBe('unset');
});
