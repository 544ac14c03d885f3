import { describe, expect, test } from 'vitest';
import { formatDuration, formatDurationExact, formatTick, normaliseDuration } from '../src/model/duration';
import { formatCount } from '../src/model/count';
import { isSet, parseTraceRef } from '../src/model/ids';
import { nanosOf } from '../src/model/otlp';
import { formatAgo, formatInstant } from '../src/model/time';

describe('durations', () => {
  test.each([
    [0, '0ns'], [1, '1ns'], [999, '999ns'], [1000, '1.00µs'], [1234, '1.23µs'], [9_996, '10.0µs'], [45_678, '45.7µs'], [999_499, '999µs'],
    [999_500, '1.00ms'], [1_000_000, '1.00ms'], [123_456_789, '123ms'], [999_500_000, '1.00s'], [1_500_000_000, '1.50s'], [59_940_000_000, '59.9s'],
    [59_960_000_000, '1m 00s'], [60_000_000_000, '1m 00s'], [125_000_000_000, '2m 05s'], [3_599_400_000_000, '59m 59s'], [3_599_600_000_000, '1h 00m'],
    [11_220_000_000_000, '3h 07m'], [180_000_000_000_000, '50h 00m'], [-9_000_000, '−9.00ms'],
  ])('%d ns reads %s', (nanos, text) => {
    expect(formatDuration(nanos)).toBe(text);
    expect(formatDuration(BigInt(nanos))).toBe(text);
  });

  test.each([
    [0n, '0ns'], [999n, '999ns'], [1000n, '1µs'], [1_234_567n, '1.234567ms'], [1_000_000_001n, '1.000000001s'], [59_999_999_999n, '59.999999999s'],
    [60_000_000_000n, '1m 0s'], [3_723_000_000_004n, '1h 2m 3.000000004s'], [-5n, '−5ns'], [18_446_744_073_709_551_615n, '5124095h 34m 33.709551615s'],
  ])('%d ns is exactly %s', (nanos, text) => expect(formatDurationExact(nanos)).toBe(text));

  test.each([
    [0, 100, '0'], [1500, 500, '1.5µs'], [20e6, 20e6, '20ms'], [1e9, 5e8, '1.0s'], [1.25e9, 5e7, '1.25s'], [90e9, 30e9, '1m 30s'], [90e9, 1e6, '90.000s'],
  ])('tick %d at steps of %d reads %s', (nanos, step, text) => expect(formatTick(nanos, step)).toBe(text));

  test.each([
    ['100ms', '100ms'], [' 1.5 s ', '1.5s'], ['20µs', '20us'], ['20μs', '20us'], ['250', '250ms'], ['3H', '3h'], ['', null], ['fast', null], ['-3ms', null], ['1d', null],
  ])('%j is asked as %j', (text, asked) => expect(normaliseDuration(text)).toBe(asked));
});

test.each([[0, '0'], [999, '999'], [1000, '1.0k'], [1327, '1.3k'], [9999, '9.9k'], [10_000, '10k'], [57_070, '57k'], [999_999, '999k'], [1_250_000, '1.2M']])('%d is %s', (n, text) => expect(formatCount(n)).toBe(text));

describe('times', () => {
  test('keep nanoseconds', () => expect(formatInstant(1_763_640_216_123_456_789n, 'utc')).toBe('2025-11-20 12:03:36.123456789Z'));
  test('reach the end of u64', () => expect(formatInstant(18_446_744_073_709_551_615n, 'utc')).toBe('2554-07-21 23:34:33.709551615Z'));
  test.each([[0, 'now'], [1499, 'now'], [12_000, '12s ago'], [150_000, '2m ago'], [7_200_000, '2h ago'], [200_000_000, '2d ago'], [-60_000, 'in 1m']])(
    '%d ms back is %s', (ms, text) => expect(formatAgo(1e12 - ms, 1e12)).toBe(text),
  );
  test.each([['7', 7n], [7, 7n], ['', 0n], [undefined, 0n], ['x', 0n], ['-1', 0n], ['1.5', 0n], ['18446744073709551615', 18446744073709551615n]])(
    'nanoseconds of %j are %d', (value, nanos) => expect(nanosOf(value)).toBe(nanos),
  );
});

describe('trace ids', () => {
  const id = '4bf92f3577b34da6a3ce929d0e0e4736';
  test.each([
    [id, { traceId: id }], [` ${id.toUpperCase()} `, { traceId: id }], ['4bf92f35-77b3-4da6-a3ce-929d0e0e4736', { traceId: id }],
    ['ABC', { traceId: 'abc'.padStart(32, '0') }], [`00-${id}-00f067aa0ba902b7-01`, { traceId: id, spanId: '00f067aa0ba902b7' }],
    [`https://x.example/trace/${id}?span=00f067aa0ba902b7`, { traceId: id, spanId: '00f067aa0ba902b7' }], [`/api/traces/${id}`, { traceId: id }],
    ['', null], ['checkout', null], [`${id}0`, null],
  ])('%j', (text, ref) => expect(parseTraceRef(text)).toEqual(ref));
  test.each([['', false], [undefined, false], ['0000000000000000', false], ['00000000000000a0', true]])('%j is set: %s', (text, set) => expect(isSet(text)).toBe(set));
});
