import { describe, expect, test } from 'vitest';
import { around, barAt, clampWindow, panned, ticksOf, zoomed } from '../src/model/window';

const whole = { from: 0, to: 1000 };

describe('bar', () => {
  const cases: [string, [start: number, duration: number, label: number], object][] = [
    ['label right of it', [0, 100, 40], { left: 0, width: 50, label: 'right', labelLeft: 55 }],
    ['label left when there is no room right', [800, 200, 40], { left: 400, width: 100, label: 'left', labelLeft: 355 }],
    ['label on it when there is room at neither side', [10, 980, 40], { left: 5, width: 490, label: 'in', labelLeft: 450 }],
    ['never thinner than 2 px', [500, 0, 40], { left: 250, width: 2 }],
    ['nor outside at the very end', [1000, 0, 40], { left: 498, width: 2, label: 'left' }],
    ['a negative length starts where it starts', [500, -300, 40], { left: 250, width: 2 }],
    ['cut at the left', [-500, 600, 40], { left: 0, width: 50 }],
    ['cut at the right', [900, 5000, 40], { left: 450, width: 50 }],
    ['before the window', [-50, 10, 40], { outside: 'before', labelLeft: 12 }],
    ['after the window', [1010, 10, 40], { outside: 'after', label: 'left', labelLeft: 448 }],
    ['infinitely before', [-1.7e18, 0, 40], { outside: 'before' }],
  ];
  for (const [name, [start, duration, label], expected] of cases) {
    test(name, () => expect(barAt(start, duration, whole, 500, label)).toMatchObject({ outside: null, ...expected }));
  }

  test('labels stay inside at every position and size', () => {
    for (let start = -200; start <= 1200; start += 7) {
      for (const duration of [0, 1, 30, 400, 1500]) {
        const { labelLeft, left, width } = barAt(start, duration, whole, 300, 60);
        expect(labelLeft).toBeGreaterThanOrEqual(0);
        expect(labelLeft + 60).toBeLessThanOrEqual(300);
        expect(left + width).toBeLessThanOrEqual(300.001);
      }
    }
  });
});

describe('window', () => {
  test('zoom keeps the anchor in place', () => {
    expect(zoomed(whole, 1000, 0.5, 0)).toEqual({ from: 0, to: 500 });
    expect(zoomed(whole, 1000, 0.5, 1)).toEqual({ from: 500, to: 1000 });
    expect(zoomed({ from: 400, to: 600 }, 1000, 2)).toEqual({ from: 300, to: 700 });
  });
  test('zooming out ends at the whole', () => expect(zoomed({ from: 900, to: 1000 }, 1000, 100)).toEqual(whole));
  test('zooming in ends before nothing is left', () => {
    const { from, to } = zoomed({ from: 500, to: 511 }, 1000, 0.001);
    expect(to - from).toBe(10);
  });
  test('a trace shorter than the smallest window is shown whole', () => expect(clampWindow({ from: 0, to: 1 }, 3)).toEqual({ from: 0, to: 3 }));
  test('moves stop at the ends', () => {
    expect(panned({ from: 100, to: 300 }, 1000, -1)).toEqual({ from: 0, to: 200 });
    expect(panned({ from: 700, to: 900 }, 1000, 1)).toEqual({ from: 800, to: 1000 });
  });
  test('around a span leaves room', () => expect(around(500, 100, 1000)).toEqual({ from: 490, to: 610 }));
});

describe('ticks', () => {
  test('1, 2, 5 and clock steps', () => {
    expect(ticksOf(whole, 500)).toEqual({ step: 500, at: [0, 500, 1000] });
    expect(ticksOf({ from: 0, to: 42e9 }, 760).step).toBe(10e9);
    expect(ticksOf({ from: 0, to: 3600e9 }, 760).step).toBe(600e9);
    expect(ticksOf({ from: 0, to: 30 * 86_400e9 }, 760).step).toBe(5 * 86_400e9);
  });
  test('only inside the window, few, and never without end', () => {
    for (const [from, to] of [[3, 17], [1.5, 2.25e6], [0, 1], [1e15, 9e15]]) {
      const { at } = ticksOf({ from, to }, 800);
      expect(at.length).toBeLessThan(20);
      for (const tick of at) expect(tick >= from && tick <= to).toBe(true);
    }
  });
});
