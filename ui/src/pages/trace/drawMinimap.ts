import { PALETTE_SIZE } from '../../model/color';
import { ERROR, OFF_SCALE } from '../../model/flags';
import type { Trace } from '../../model/trace';

export const MINIMAP_PX = 64;
const PAD_PX = 3;
const LINE_PX_MAX = 5;

/** One line a span from top to bottom; lines overlap when there are more spans than pixels. Errors go on top. */
export function drawMinimap(canvas: HTMLCanvasElement, trace: Trace, colors: Uint8Array, widthPx: number) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(widthPx * ratio);
  canvas.height = Math.round(MINIMAP_PX * ratio);
  const context = canvas.getContext('2d');
  if (!context) return;
  context.scale(ratio, ratio);
  const palette = readPalette(canvas.parentElement ?? document.body);
  const step = Math.min(LINE_PX_MAX, (MINIMAP_PX - 2 * PAD_PX) / trace.count);
  const line = Math.max(1, step * 0.72);
  const perNano = widthPx / trace.range;

  const draw = (span: number, color: string, minPx: number) => {
    if (trace.flags[span] & OFF_SCALE) return;
    const x = trace.start[span] * perNano;
    const width = Math.max(minPx, Math.min(trace.duration[span], trace.range) * perNano);
    context.fillStyle = color;
    context.fillRect(Math.min(x, widthPx - minPx), PAD_PX + span * step, width, line);
  };
  for (let span = 0; span < trace.count; span++) draw(span, palette.services[colors[trace.service[span]]], 1);
  for (let span = 0; span < trace.count; span++) {
    if (trace.flags[span] & ERROR) draw(span, palette.error, 2);
  }
}

/** A canvas takes no CSS variables; what they come to in the present theme is read from an element. */
function readPalette(parent: HTMLElement) {
  const probe = document.createElement('i');
  parent.append(probe);
  const colorOf = (name: string) => {
    probe.className = name;
    return getComputedStyle(probe).backgroundColor;
  };
  const services = Array.from({ length: PALETTE_SIZE }, (_, i) => colorOf(`svc-${i}`));
  const error = colorOf('svc-error');
  probe.remove();
  return { services, error };
}
