import { useEffect, useRef } from 'react';
import { CopyButton } from '../../components/CopyButton';
import { CloseIcon } from '../../components/icons';
import { Service } from '../../components/Service';
import { isSet } from '../../model/ids';
import { statusOf } from '../../model/otlp';
import type { Trace } from '../../model/trace';
import { AttributeTable } from './AttributeTable';
import { Facts } from './Facts';
import { Events } from './SpanEvents';
import { Links } from './SpanLinks';
import { Section } from './Section';

interface Props {
  trace: Trace;
  span: number;
  colors: Uint8Array;
  /** Undefined on narrow screens, where the panel lies over the trace. */
  widthPx: number | undefined;
  onSpan: (span: number) => void;
  onClose: () => void;
}

/** Every field of one span. */
export function SpanPanel({ trace, span, colors, widthPx, onSpan, onClose }: Props) {
  const raw = trace.raw[span];
  const group = trace.groups[trace.group[span]];
  const status = statusOf(raw);
  const body = useRef<HTMLDivElement>(null);
  useEffect(() => {
    body.current?.scrollTo(0, 0);
  }, [span]);

  return (
    <aside className="panel" aria-label="Span" data-testid="span-panel" style={{ width: widthPx }}>
      <header className="panel-head">
        <div>
          <Service name={trace.services[group.service]} color={colors[group.service]} />
          <h2>{raw.name || '(no name)'}</h2>
        </div>
        <CopyButton text={() => JSON.stringify(raw, null, 2)} label="Copy the span as OTLP JSON" />
        <button className="button button-plain button-icon" onClick={onClose} aria-label="Close (Esc)" title="Close (Esc)"><CloseIcon /></button>
      </header>
      <div className="panel-body" ref={body} tabIndex={-1}>
        {(status === 'error' || raw.status?.message) && (
          <div className={status === 'error' ? 'status status-error' : 'status'}>
            <b>{status === 'error' ? 'Error' : status === 'ok' ? 'Ok' : 'Unset'}</b>
            {raw.status?.message && <pre>{raw.status.message}</pre>}
          </div>
        )}
        <Facts trace={trace} span={span} onSpan={onSpan} />
        <Section title="Attributes" empty={!raw.attributes?.length} count={raw.attributes?.length ?? 0} dropped={raw.droppedAttributesCount}>
          <AttributeTable level="span" attributes={raw.attributes} />
        </Section>
        <Section title="Events" empty={!raw.events?.length} count={raw.events?.length ?? 0} dropped={raw.droppedEventsCount}>
          <Events trace={trace} span={span} />
        </Section>
        <Section title="Links" empty={!raw.links?.length} count={raw.links?.length ?? 0} dropped={raw.droppedLinksCount}>
          <Links trace={trace} span={span} onSpan={onSpan} />
        </Section>
        <Section title="Resource" count={group.resource.attributes?.length ?? 0} dropped={group.resource.droppedAttributesCount}>
          <AttributeTable level="resource" attributes={group.resource.attributes} />
          {group.resource.entityRefs?.map((e, i) => (
            <dl className="pairs" key={i}>
              <div><dt>entity</dt><dd>{e.type} by {(e.idKeys ?? []).join(', ')}{e.descriptionKeys?.length ? `; described by ${e.descriptionKeys.join(', ')}` : ''}{e.schemaUrl ? ` (${e.schemaUrl})` : ''}</dd></div>
            </dl>
          ))}
          <SchemaUrl url={group.resourceSchemaUrl} />
        </Section>
        <Section title="Scope" count={group.scope.attributes?.length ?? 0} dropped={group.scope.droppedAttributesCount}>
          <dl className="pairs">
            <div><dt>name</dt><dd>{group.scope.name || <span className="text-muted">not set</span>}</dd></div>
            <div><dt>version</dt><dd>{group.scope.version || <span className="text-muted">not set</span>}</dd></div>
          </dl>
          <AttributeTable level="scope" attributes={group.scope.attributes} />
          <SchemaUrl url={group.scopeSchemaUrl} />
        </Section>
        <Section title="Span context">
          <dl className="pairs">
            <Id name="span id" value={raw.spanId} />
            <Id name="parent span id" value={isSet(raw.parentSpanId) ? raw.parentSpanId : undefined} none="none, a root" />
            <Id name="trace id" value={raw.traceId ?? trace.traceId} />
            <div><dt>trace state</dt><dd>{raw.traceState ? <code className="wrap">{raw.traceState}</code> : <span className="text-muted">empty</span>}</dd></div>
            <div><dt>flags</dt><dd>{flagsText(raw.flags ?? 0)}</dd></div>
          </dl>
        </Section>
      </div>
    </aside>
  );
}

function SchemaUrl({ url }: { url: string }) {
  return (
    <dl className="pairs"><div><dt>schema URL</dt><dd>{url ? <span className="wrap">{url}</span> : <span className="text-muted">not set</span>}</dd></div></dl>
  );
}

function Id({ name, value, none = 'not set' }: { name: string; value: string | undefined; none?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value ? <><code className="wrap">{value}</code><CopyButton text={value} label={`Copy the ${name}`} /></> : <span className="text-muted">{none}</span>}</dd>
    </div>
  );
}

/** Bits of SpanFlags in opentelemetry-proto: W3C trace flags, and whether the parent is remote. */
function flagsText(flags: number): string {
  const said = [
    flags & 1 ? 'sampled' : '',
    flags & 2 ? 'random trace id' : '',
    flags & 0x100 ? (flags & 0x200 ? 'remote parent' : 'local parent') : '',
  ].filter(Boolean);
  return `0x${flags.toString(16).padStart(2, '0')}${said.length ? ` (${said.join(', ')})` : ''}`;
}
