import { formatDurationExact } from '../../model/duration';
import { nanosOf } from '../../model/otlp';
import { formatInstant } from '../../model/time';
import type { Trace } from '../../model/trace';
import { find, textOf } from '../../model/value';
import { AttributeTable } from './AttributeTable';
import { Dropped } from './Section';

export function Events({ trace, span }: { trace: Trace; span: number }) {
  const raw = trace.raw[span];
  const start = nanosOf(raw.startTimeUnixNano);
  return raw.events?.map((event, i) => {
    const at = nanosOf(event.timeUnixNano);
    const exception = event.name === 'exception';
    const message = exception && [find(event.attributes, 'exception.type'), find(event.attributes, 'exception.message')].map(textOf).filter(Boolean).join(': ');
    return (
      <article className={exception ? 'event-card event-card-exception' : 'event-card'} key={i}>
        <header>
          <b>{event.name || '(no name)'}</b>
          <time title={at === 0n ? undefined : `${formatInstant(at)}\n${formatInstant(at, 'utc')}`}>{at === 0n ? 'no time' : offset(at - start)}</time>
          <Dropped n={event.droppedAttributesCount} what="attributes" />
        </header>
        {message && <p className="text-error wrap">{message}</p>}
        <AttributeTable level="event" attributes={event.attributes} />
      </article>
    );
  });
}

const offset = (nanos: bigint) => (nanos < 0n ? formatDurationExact(nanos) : `+${formatDurationExact(nanos)}`);
