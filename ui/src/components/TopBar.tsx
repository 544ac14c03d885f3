import { Link } from '@tanstack/react-router';
import { ThemeToggle } from './ThemeToggle';
import { TraceIdBox } from './TraceIdBox';

export function TopBar() {
  return (
    <header className="topbar">
      <Link to="/" className="brand" aria-label="Spanfall, to search">
        <svg viewBox="0 0 16 16" width="18" height="18" aria-hidden="true">
          <rect x="0" y="1.5" width="16" height="3" rx="1.5" className="brand-a" />
          <rect x="3" y="6.5" width="9" height="3" rx="1.5" className="brand-b" />
          <rect x="8" y="11.5" width="6" height="3" rx="1.5" className="brand-c" />
        </svg>
        <span>Spanfall</span>
      </Link>
      <nav aria-label="Pages">
        <Link to="/" className="nav" activeOptions={{ exact: true, includeSearch: false }}>Search</Link>
      </nav>
      <TraceIdBox />
      <ThemeToggle />
    </header>
  );
}
