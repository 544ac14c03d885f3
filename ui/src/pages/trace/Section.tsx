import { useState, type ReactNode } from 'react';
import { readSetting, writeSetting } from '../../components/theme';

interface Props {
  title: string;
  count?: number;
  dropped?: number;
  /** Nothing inside, so there is nothing to open. */
  empty?: boolean;
  children: ReactNode;
}

/** A part of the panel; open or closed for all spans alike, and the next time too. */
export function Section({ title, count, dropped, empty, children }: Props) {
  const key = `spanfall.section.${title}`;
  const [open, setOpen] = useState(() => readSetting(key) !== 'closed');
  return (
    <details
      className={empty ? 'section section-empty' : 'section'} open={open}
      onToggle={(e) => {
        setOpen(e.currentTarget.open);
        writeSetting(key, e.currentTarget.open ? 'open' : 'closed');
      }}
    >
      <summary>
        {title}
        {count !== undefined && <span className="section-count">{count}</span>}
        <Dropped n={dropped} />
      </summary>
      {!empty && children}
    </details>
  );
}

/** Zero is a fact too, but not one worth a line. */
export function Dropped({ n, what = '' }: { n: number | undefined; what?: string }) {
  if (!n) return null;
  return <span className="mark" title={`Dropped by the SDK or on the way: ${n}${what && ` ${what}`}`}>{n} dropped</span>;
}
