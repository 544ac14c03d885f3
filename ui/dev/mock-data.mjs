// Made-up traces. The same on every run but for their times.
const MS = 1_000_000n;

let seed = 42;
export function random() {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const pick = (list) => list[Math.floor(random() * list.length)];
const hex = (digits) => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('');

const string = (key, value) => ({ key, value: { stringValue: value } });
const int = (key, value) => ({ key, value: { intValue: String(value) } });

const VERSIONS = ['1.4.2', '1.5.0'];

/** Collects spans by service and writes them as OTLP. */
class Builder {
  constructor(traceId = hex(32)) {
    this.traceId = traceId;
    this.byService = new Map();
  }

  span(service, name, kind, parentSpanId, start, durationNanos, extra = {}) {
    const span = {
      traceId: this.traceId, spanId: hex(16), parentSpanId, name, kind,
      startTimeUnixNano: String(start), endTimeUnixNano: String(start + durationNanos),
      attributes: [], flags: 0x101, ...extra,
    };
    if (!parentSpanId) delete span.parentSpanId;
    if (!this.byService.has(service)) this.byService.set(service, []);
    this.byService.get(service).push(span);
    return span;
  }

  done() {
    const resourceSpans = [...this.byService].map(([service, spans]) => ({
      resource: {
        attributes: [
          string('service.name', service), string('service.version', pick(VERSIONS)), string('service.namespace', 'shop'),
          string('deployment.environment.name', 'production'), string('host.name', `node-${1 + Math.floor(random() * 4)}`),
          string('telemetry.sdk.language', pick(['go', 'python', 'java', 'rust'])), int('process.pid', 1 + Math.floor(random() * 9999)),
        ],
      },
      scopeSpans: [{ scope: { name: `io.shop.${service}`, version: '0.9.1', attributes: [{ key: 'scope.experimental', value: { boolValue: true } }] }, spans, schemaUrl: 'https://opentelemetry.io/schemas/1.37.0' }],
      schemaUrl: 'https://opentelemetry.io/schemas/1.37.0',
    }));
    return { traceId: this.traceId, data: { resourceSpans } };
  }
}

const STACK = `java.lang.IllegalStateException: card declined
	at io.shop.payment.CardGateway.charge(CardGateway.java:118)
	at io.shop.payment.PaymentService.pay(PaymentService.java:64)
	at io.shop.payment.PaymentResource$$Lambda/0x00007f.apply(Unknown Source)
	at java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1144)
Caused by: java.net.SocketTimeoutException: Read timed out
	at java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:278)
	... 42 more`;

function exception(at) {
  return {
    timeUnixNano: String(at), name: 'exception',
    attributes: [string('exception.type', 'java.lang.IllegalStateException'), string('exception.message', 'card declined'), string('exception.stacktrace', STACK), { key: 'exception.escaped', value: { boolValue: false } }],
  };
}

/** A checkout of a shop: the trace that POST /sample makes. */
export function sampleTrace(nowMs, failed = true) {
  const b = new Builder();
  const t = BigInt(nowMs) * MS - 900n * MS + BigInt(Math.floor(random() * 1e6));
  const ms = (n) => BigInt(Math.round(n * 1e6));
  const scale = 0.6 + random() * 1.6;
  const at = (n) => t + ms(n * scale);
  const span = (service, name, kind, parent, from, length, extra) => b.span(service, name, kind, parent?.spanId ?? '', at(from), ms(length * scale), extra);
  const error = failed ? { status: { code: 2, message: 'card declined' } } : {};

  const root = span('frontend', 'POST /checkout', 2, null, 0, 412.345678, {
    attributes: [string('http.request.method', 'POST'), string('http.route', '/checkout'), int('http.response.status_code', failed ? 502 : 200), string('url.path', '/checkout'), string('user.id', `u-${Math.floor(random() * 500)}`), string('user_agent.original', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36')],
    traceState: 'vendor=00f067aa0ba902b7,other=1', ...error,
  });
  const cart = span('frontend', 'load cart', 1, root, 4, 38);
  const cartClient = span('frontend', 'GET', 3, cart, 5, 35, { attributes: [string('http.request.method', 'GET'), string('server.address', 'cart')] });
  const cartServer = span('cart', 'GET /cart/{id}', 2, cartClient, 8, 29, { attributes: [string('http.route', '/cart/{id}')] });
  span('cart', 'HGETALL', 3, cartServer, 11, 4.2, { attributes: [string('db.system.name', 'redis'), string('db.operation.name', 'HGETALL')] });
  const order = span('order', 'CreateOrder', 2, root, 48, 340, { attributes: [string('rpc.system', 'grpc'), string('rpc.service', 'shop.Order'), int('rpc.grpc.status_code', failed ? 2 : 0)], ...error });
  for (let i = 0; i < 6; i++) {
    span('catalog', 'SELECT shop.products', 3, order, 54 + i * 9, 7 + random(), {
      attributes: [string('db.system.name', 'postgresql'), string('db.query.text', 'SELECT id, name, price FROM products WHERE id = $1'), int('db.response.returned_rows', 1)],
    });
  }
  const pay = span('payment', 'Charge', 2, order, 118, 236, {
    attributes: [
      string('payment.provider', 'acme'), { key: 'payment.amount', value: { doubleValue: 129.5 } }, { key: 'payment.retry', value: { boolValue: true } },
      { key: 'payment.attempts', value: { arrayValue: { values: [{ intValue: '1' }, { intValue: '2' }, { kvlistValue: { values: [string('outcome', 'timeout'), { key: 'waited_ms', value: { doubleValue: 200 } }] } }] } } },
      { key: 'payment.card', value: { kvlistValue: { values: [string('brand', 'visa'), string('last4', '4242'), { key: 'expires', value: { kvlistValue: { values: [int('year', 2027), int('month', 4), int('day', 30), string('zone', 'UTC')] } } }] } } },
      { key: 'payment.fingerprint', value: { bytesValue: '3q2+7wABAgMEBQYHCAkKCw==' } }, { key: 'payment.note', value: {} }, string('payment.coupon', ''),
      int('payment.ledger', '9223372036854775807'),
    ],
    events: [
      { timeUnixNano: String(at(130)), name: 'gateway.connect', attributes: [string('network.peer.address', '10.1.2.3')], droppedAttributesCount: 2 },
      ...(failed ? [exception(at(340))] : []),
    ],
    droppedAttributesCount: 3, droppedEventsCount: 1, droppedLinksCount: 4, ...error,
  });
  span('payment', 'POST acme.example/charge', 3, pay, 125, 214, { ...error, attributes: [string('server.address', 'acme.example'), int('http.response.status_code', 504)] });
  const publish = span('order', 'orders publish', 4, order, 360, 6, { attributes: [string('messaging.system', 'kafka'), string('messaging.destination.name', 'orders')] });
  const consume = span('mailer', 'orders process', 5, publish, 402, 88, {
    attributes: [string('messaging.system', 'kafka')],
    links: [
      { traceId: b.traceId, spanId: publish.spanId, traceState: 'vendor=1', flags: 1, attributes: [string('messaging.batch', 'b-17')], droppedAttributesCount: 1 },
      { traceId: hex(32), spanId: hex(16), attributes: [] },
    ],
  });
  span('mailer', 'render template', 1, consume, 410, 12);
  span('mailer', 'smtp send', 3, consume, 424, 61);
  return b.done();
}

function smallTrace(nowMs, back) {
  const b = new Builder();
  const t = BigInt(nowMs - back) * MS + BigInt(Math.floor(random() * 1e6));
  const name = pick(['GET /', 'GET /product/{id}', 'GET /search', 'POST /cart', 'GET /recommendations']);
  const total = Math.exp(random() * 6) * 1e6;
  const failed = random() < 0.12;
  const root = b.span('frontend', name, 2, '', t, BigInt(Math.round(total)), {
    attributes: [string('http.route', name.split(' ')[1]), string('http.request.method', name.split(' ')[0]), int('http.response.status_code', failed ? 500 : 200)],
    ...(failed && { status: { code: 2 } }),
  });
  const calls = 1 + Math.floor(random() * 6);
  for (let i = 0; i < calls; i++) {
    const start = t + BigInt(Math.round((total * i) / (calls + 1)));
    const call = b.span(pick(['catalog', 'cart', 'recommendation', 'currency', 'ads']), pick(['List', 'Get', 'Convert', 'Rank']), 2, root.spanId, start, BigInt(Math.round(total / (calls + 1))));
    if (random() < 0.5) b.span('catalog', 'SELECT shop.products', 3, call.spanId, start + 1000n, BigInt(Math.round(total / (calls + 2))), { attributes: [string('db.system.name', 'postgresql')] });
  }
  return b.done();
}

/** A batch job whose spans form a wide and deep tree. */
function bigTrace(traceId, nowMs, count) {
  const b = new Builder(traceId);
  const services = ['scheduler', 'indexer', 'catalog', 'pricing', 'search', 'postgres-proxy', 'object-store', 'cache', 'mailer', 'audit', 'billing', 'ranking', 'thumbnailer', 'exporter'];
  const t = BigInt(nowMs - 90_000) * MS;
  const total = 42_000_000_000;
  const open = [{ span: b.span('scheduler', 'nightly reindex', 1, '', t, BigInt(total)), from: 0, length: total, depth: 0 }];
  for (let i = 1; i < count; i++) {
    const parent = open[Math.floor(Math.max(0, open.length - 1 - random() ** 2 * Math.min(open.length, 400)))];
    const from = parent.from + parent.length * random() * 0.8;
    const length = Math.max(500, Math.min(parent.length * 0.9 * random(), parent.from + parent.length - from));
    const failed = random() < 0.004;
    const span = b.span(pick(services), pick(['fetch page', 'SELECT products', 'PUT object', 'rank', 'lookup', 'write segment', 'GET /price/{sku}']), 1 + Math.floor(random() * 3), parent.span.spanId, t + BigInt(Math.round(from)), BigInt(Math.round(length)), {
      attributes: [int('batch.index', i), string('db.collection.name', pick(['products', 'prices', 'stock'])), string('thread.name', `worker-${i % 16}`)],
      ...(failed && { status: { code: 2, message: 'deadline exceeded' } }),
      ...(i % 97 === 0 && { events: [{ timeUnixNano: String(t + BigInt(Math.round(from + length / 2))), name: 'retry', attributes: [int('attempt', 2)] }] }),
    });
    if (parent.depth < 24) open.push({ span, from, length, depth: parent.depth + 1 });
  }
  return b.done();
}

function brokenTrace(traceId, nowMs) {
  const b = new Builder(traceId);
  const t = BigInt(nowMs - 40_000) * MS;
  const root = b.span('gateway', 'GET /orders', 2, '', t, 80n * MS);
  b.span('gateway', 'auth', 1, root.spanId, t + 2n * MS, 6n * MS);
  b.span('billing', 'second root', 2, '', t + 30n * MS, 40n * MS);
  const lost = 'deadbeefdeadbeef';
  const orphan = b.span('order', 'orphaned handler', 2, lost, t + 12n * MS, 50n * MS, { status: { code: 2, message: 'upstream lost' } });
  b.span('order', 'child of the orphan', 1, orphan.spanId, t + 15n * MS, 20n * MS);
  b.span('order', 'another orphan', 1, lost, t + 64n * MS, 3n * MS);
  const one = b.span('worker', 'circle one', 1, '', t + 20n * MS, 10n * MS);
  const two = b.span('worker', 'circle two', 1, one.spanId, t + 21n * MS, 8n * MS);
  one.parentSpanId = two.spanId;
  b.span('clock', 'start is zero', 1, root.spanId, t, 1n, { startTimeUnixNano: '0', endTimeUnixNano: String(t + 50n * MS) });
  b.span('clock', 'ends before it starts', 1, root.spanId, t + 44n * MS, -9n * MS);
  b.span('clock', 'no end', 1, root.spanId, t + 50n * MS, 0n, { endTimeUnixNano: '0' });
  b.span('clock', 'three days early', 1, root.spanId, t - 3n * 86_400_000n * MS, 5n * MS);
  b.span('clock', 'end is absurd', 1, root.spanId, t + 60n * MS, 0n, { endTimeUnixNano: '18446744073709551615' });
  b.span('clock', 'one nanosecond', 1, root.spanId, t + 79n * MS, 1n);
  const twin = b.span('gateway', 'twin', 1, root.spanId, t + 70n * MS, 5n * MS);
  b.span('gateway', 'twin, sent again', 1, root.spanId, t + 70n * MS, 5n * MS, { spanId: twin.spanId });
  return b.done();
}

export function standardTraces(nowMs) {
  const traces = Array.from({ length: 260 }, (_, i) => smallTrace(nowMs, 2000 + Math.floor(random() ** 2 * 3_500_000) + i));
  for (let i = 0; i < 30; i++) traces.push(sampleTrace(nowMs - Math.floor(random() * 3_400_000), random() < 0.3));
  traces.push(sampleTrace(nowMs - 4000));
  traces.push(brokenTrace('b0000000000000000000000000000bad', nowMs));
  traces.push(bigTrace('a0000000000000000000000000010000', nowMs, 10_000));
  if (process.env.MOCK_HUGE) traces.push(bigTrace('a0000000000000000000000000100000', nowMs, 100_000));
  return traces;
}
