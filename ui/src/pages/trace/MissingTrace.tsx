import { Link } from '@tanstack/react-router';

export function MissingTrace({ traceId, busy, retry }: { traceId: string; busy: boolean; retry: () => void }) {
  return (
    <main className="notice">
      <h1>No span of this trace is stored</h1>
      <p><code className="wrap">{traceId}</code></p>
      <p>What may be the reason:</p>
      <ul>
        <li>Its spans are still on their way: SDKs send in batches, 5 seconds apart by default. This page looks again by itself.</li>
        <li>It was not sampled: the last two digits of the <code>traceparent</code> header are <code>00</code>.</li>
        <li>It is older than this server keeps traces, or a sampling policy dropped it.</li>
        <li>Its spans went to another server, or an exporter failed: the program's log says so.</li>
        <li>The id is not complete. Ids shorter than 32 digits are padded with zeros on the left.</li>
      </ul>
      <p>
        <button className={busy ? 'button button-main busy' : 'button button-main'} onClick={retry}>Look again</button>{' '}
        <Link to="/" className="button">Search</Link>
      </p>
    </main>
  );
}
