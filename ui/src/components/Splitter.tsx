import type { PointerEvent } from 'react';

interface Props {
  label: string;
  value: number;
  min: number;
  max: number;
  onChange: (value: number) => void;
  /** -1 where dragging right makes the pane smaller. */
  direction?: 1 | -1;
  className?: string;
}

const KEY_STEP_PX = 24;

/** A vertical line that resizes a pane by pointer or arrow keys. */
export function Splitter({ label, value, min, max, onChange, direction = 1, className = '' }: Props) {
  const set = (next: number) => onChange(Math.min(max, Math.max(min, next)));

  const drag = (down: PointerEvent<HTMLDivElement>) => {
    down.preventDefault();
    const line = down.currentTarget;
    line.setPointerCapture(down.pointerId);
    const move = (e: globalThis.PointerEvent) => set(value + (e.clientX - down.clientX) * direction);
    const done = () => line.removeEventListener('pointermove', move);
    line.addEventListener('pointermove', move);
    line.addEventListener('lostpointercapture', done, { once: true });
  };

  return (
    <div
      role="separator"
      tabIndex={0}
      aria-orientation="vertical"
      aria-label={label}
      aria-valuenow={Math.round(value)}
      aria-valuemin={Math.round(min)}
      aria-valuemax={Math.round(max)}
      className={`splitter ${className}`}
      onPointerDown={drag}
      onKeyDown={(e) => {
        const step = e.key === 'ArrowLeft' ? -1 : e.key === 'ArrowRight' ? 1 : 0;
        if (step === 0) return;
        e.preventDefault();
        e.stopPropagation();
        set(value + step * direction * KEY_STEP_PX);
      }}
    />
  );
}
