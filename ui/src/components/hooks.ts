import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { readSetting, writeSetting } from './theme';

/** The element's content width, 0 until it is laid out. */
export function useWidth<T extends HTMLElement>(): [(element: T | null) => void, number] {
  const [width, setWidth] = useState(0);
  const observer = useRef<ResizeObserver | null>(null);
  const ref = useCallback((element: T | null) => {
    observer.current?.disconnect();
    if (!element) return;
    setWidth(element.clientWidth);
    observer.current = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.current.observe(element);
  }, []);
  return [ref, width];
}

/** The time, renewed so that "2m ago" does not stay. */
export function useNow(everyMs = 10_000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

export function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (changed) => {
      const list = matchMedia(query);
      list.addEventListener('change', changed);
      return () => list.removeEventListener('change', changed);
    },
    () => matchMedia(query).matches,
  );
}

/** A number kept in this browser, such as a pane's width. */
export function useStoredNumber(key: string, initial: number): [number, (value: number) => void] {
  const [value, setValue] = useState(() => Number(readSetting(key)) || initial);
  const store = useCallback((next: number) => {
    setValue(next);
    writeSetting(key, String(Math.round(next)));
  }, [key]);
  return [value, store];
}

export function useTitle(title: string) {
  useEffect(() => {
    document.title = title ? `${title} · Spanfall` : 'Spanfall';
  }, [title]);
}

/** Changes whenever colours do; what is drawn on a canvas must be drawn again. */
export function useThemeVersion(): number {
  const [version, setVersion] = useState(0);
  const dark = useMedia('(prefers-color-scheme: dark)');
  useEffect(() => {
    const changed = () => setVersion((v) => v + 1);
    window.addEventListener('themechange', changed);
    return () => window.removeEventListener('themechange', changed);
  }, []);
  return version * 2 + (dark ? 1 : 0);
}
