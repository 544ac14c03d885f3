import { describe, expect, test } from 'vitest';
import { errorSpans, neighbour, TraceText } from '../src/model/find';
import { collapseToDepth, revealed, rowPosition, toggled, visibleRows } from '../src/model/rows';
import { traceOf } from './spans';

//            0              1               2               3               4               5
const trace = traceOf([['a', '', 0, 99], ['b', 'a', 1, 50], ['c', 'b', 2, 40], ['d', 'c', 3, 4], ['e', 'b', 41, 45], ['f', 'a', 60, 70, {
  status: { code: 2, message: 'Card declined' },
  attributes: [{ key: 'user.id', value: { intValue: '42' } }],
  events: [{ name: 'exception', attributes: [{ key: 'exception.type', value: { stringValue: 'IOError' } }] }],
}]]);
const open = new Uint8Array(trace.count);
const shown = (collapsed: Uint8Array) => [...visibleRows(trace, collapsed)].map((i) => trace.raw[i].spanId).join('');

describe('collapse', () => {
  test('all open', () => expect(shown(open)).toBe('abcdef'));
  test('one subtree', () => expect(shown(toggled(open, 1))).toBe('abf'));
  test('an inner subtree stays closed when the outer opens', () => expect(shown(toggled(toggled(toggled(open, 2), 1), 1))).toBe('abcef'));
  test('toggling leaves the old state as it was', () => {
    toggled(open, 0);
    expect(open.every((c) => c === 0)).toBe(true);
  });
  test('to a depth', () => {
    expect(shown(collapseToDepth(trace, 0))).toBe('a');
    expect(shown(collapseToDepth(trace, 1))).toBe('abf');
    expect(shown(collapseToDepth(trace, 2))).toBe('abcef');
    expect(shown(collapseToDepth(trace, Infinity))).toBe('abcdef');
  });
  test('revealing a span opens its ancestors and nothing else', () => {
    const closed = collapseToDepth(trace, 0);
    expect(shown(revealed(trace, closed, 4))).toBe('abcef');
    expect(revealed(trace, open, 3)).toBe(open);
  });
  test('a hidden span has the position of its nearest shown ancestor', () => {
    const rows = visibleRows(trace, toggled(open, 1));
    expect([0, 1, 2, 3, 4, 5].map((span) => rowPosition(rows, span))).toEqual([0, 1, 1, 1, 1, 2]);
  });
});

describe('find', () => {
  const text = new TraceText(trace);
  const found = (query: string) => [...text.find(query)];
  test('names, attributes, events, status and service', () => {
    expect(found('USER.ID=42')).toEqual([5]);
    expect(found('ioerror')).toEqual([5]);
    expect(found('card')).toEqual([5]);
    expect(found('shop')).toEqual([0, 1, 2, 3, 4, 5]);
    expect(found('nothing like it')).toEqual([]);
  });
  test('blank finds nothing', () => expect(found('  ')).toEqual([]));
  test('next and previous go round', () => {
    const spans = Uint32Array.from([1, 3, 5]);
    expect([neighbour(spans, -1, 1), neighbour(spans, 3, 1), neighbour(spans, 5, 1)]).toEqual([1, 5, 1]);
    expect([neighbour(spans, 3, -1), neighbour(spans, 1, -1), neighbour(spans, -1, -1)]).toEqual([1, 5, 5]);
    expect(neighbour(new Uint32Array(0), 3, 1)).toBe(-1);
  });
  test('errors', () => expect([...errorSpans(trace)]).toEqual([5]));
});
