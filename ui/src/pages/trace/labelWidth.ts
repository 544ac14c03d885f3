/** As .bar-label in styles/waterfall.css. */
const FONT_PX = 11;

const widths = new Map<string, number>();
let context: CanvasRenderingContext2D | null = null;

/** Pixels of a bar's label. Measured on a canvas: measuring an element would cost a layout for each row. */
export function labelWidth(text: string): number {
  // Figures all have the same width here, so "1.23ms" and "4.56ms" share an entry.
  const shape = text.replace(/\d/g, '0');
  let width = widths.get(shape);
  if (width === undefined) {
    if (!context) {
      context = document.createElement('canvas').getContext('2d')!;
      context.font = `${FONT_PX}px ${getComputedStyle(document.body).fontFamily}`;
    }
    width = Math.ceil(context.measureText(shape).width) + 1;
    widths.set(shape, width);
  }
  return width;
}
