import { useState } from 'react';
import { applyTheme, readTheme, THEMES } from './theme';

const LABELS = { auto: 'as the system', light: 'light', dark: 'dark' };

export function ThemeToggle() {
  const [theme, setTheme] = useState(readTheme);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  return (
    <button
      className="button button-plain theme-toggle"
      title={`Theme: ${LABELS[theme]}. Click for ${LABELS[next]}.`}
      aria-label={`Theme: ${LABELS[theme]}. Change to ${LABELS[next]}.`}
      onClick={() => {
        applyTheme(next);
        setTheme(next);
      }}
    >
      <svg viewBox="0 0 16 16" width="15" height="15" aria-hidden="true">
        <circle cx="8" cy="8" r="5.5" fill={theme === 'dark' ? 'currentColor' : 'none'} stroke="currentColor" strokeWidth="1.5" />
        {theme === 'auto' && <path d="M8 2.5a5.5 5.5 0 0 1 0 11Z" fill="currentColor" />}
      </svg>
    </button>
  );
}
