import type { RefObject } from 'react';
import { CollapseIcon, DownIcon, ExpandIcon, HelpIcon, UpIcon } from '../../components/icons';
import { counted } from '../../model/count';
import { formatDuration } from '../../model/duration';
import { neighbour } from '../../model/find';
import type { Trace } from '../../model/trace';
import { zoomed } from '../../model/window';
import type { Find } from './useFind';
import type { TraceState } from './useTraceState';

interface Props {
  trace: Trace;
  state: TraceState;
  find: Find;
  errors: Uint32Array;
  filterBox: RefObject<HTMLInputElement | null>;
  onHelp: () => void;
}

const DEPTHS_OFFERED = 12;

export function Toolbar({ trace, state, find, errors, filterBox, onHelp }: Props) {
  const { window: view } = state;
  const whole = view.from <= 0 && view.to >= trace.range;
  const atError = errors.indexOf(state.cursor);
  return (
    <div className="toolbar" role="toolbar" aria-label="Trace">
      <div className="find">
        <input
          ref={filterBox} className="input" type="search" aria-label="Filter spans by name, service or attribute" placeholder="Filter: name, service, key=value"
          spellCheck={false} value={find.text}
          onChange={(e) => find.setText(e.target.value)}
          onKeyDown={(e) => {
            if (e.key === 'Enter') {
              e.preventDefault();
              state.moveTo(find.next(e.shiftKey ? -1 : 1));
            } else if (e.key === 'Escape') {
              e.preventDefault();
              if (find.text) find.setText('');
              else e.currentTarget.blur();
            }
          }}
        />
        <span className="find-count" aria-live="polite">
          {find.active && `${find.position >= 0 ? `${(find.position + 1).toLocaleString('en')}/` : ''}${find.matches.length.toLocaleString('en')}`}
        </span>
        <Step label="Previous match (N)" up disabled={find.matches.length === 0} onClick={() => state.moveTo(find.next(-1))} />
        <Step label="Next match (n)" disabled={find.matches.length === 0} onClick={() => state.moveTo(find.next(1))} />
      </div>
      <div className="group">
        <span className={errors.length ? 'text-error' : 'text-muted'}>{atError >= 0 && `${(atError + 1).toLocaleString('en')}/`}{counted(errors.length, 'error')}</span>
        <Step label="Previous error (E)" up disabled={errors.length === 0} onClick={() => state.moveTo(neighbour(errors, state.cursor, -1))} />
        <Step label="Next error (e)" disabled={errors.length === 0} onClick={() => state.moveTo(neighbour(errors, state.cursor, 1))} />
      </div>
      <div className="group">
        <button className="button button-icon" onClick={() => state.showDepth(Infinity)} title="Expand all" aria-label="Expand all"><ExpandIcon /></button>
        <button className="button button-icon" onClick={() => state.showDepth(0)} title="Collapse all" aria-label="Collapse all"><CollapseIcon /></button>
        <select className="input" aria-label="Collapse to depth" value="" onChange={(e) => state.showDepth(Number(e.target.value))}>
          <option value="" disabled hidden>To depth…</option>
          {Array.from({ length: Math.min(DEPTHS_OFFERED, trace.depthMax) }, (_, i) => <option key={i} value={i}>{i + 1} level{i > 0 ? 's' : ''}</option>)}
          <option value="Infinity">All levels</option>
        </select>
      </div>
      <div className="group zoom">
        <button className="button button-icon" aria-label="Zoom out (−)" title="Zoom out (−)" disabled={whole} onClick={() => state.setWindow(zoomed(view, trace.range, 2))}>−</button>
        <button className="button button-icon" aria-label="Zoom in (+)" title="Zoom in (+)" onClick={() => state.setWindow(zoomed(view, trace.range, 0.5))}>+</button>
        <button className="button" disabled={whole} onClick={() => state.setWindow({ from: 0, to: trace.range })} title="Whole trace (0)">
          {whole ? 'Whole trace' : formatDuration(view.to - view.from)}
        </button>
        <button className="button button-icon" onClick={onHelp} aria-label="Keys (?)" title="Keys (?)"><HelpIcon /></button>
      </div>
    </div>
  );
}

function Step({ label, up, disabled, onClick }: { label: string; up?: boolean; disabled: boolean; onClick: () => void }) {
  return (
    <button className="button button-icon" aria-label={label} title={label} disabled={disabled} onClick={onClick}>{up ? <UpIcon /> : <DownIcon />}</button>
  );
}
