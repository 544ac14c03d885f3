import { useMemo } from 'react';
import { WarnIcon } from '../../components/icons';
import * as flag from '../../model/flags';
import { neighbour } from '../../model/find';
import { countsOf, type Trace } from '../../model/trace';

interface Props {
  trace: Trace;
  missingSpan: string | undefined;
  cursor: number;
  onSpan: (span: number) => void;
}

/** What is odd about the trace as a whole; each note steps through its spans. */
export function TraceNotes({ trace, missingSpan, cursor, onSpan }: Props) {
  const counts = useMemo(() => countsOf(trace), [trace]);
  const notes: [text: string, bits: number][] = [];
  const add = (n: number, one: string, many: string, bits: number) => {
    if (n > 0) notes.push([n === 1 ? `1 ${one}` : `${n.toLocaleString('en')} ${many}`, bits]);
  };
  add(counts.orphans, 'span has a parent that is not stored', 'spans have a parent that is not stored', flag.ORPHAN);
  add(counts.offScale, 'span is outside the time scale', 'spans are outside the time scale', flag.OFF_SCALE | flag.END_OFF_SCALE);
  add(counts.negative, 'span ends before it starts', 'spans end before they start', flag.NEGATIVE);
  add(counts.noEnd, 'span has no end', 'spans have no end', flag.NO_END);
  add(counts.cycles, 'circle of parents was cut', 'circles of parents were cut', flag.CYCLE);
  add(counts.duplicates, 'span has the id of another', 'spans have the id of another', flag.DUPLICATE);
  const rootNote = counts.roots === 0 ? 'The root span is not stored' : counts.roots > 1 ? `${counts.roots.toLocaleString('en')} roots` : '';
  if (notes.length === 0 && !rootNote && !missingSpan) return null;

  const go = (bits: number) => {
    const spans = Uint32Array.from(trace.flags.keys()).filter((span) => trace.flags[span] & bits);
    onSpan(neighbour(spans, cursor, 1));
  };
  return (
    <div className="trace-notes" role="status">
      <WarnIcon />
      {missingSpan && <span>Span <code>{missingSpan}</code> of the link is not in this trace</span>}
      {rootNote && <span>{rootNote}</span>}
      {notes.map(([text, bits]) => <button key={text} onClick={() => go(bits)} title="Go to the next">{text}</button>)}
    </div>
  );
}
