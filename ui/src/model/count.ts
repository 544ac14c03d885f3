/** At most four characters, cut rather than rounded: 999, 1.3k, 57k, 1.2M. */
export function formatCount(n: number): string {
  for (const [unit, size] of [['M', 1e6], ['k', 1e3]] as const) {
    if (n < size) continue;
    const tenths = Math.floor((n / size) * 10) / 10;
    return (tenths < 10 ? tenths.toFixed(1) : Math.floor(tenths)) + unit;
  }
  return String(n);
}

export const plural = (n: number, one: string): string => (n === 1 ? one : `${one}s`);

/** 1 span, 2 spans, 1,234 spans. */
export const counted = (n: number, one: string): string => `${n.toLocaleString('en')} ${plural(n, one)}`;
