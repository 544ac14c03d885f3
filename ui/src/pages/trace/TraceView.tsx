import { useDeferredValue, useMemo, useRef, useState } from 'react';
import { useMedia, useStoredNumber, useTitle } from '../../components/hooks';
import { useColors } from '../../components/useColors';
import { Splitter } from '../../components/Splitter';
import { assignColors } from '../../model/color';
import { errorSpans } from '../../model/find';
import { rangeReaching } from '../../model/search';
import { msOf } from '../../model/time';
import type { Trace } from '../../model/trace';
import { SearchRange } from './AttributeTable';
import { Help } from './Help';
import { Minimap } from './Minimap';
import { SpanPanel } from './SpanPanel';
import { Toolbar } from './Toolbar';
import { TraceHeader } from './TraceHeader';
import { TraceNotes } from './TraceNotes';
import { useFind } from './useFind';
import { useKeys } from './useKeys';
import { useTraceState } from './useTraceState';
import { Waterfall } from './Waterfall';

interface Props {
  trace: Trace;
  refreshing: boolean;
  refresh: () => void;
}

const PANEL_PX = 420;
const PANEL_PX_MIN = 280;

export function TraceView({ trace, refreshing, refresh }: Props) {
  const root = trace.named;
  useTitle(`${trace.services[trace.service[root]]}: ${trace.raw[root].name ?? ''}`);
  const colorOf = useColors();
  const colors = useMemo(() => assignColors(trace.services, colorOf), [trace, colorOf]);
  const range = useMemo(() => rangeReaching(msOf(trace.origin), Date.now()), [trace]);
  const errors = useMemo(() => errorSpans(trace), [trace]);
  const state = useTraceState(trace);
  const find = useFind(trace, state.cursor);
  const filterBox = useRef<HTMLInputElement>(null);
  const [help, setHelp] = useState(false);
  const [panelPx, setPanelPx] = useStoredNumber('spanfall.panel', PANEL_PX);
  const narrow = useMedia('(max-width: 800px)');
  // Rows answer a held key at once; the panel follows when there is time.
  const panelSpan = useDeferredValue(state.cursor);
  useKeys({ trace, state, find, errors, filterBox, helpOpen: help, setHelp });

  return (
    <main className="trace">
      <TraceHeader trace={trace} colors={colors} refreshing={refreshing} refresh={refresh} onService={find.setText} />
      <TraceNotes trace={trace} missingSpan={state.missingSpan} onSpan={state.moveTo} cursor={state.cursor} />
      <Minimap trace={trace} colors={colors} window={state.window} onWindow={state.setWindow} />
      <Toolbar trace={trace} state={state} find={find} errors={errors} filterBox={filterBox} onHelp={() => setHelp(true)} />
      <div className="trace-body">
        <Waterfall trace={trace} colors={colors} state={state} matching={find.matching} />
        {state.open && panelSpan >= 0 && panelSpan < trace.count && (
          <>
            {!narrow && (
              <Splitter label="Width of the span panel" value={panelPx} min={PANEL_PX_MIN} max={innerWidth - 320} direction={-1} onChange={setPanelPx} />
            )}
            <SearchRange value={range}>
              <SpanPanel
                trace={trace} span={panelSpan} colors={colors} widthPx={narrow ? undefined : panelPx}
                onSpan={state.select} onClose={() => state.setOpen(false)}
              />
            </SearchRange>
          </>
        )}
      </div>
      {help && <Help onClose={() => setHelp(false)} />}
    </main>
  );
}
