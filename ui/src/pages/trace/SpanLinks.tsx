import { Link } from '@tanstack/react-router';
import { CopyButton } from '../../components/CopyButton';
import type { Trace } from '../../model/trace';
import { AttributeTable } from './AttributeTable';
import { Dropped } from './Section';

interface Props {
  trace: Trace;
  span: number;
  onSpan: (span: number) => void;
}

export function Links({ trace, span, onSpan }: Props) {
  return trace.raw[span].links?.map((link, i) => {
    const traceId = (link.traceId ?? '').toLowerCase();
    const spanId = (link.spanId ?? '').toLowerCase();
    const here = traceId === trace.traceId ? trace.rowOfId.get(spanId) : undefined;
    return (
      <article className="event-card" key={i}>
        <dl className="pairs">
          <div>
            <dt>trace id</dt>
            <dd>
              {traceId ? <Link to="/trace/$traceId" params={{ traceId }} search={spanId ? { span: spanId } : {}}><code className="wrap">{traceId}</code></Link> : 'not set'}
              {traceId && <CopyButton text={traceId} label="Copy the trace id" />}
            </dd>
          </div>
          <div>
            <dt>span id</dt>
            <dd>
              {here !== undefined ? <button className="link" onClick={() => onSpan(here)}><code>{spanId}</code> in this trace</button> : <code>{spanId || 'not set'}</code>}
              {spanId && <CopyButton text={spanId} label="Copy the span id" />}
            </dd>
          </div>
          {link.traceState && <div><dt>trace state</dt><dd><code className="wrap">{link.traceState}</code></dd></div>}
          {!!link.flags && <div><dt>flags</dt><dd>0x{link.flags.toString(16)}</dd></div>}
        </dl>
        <AttributeTable level="link" attributes={link.attributes} />
        <Dropped n={link.droppedAttributesCount} what="attributes" />
      </article>
    );
  });
}
