import { memo } from 'react';
import { DownIcon, ErrorIcon, KindIcon, RightIcon } from '../../components/icons';
import { counted, formatCount } from '../../model/count';
import { indentOf, type Indent } from '../../model/indent';
import * as flag from '../../model/flags';
import { kindOf } from '../../model/otlp';
import { errorsBelow, type Trace } from '../../model/trace';
import { TimelineCell } from './TimelineCell';
import { ROW_PX } from './Waterfall';

export interface RowProps {
  trace: Trace;
  span: number;
  /** Among the rows that are not collapsed away. */
  position: number;
  color: number;
  topPx: number;
  treePx: number;
  timelinePx: number;
  indent: Indent;
  /** The zoomed window, as numbers so that memo() can compare them. */
  from: number;
  to: number;
  active: boolean;
  collapsed: boolean;
  /** Undefined when there is no filter. */
  match: boolean | undefined;
}

export const WaterfallRow = memo(function WaterfallRow(props: RowProps) {
  const { trace, span, position, color, topPx, treePx, indent, active, collapsed, match } = props;
  const raw = trace.raw[span];
  const flags = trace.flags[span];
  const depth = trace.depth[span];
  const children = trace.childCount[span];
  const below = errorsBelow(trace, span);
  const service = trace.services[trace.service[span]];
  const parent = trace.parent[span];
  const sameService = parent >= 0 && trace.service[parent] === trace.service[span];
  const classes = `row${active ? ' row-active' : ''}${flags & flag.ERROR ? ' row-error' : ''}${match === false ? ' row-dim' : match ? ' row-match' : ''}`;

  return (
    <div
      role="row" id={`span-${span}`} className={classes} data-testid="waterfall-row" data-span-id={raw.spanId?.toLowerCase() ?? ''} data-duration-nano={trace.duration[span]} data-row={span}
      aria-rowindex={position + 2} aria-level={depth + 1} aria-selected={active} aria-expanded={children > 0 ? !collapsed : undefined}
      style={{ height: ROW_PX, transform: `translateY(${topPx}px)` }}
    >
      <div role="gridcell" className="row-tree" style={{ width: treePx }}>
        <span className="guides" style={{ width: indentOf(indent, depth), backgroundSize: `${indent.stepPx}px 100%` }} />
        {depth > indent.levels && <span className="level" title={`${counted(depth, 'level')} deep`}>…{formatCount(depth)}</span>}
        {children > 0 ? (
          <button type="button" className="twist" tabIndex={-1} aria-label={collapsed ? `Expand ${counted(trace.size[span] - 1, 'span')}` : 'Collapse'}>
            {collapsed ? <RightIcon /> : <DownIcon />}
            <span>{formatCount(collapsed ? trace.size[span] - 1 : children)}</span>
          </button>
        ) : <span className="twist-none" />}
        <i className={`stripe svc-${color}`} />
        <KindIcon kind={kindOf(raw)} />
        {(flags & flag.ERROR) !== 0 && <span className="text-error" title={raw.status?.message || 'error'}><ErrorIcon /></span>}
        <span className="row-label" title={`${service}: ${raw.name ?? ''}`}>
          <span className={sameService ? 'row-service row-service-same' : 'row-service'} data-testid="row-service">{service}</span>{' '}
          <span className="row-name" data-testid="row-name">{raw.name || '(no name)'}</span>
        </span>
        <Marks flags={flags} parentId={raw.parentSpanId} />
        {below > 0 && (collapsed || !(flags & flag.ERROR)) && <span className="below" title={`${counted(below, 'error')} below`}>{formatCount(below)}</span>}
      </div>
      <TimelineCell {...props} />
    </div>
  );
});

function Marks({ flags, parentId }: { flags: number; parentId: string | undefined }) {
  if (!(flags & (flag.ORPHAN | flag.CYCLE | flag.DUPLICATE))) return null;
  return (
    <>
      {(flags & flag.ORPHAN) !== 0 && <span className="mark" title={`Its parent ${parentId} is not stored`}>missing parent</span>}
      {(flags & flag.CYCLE) !== 0 && <span className="mark" title="Its parents lead back to itself; the circle is cut here">circle</span>}
      {(flags & flag.DUPLICATE) !== 0 && <span className="mark" title="Another span has the same id">same id</span>}
    </>
  );
}
