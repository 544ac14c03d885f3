import { describe, expect, test } from 'vitest';
import * as flag from '../src/model/flags';
import { buildTrace, countsOf, errorsBelow, hasFlag, rootOf, UNKNOWN_SERVICE } from '../src/model/trace';
import { dataOf, drawn, traceOf, type Row } from './spans';

const cases: Record<string, { rows: Row[]; tree: string[]; marks?: Record<string, number> }> = {
  'children by start, whatever the order sent': {
    rows: [['c', 'a', 30, 40], ['b', 'a', 10, 20], ['a', '', 0, 50], ['d', 'b', 12, 15]],
    tree: ['a', '.b', '..d', '.c'],
  },
  'equal starts keep the order sent': {
    rows: [['a', '', 0, 9], ['x', 'a', 1, 2], ['b', 'a', 1, 3]],
    tree: ['a', '.x', '.b'],
  },
  'orphans come last, with their children': {
    rows: [['o', 'gone', 1, 5], ['p', 'o', 2, 3], ['a', '', 4, 9]],
    tree: ['a', 'o', '.p'],
    marks: { o: flag.ORPHAN },
  },
  'only orphans': { rows: [['o', 'gone', 1, 5]], tree: ['o'], marks: { o: flag.ORPHAN } },
  'many roots by start': { rows: [['b', '', 5, 6], ['a', '', 1, 9]], tree: ['a', 'b'] },
  'an all-zero parent is no parent': { rows: [['a', '0000000000000000', 0, 9]], tree: ['a'] },
  'a span that is its own parent': { rows: [['a', 'a', 0, 9]], tree: ['a'], marks: { a: flag.CYCLE } },
  'a circle is cut at its earliest span': {
    rows: [['b', 'a', 2, 5], ['c', 'b', 3, 4], ['a', 'c', 1, 9]],
    tree: ['a', '.b', '..c'],
    marks: { a: flag.CYCLE },
  },
  'a tail on a circle stays on it': {
    rows: [['x', 'b', 0, 1], ['a', 'b', 2, 9], ['b', 'a', 3, 8], ['r', '', 1, 9]],
    tree: ['r', 'b', '.x', '.a'],
    marks: { b: flag.CYCLE },
  },
  'two circles': {
    rows: [['a', 'b', 1, 9], ['b', 'a', 2, 8], ['c', 'd', 3, 9], ['d', 'c', 4, 8]],
    tree: ['a', '.b', 'c', '.d'],
    marks: { a: flag.CYCLE, c: flag.CYCLE },
  },
  'a second span of an id is kept; children hang on the first sent': {
    rows: [['r', '', 0, 9], ['a', 'r', 1, 5], ['a', 'r', 2, 5], ['k', 'a', 3, 4]],
    tree: ['r', '.a', '..k', '.a'],
  },
  'spans without a start come after their siblings': {
    rows: [['r', '', 0, 9], ['z', 'r', -1, 5], ['b', 'r', 3, 5]],
    tree: ['r', '.b', '.z'],
    marks: { z: flag.NO_START | flag.OFF_SCALE },
  },
};

describe('tree', () => {
  for (const [name, { rows, tree, marks = {} }] of Object.entries(cases)) {
    test(name, () => {
      const trace = traceOf(rows);
      expect(drawn(trace)).toEqual(tree);
      for (const [id, bits] of Object.entries(marks)) expect(trace.flags[trace.rowOfId.get(id)!]).toBe(bits);
    });
  }

  test('sizes and child counts cover the subtree', () => {
    const trace = traceOf([['a', '', 0, 9], ['b', 'a', 1, 5], ['c', 'b', 2, 3], ['d', 'a', 6, 7]]);
    expect([...trace.size]).toEqual([4, 2, 1, 1]);
    expect([...trace.childCount]).toEqual([2, 1, 0, 0]);
    expect([...trace.parent]).toEqual([-1, 0, 1, 0]);
  });

  test('ids match without regard to case', () => {
    expect(drawn(traceOf([['AB', '', 0, 9], ['c', 'ab', 1, 2]]))).toEqual(['AB', '.c']);
  });

  test('a chain of 50,000 spans neither overflows the stack nor takes long', () => {
    const rows = Array.from({ length: 50_000 }, (_, i): Row => [`s${i}`, i ? `s${i - 1}` : '', i, 60_000]);
    const trace = traceOf(rows.reverse());
    expect(trace.depthMax).toBe(49_999);
    expect(trace.size[0]).toBe(50_000);
  });

  test('a circle of 50,000 spans ends', () => {
    const n = 50_000;
    const trace = traceOf(Array.from({ length: n }, (_, i): Row => [`s${i}`, `s${(i + n - 1) % n}`, i, n]));
    expect(countsOf(trace)).toMatchObject({ cycles: 1, roots: 0, orphans: 0 });
    expect(trace.raw[0].spanId).toBe('s0');
  });

  test('errors are counted below any span', () => {
    const error = { status: { code: 2 } };
    const trace = traceOf([['a', '', 0, 9, error], ['b', 'a', 1, 5], ['c', 'b', 2, 3, error], ['d', 'a', 6, 7, { status: { code: 'STATUS_CODE_ERROR' } }]]);
    expect([0, 1, 2, 3].map((i) => errorsBelow(trace, i))).toEqual([2, 1, 0, 0]);
    expect(countsOf(trace).errors).toBe(3);
  });

  test('the root is the earliest true root, else the earliest top', () => {
    expect(rootOf(traceOf([['o', 'gone', 0, 1], ['r', '', 5, 6]]))).toBe(0);
    expect(rootOf(traceOf([]))).toBe(-1);
  });

  test('services join resources of the same name; none is said', () => {
    const trace = buildTrace({ resourceSpans: [...dataOf({ a: [{ spanId: '1' }] }).resourceSpans!, ...dataOf({ a: [{ spanId: '2' }] }).resourceSpans!, { scopeSpans: [{ spans: [{ spanId: '3' }] }] }] }, 't');
    expect(trace.services).toEqual(['a', UNKNOWN_SERVICE]);
    expect([...trace.service]).toEqual([0, 0, 1]);
    expect(trace.groups).toHaveLength(3);
  });

  test('a duplicate is marked, the first is found by id', () => {
    const trace = traceOf([['r', '', 0, 9], ['a', 'r', 5, 6], ['a', 'r', 1, 2]]);
    expect(drawn(trace)).toEqual(['r', '.a', '.a']);
    expect(hasFlag(trace, 1, flag.DUPLICATE)).toBe(true);
    expect(trace.rowOfId.get('a')).toBe(2);
  });
});
