export const THEMES = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const KEY = 'spanfall.theme';

export function readTheme(): Theme {
  return THEMES.find((t) => t === readSetting(KEY)) ?? 'auto';
}

export function applyTheme(theme: Theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  writeSetting(KEY, theme);
  window.dispatchEvent(new Event('themechange'));
}

/** Settings of this browser; one that refuses storage just forgets them. */
export function readSetting(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function writeSetting(key: string, value: string) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // forgotten
  }
}
