import { describe, expect, test } from 'vitest';
import css from '../src/styles/tokens.css?raw';
import { assignColors, colorBook, colorOf, PALETTE_SIZE } from '../src/model/color';

type Rgb = [number, number, number];


function token(name: string, theme: number): Rgb {
  const found = new RegExp(`--${name}: light-dark\\(#(\\w{6}), #(\\w{6})\\)`).exec(css);
  if (!found) throw new Error(`no --${name}`);
  const channel = (at: number) => {
    const v = parseInt(found[theme + 1].slice(at, at + 2), 16) / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  return [channel(0), channel(2), channel(4)];
}

const luminance = ([r, g, b]: Rgb) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
function contrast(a: Rgb, b: Rgb) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

function oklab([r, g, b]: Rgb): Rgb {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s, 0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s];
}
const distance = (a: Rgb, b: Rgb) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** Machado, Oliveira, Fernandes 2009, severity 1. */
const SIGHT: Record<string, number[][]> = {
  full: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protan: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deutan: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
};
const seen = (matrix: number[][], c: Rgb) => matrix.map((row) => Math.max(0, row[0] * c[0] + row[1] * c[1] + row[2] * c[2])) as Rgb;

describe.each([['light', 0], ['dark', 1]])('%s theme', (_, theme) => {
  const palette = Array.from({ length: PALETTE_SIZE }, (_, i) => token(`svc-${i}`, theme));

  test('service colours stand out from the background', () => {
    for (const color of palette) expect(contrast(color, token('bg', theme))).toBeGreaterThanOrEqual(3);
  });
  test.each([['full', 0.09], ['protan', 0.065], ['deutan', 0.065]])('service colours differ with %s sight', (sight, least) => {
    palette.forEach((a, i) => palette.slice(0, i).forEach((b) => {
      expect(distance(oklab(seen(SIGHT[sight], a)), oklab(seen(SIGHT[sight], b)))).toBeGreaterThanOrEqual(least);
    }));
  });
  test('no service looks like an error', () => {
    for (const color of palette) expect(distance(oklab(color), oklab(token('error', theme)))).toBeGreaterThanOrEqual(0.11);
  });
  test.each(['text', 'muted', 'accent', 'error', 'warn'])('%s is legible on every surface', (name) => {
    for (const surface of ['bg', 'surface', 'raised', 'hover', 'active']) {
      expect(contrast(token(name, theme), token(surface, theme)), `${name} on ${surface}`).toBeGreaterThanOrEqual(4.5);
    }
  });
  test('control borders are visible', () => expect(contrast(token('line-control', theme), token('bg', theme))).toBeGreaterThanOrEqual(3));
  test('text on notes is legible', () => {
    expect(contrast(token('error', theme), token('error-soft', theme))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(token('warn', theme), token('warn-soft', theme))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(token('accent-text', theme), token('accent', theme))).toBeGreaterThanOrEqual(4.5);
  });
});

describe('assignment', () => {
  test('a name keeps its colour', () => expect(['frontend', 'cart', 'payment', ''].map(colorOf)).toEqual(['frontend', 'cart', 'payment', ''].map(colorOf)));
  test('names spread over the palette', () => {
    const uses = new Array<number>(PALETTE_SIZE).fill(0);
    for (let i = 0; i < 1200; i++) uses[colorOf(`service-${i}`)]++;
    expect(Math.min(...uses)).toBeGreaterThan(60);
    expect(Math.max(...uses)).toBeLessThan(140);
  });
  test('distinct in one trace up to the palette, whatever the order', () => {
    const names = Array.from({ length: PALETTE_SIZE }, (_, i) => `s${i}`);
    expect(new Set(assignColors(names)).size).toBe(PALETTE_SIZE);
    const forwards = assignColors(names);
    const backwards = assignColors(names.toReversed());
    expect([...backwards].reverse()).toEqual([...forwards]);
  });
  test('beyond the palette colours repeat evenly', () => {
    const colors = assignColors(Array.from({ length: PALETTE_SIZE * 2 }, (_, i) => `s${i}`));
    for (let c = 0; c < PALETTE_SIZE; c++) expect(colors.filter((x) => x === c)).toHaveLength(2);
  });
  test('a trace takes the colours of the book', () => {
    const known = ['a', 'b', 'c', 'd', 'e', 'f'];
    const book = colorBook(known);
    expect([...assignColors(['c', 'a'], book)]).toEqual([book('c'), book('a')]);
    expect(book('new')).toBe(colorOf('new'));
  });
});
