import type { ReactNode } from 'react';

const icon = (shape: ReactNode) => () => (
  <svg className="icon" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">{shape}</svg>
);
const line = (d: string) => icon(<path d={d} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />);

export const SearchIcon = line('M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14');
export const RefreshIcon = line('M13.5 8a5.5 5.5 0 1 1-1.6-3.9M13.5 2v3h-3');
export const CopyIcon = line('M5.5 5.5h7v8h-7zM10.5 3.5v-1h-7v8h1');
export const DoneIcon = line('m3 8.5 3.5 3.5L13 4.5');
export const CloseIcon = line('m4 4 8 8m0-8-8 8');
export const DownIcon = line('m4 6 4 4 4-4');
export const RightIcon = line('m6 4 4 4-4 4');
export const UpIcon = line('m4 10 4-4 4 4');
export const DownloadIcon = line('M8 2v8m-3-3 3 3 3-3M3 13.5h10');
export const LinkIcon = line('M6.5 9.5 9.5 6.5M7.5 4.5 9 3a2.8 2.8 0 0 1 4 4l-1.5 1.5m-3 3L7 13a2.8 2.8 0 0 1-4-4l1.5-1.5');
export const WarnIcon = line('M8 2 14.5 13.5h-13zM8 6.5v3.5m0 1.8v.1');
export const ErrorIcon = icon(<><circle cx="8" cy="8" r="6.5" fill="currentColor" /><path d="M8 4.5v4.2m0 2.4v.2" stroke="var(--bg)" strokeWidth="1.8" strokeLinecap="round" /></>);
export const BackIcon = line('M13 8H3m4-4L3 8l4 4');
export const ExpandIcon = line('M3 6.5 8 11.5l5-5M3 2.5l5 5 5-5');
export const CollapseIcon = line('M3 9.5l5-5 5 5M3 13.5l5-5 5 5');
export const HelpIcon = line('M5.8 6a2.2 2.2 0 1 1 3.2 2c-.7.4-1 .8-1 1.6m0 2.6v.1');

/** How a span takes part: in, out, onto or off a queue. Internal ones have no mark. */
export const KIND_SHAPES: Record<string, string> = {
  server: 'M13 3v10M3 8h7m-3-3 3 3-3 3',
  client: 'M3 3v10M6 8h7m-3-3 3 3-3 3',
  producer: 'M2.5 5h4m-4 3h4m-4 3h4M9 8h5m-2.5-2.5L14 8l-2.5 2.5',
  consumer: 'M9.5 5h4m-4 3h4m-4 3h4M2 8h5M4.5 5.5 7 8l-2.5 2.5',
};

export function KindIcon({ kind }: { kind: string }) {
  const d = KIND_SHAPES[kind];
  if (!d) return <span className="kind" />;
  return (
    <svg className="kind" viewBox="0 0 16 16" width="12" height="12" role="img" aria-label={kind}>
      <title>{kind}</title>
      <path d={d} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
