import { fromInputValue, toInputValue } from '../../model/time';
import { RANGE_DEFAULT, RANGES, type RangeName } from '../../model/search';
import type { FilterProps } from './Filters';

const HOUR_MS = 3_600_000;

export function RangePicker({ search, change }: FilterProps) {
  const range = search.range ?? RANGE_DEFAULT;
  const choose = (next: RangeName) => {
    if (next !== 'custom') return change({ range: next, start: undefined, end: undefined });
    const back = (RANGES[range].minutes || 60) * 60_000;
    const end = Date.now();
    change({ range: next, start: new Date(end - Math.max(back, HOUR_MS / 12)).toISOString(), end: new Date(end).toISOString() });
  };
  return (
    <>
      <label className="field">
        <span>Time</span>
        <select className="input" value={range} onChange={(e) => choose(e.target.value as RangeName)}>
          {Object.entries(RANGES).map(([name, r]) => <option key={name} value={name}>{r.label}</option>)}
        </select>
      </label>
      {range === 'custom' && (
        <>
          <TimeInput label="From" value={search.start} onChange={(start) => change({ start })} />
          <TimeInput label="To" value={search.end} onChange={(end) => change({ end })} />
        </>
      )}
    </>
  );
}

function TimeInput({ label, value, onChange }: { label: string; value: string | undefined; onChange: (value: string | undefined) => void }) {
  return (
    <label className="field field-time">
      <span>{label}</span>
      <input
        className="input" type="datetime-local" step={1} key={value} defaultValue={toInputValue(value)}
        onBlur={(e) => {
          if (e.target.value !== toInputValue(value)) onChange(fromInputValue(e.target.value));
        }}
        onKeyDown={(e) => e.key === 'Enter' && e.currentTarget.blur()}
      />
    </label>
  );
}
