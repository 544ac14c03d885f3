import { describe, expect, test } from 'vitest';
import * as flag from '../src/model/flags';
import shared from '../../crates/model/tests/data/trees.json';
import { UNKNOWN_SERVICE } from '../src/model/service';
import { buildTrace, countsOf, errorsBelow, hasFlag, type Trace } from '../src/model/trace';
import { dataOf, drawn, traceOf, type Row } from './spans';

interface Shared {
  what: string;
  /** `[id, parent, start]`; parent 0 is none, start 0 is not set. */
  spans: number[][];
  /** A line per row: a point for each level, the id, `?` behind an orphan, `@` behind a cut circle. */
  tree: string[];
  named?: string;
}

const hex = (id: number) => (id === 0 ? '' : id.toString(16).padStart(16, '0'));

function lines(trace: Trace): string[] {
  return trace.raw.map((s, row) => {
    const mark = hasFlag(trace, row, flag.ORPHAN) ? '?' : hasFlag(trace, row, flag.CYCLE) ? '@' : '';
    return '.'.repeat(trace.depth[row]) + parseInt(s.spanId!, 16) + mark;
  });
}

describe('the same trees as crates/model', () => {
  for (const { what, spans, tree, named } of shared as Shared[]) {
    test(what, () => {
      const trace = traceOf(spans.map(([id, parent, start]): Row => [hex(id), hex(parent), start || -1, start + 1]));
      expect(lines(trace)).toEqual(tree);
      if (named) expect(trace.raw[trace.named].spanId).toBe(hex(Number(named)));
    });
  }
});

describe('tree', () => {
  test('an all-zero parent is no parent', () => {
    expect(countsOf(traceOf([['a', '0000000000000000', 0, 9]]))).toMatchObject({ roots: 1, orphans: 0 });
  });

  test('a span without a start is marked', () => {
    const trace = traceOf([['r', '', 0, 9], ['z', 'r', -1, 5]]);
    expect(trace.flags[trace.rowOfId.get('z')!]).toBe(flag.NO_START | flag.OFF_SCALE);
  });

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

  test('a trace is named after its root, whatever lies before it', () => {
    expect(traceOf([['o', 'gone', 0, 1], ['r', '', 5, 6]]).named).toBe(0);
    expect(traceOf([]).named).toBe(-1);
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
