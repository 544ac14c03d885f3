import { describe, expect, test } from 'vitest';
import * as flag from '../src/model/flags';
import { selfTime } from '../src/model/selftime';
import { traceOf, T0, type Row } from './spans';

const DAY = 86_400e9;

describe('time scale', () => {
  test('runs from the earliest start to the latest end, to the nanosecond', () => {
    const trace = traceOf([['a', '', 100, 1_000_000_007], ['b', 'a', 101, 1_000_000_008]]);
    expect(trace.origin).toBe(T0 + 100n);
    expect(trace.range).toBe(999_999_908);
    expect([...trace.start]).toEqual([0, 1]);
    expect([...trace.duration]).toEqual([999_999_907, 999_999_907]);
  });

  const odd: Record<string, { row: Row; flags: number }> = {
    'a start of 0': { row: ['x', 'a', -1, 50], flags: flag.NO_START | flag.OFF_SCALE },
    'no times at all': { row: ['x', 'a', -1, -1], flags: flag.NO_START | flag.NO_END | flag.OFF_SCALE },
    'a start two days early': { row: ['x', 'a', -2 * DAY, 5], flags: flag.OFF_SCALE },
    'a start two days late': { row: ['x', 'a', 2 * DAY, 2 * DAY + 5], flags: flag.OFF_SCALE },
    'an end before the start': { row: ['x', 'a', 40, 10], flags: flag.NEGATIVE },
    'an end of 0': { row: ['x', 'a', 40, -1], flags: flag.NO_END },
    'an end in the year 2554': { row: ['x', 'a', 40, 0, { endTimeUnixNano: '18446744073709551615' }], flags: flag.END_OFF_SCALE },
    'zero length': { row: ['x', 'a', 40, 40], flags: 0 },
    'times that are no numbers': { row: ['x', 'a', 0, 0, { startTimeUnixNano: 'soon', endTimeUnixNano: '-5' }], flags: flag.NO_START | flag.NO_END | flag.OFF_SCALE },
  };
  for (const [name, { row, flags }] of Object.entries(odd)) {
    test(`${name} does not change it`, () => {
      const trace = traceOf([['a', '', 0, 100], ['b', 'a', 10, 90], ['c', 'a', 20, 80], row]);
      expect(trace.origin).toBe(T0);
      expect(trace.range).toBe(100);
      expect(trace.flags[trace.rowOfId.get('x')!]).toBe(flags);
    });
  }

  test('one absurd span among two does not win by coming first', () => {
    const trace = traceOf([['x', '', -1, 5], ['a', '', 0, 100]]);
    expect(trace.range).toBe(100);
  });

  test('a single span of two days is all on the scale', () => {
    const trace = traceOf([['a', '', 0, 2 * DAY]]);
    expect(trace.range).toBe(2 * DAY);
    expect(trace.flags[0]).toBe(0);
  });

  test('a batch of a week is all on the scale', () => {
    const rows = Array.from({ length: 70 }, (_, i): Row => [`s${i}`, '', (i * DAY) / 10, (i * DAY) / 10 + 1e9]);
    expect(traceOf(rows).flags.every((f) => f === 0)).toBe(true);
  });

  test('only spans without a start still make a trace', () => {
    const trace = traceOf([['a', '', -1, -1], ['b', 'a', -1, -1]]);
    expect(trace.range).toBe(1);
    expect(trace.count).toBe(2);
  });

  test('no spans', () => {
    expect(traceOf([])).toMatchObject({ count: 0, range: 1 });
  });
});

describe('self time', () => {
  const cases: Record<string, [Row[], number]> = {
    'without children all of it': [[['a', '', 0, 100]], 100],
    'less its children': [[['a', '', 0, 100], ['b', 'a', 10, 30], ['c', 'a', 50, 60]], 70],
    'overlapping children once': [[['a', '', 0, 100], ['b', 'a', 10, 50], ['c', 'a', 20, 40], ['d', 'a', 45, 60]], 50],
    'children cut at its ends': [[['a', '', 50, 100], ['b', 'a', 0, 60], ['c', 'a', 90, 400]], 30],
    'grandchildren do not count': [[['a', '', 0, 100], ['b', 'a', 10, 20], ['c', 'b', 30, 90]], 90],
    'children that end before they start do not count': [[['a', '', 0, 100], ['b', 'a', 60, 20]], 100],
    'its own end before its start': [[['a', '', 100, 0]], 0],
  };
  for (const [name, [rows, expected]] of Object.entries(cases)) {
    test(name, () => expect(selfTime(traceOf(rows), 0)).toBe(expected));
  }
});
