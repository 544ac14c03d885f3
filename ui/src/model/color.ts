/** Colours in styles/tokens.css, --svc-0 and on; each is told apart from the others with red- or green-blindness too. */
export const PALETTE_SIZE = 12;

/** FNV-1a, 32 bits: the same service has the same colour on every page and machine. */
export function colorOf(service: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(service)) hash = Math.imul(hash ^ byte, 0x01000193);
  // The low bits alone cluster for short names that differ in the last letter.
  return ((hash ^ (hash >>> 15)) >>> 0) % PALETTE_SIZE;
}

/**
 * One colour for each service. A service has the colour it prefers unless another, earlier by
 * name, has it; then it takes the next free one. Colours repeat only beyond the palette.
 */
export function assignColors(services: string[], preferred: (service: string) => number = colorOf): Uint8Array {
  const colors = new Uint8Array(services.length);
  const byName = services.map((_, i) => i).sort((a, b) => (services[a] < services[b] ? -1 : 1));
  let used = new Set<number>();
  for (const i of byName) {
    if (used.size === PALETTE_SIZE) used = new Set();
    let color = preferred(services[i]);
    while (used.has(color)) color = (color + 1) % PALETTE_SIZE;
    used.add(color);
    colors[i] = color;
  }
  return colors;
}

/** Colours of all services that are stored, told apart as far as the palette goes; the hash for any other. */
export function colorBook(known: string[]): (service: string) => number {
  const colors = assignColors(known);
  const book = new Map(known.map((name, i) => [name, colors[i]]));
  return (service) => book.get(service) ?? colorOf(service);
}
