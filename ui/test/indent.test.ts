import { describe, expect, test } from 'vitest';
import { counted } from '../src/model/count';
import { indentFor, indentOf } from '../src/model/indent';

describe('indentation', () => {
  test.each([[0, 200], [3, 200], [30, 200], [100, 200], [50_000, 200], [50_000, 20]])('a tree %d deep keeps to %d pixels', (depthMax, room) => {
    const indent = indentFor(depthMax, room);
    for (const depth of [0, 1, indent.levels, indent.levels + 1, depthMax]) expect(indentOf(indent, depth)).toBeLessThanOrEqual(room);
    expect(indent.stepPx).toBeGreaterThanOrEqual(5);
    expect(indent.stepPx).toBeLessThanOrEqual(14);
  });
  test('levels differ until the room ends', () => {
    const indent = indentFor(1000, 50);
    expect([0, 1, 9, 10, 11, 1000].map((depth) => indentOf(indent, depth))).toEqual([0, 5, 45, 50, 50, 50]);
  });
});

test.each([[0, '0 errors'], [1, '1 error'], [2, '2 errors'], [1234, '1,234 errors']])('%d counted', (n, text) => expect(counted(n, 'error')).toBe(text));
