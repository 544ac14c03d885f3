// A stand-in for the server while the UI is developed: /api/v1 with made-up traces, and dist/ under
// the content security policy that the real server sends.
//   PORT         4399
//   MOCK_EMPTY   1: no spans until POST /sample
//   MOCK_TOKEN   asks for this token
//   MOCK_DELAY   milliseconds before every answer
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sampleTrace, standardTraces } from './mock-data.mjs';
import { Store } from './mock-store.mjs';

const { PORT = '4399', MOCK_EMPTY, MOCK_TOKEN, MOCK_DELAY = '0' } = process.env;
const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const CSP = "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'";
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

const store = new Store(MOCK_EMPTY ? [] : standardTraces(Date.now()));

class Fault extends Error {
  constructor(status, error, parameter) {
    super(error);
    this.status = status;
    this.body = { error, ...(parameter && { parameter }) };
  }
}

function api(method, path, query, token) {
  if (MOCK_TOKEN && token !== `Bearer ${MOCK_TOKEN}`) throw new Fault(401, 'A token is needed: send it as Authorization: Bearer');
  if (path === '/sample' && method === 'POST') {
    const trace = sampleTrace(Date.now());
    store.add(trace);
    return { trace_id: trace.traceId };
  }
  if (path === '/services') return { services: store.services() };
  if (path === '/operations') return { operations: store.operations(query.get('service')) };
  if (path === '/attributes') return { attributes: store.attributes() };
  if (path === '/attributes/values') return store.values(query.get('key'), query.get('level'));
  if (path === '/status') {
    return {
      version: '0.0.0-mock', uptime_seconds: 1, span_count: store.spanCount(), head_span_count: 0, block_count: 0, disk_bytes: 0,
      disk_limit_bytes: 1e10, retention_seconds: 14 * 86400, damaged_block_count: 0,
      listeners: [{ name: 'otlp_grpc', address: '127.0.0.1:4317' }, { name: 'otlp_http', address: '127.0.0.1:4318' }],
    };
  }
  for (const name of ['min_duration', 'max_duration']) {
    const value = query.get(name);
    if (value && !/^\d+(\.\d+)?(ns|us|ms|s|m|h)$/.test(value)) throw new Fault(400, `'${value}' is not a duration; write a number with ns, us, ms, s, m or h`, name);
  }
  if (path === '/traces') return store.search(query);
  if (path === '/series') return store.series(query);
  const id = /^\/traces\/([0-9a-f]{1,32})$/i.exec(path)?.[1];
  if (id) {
    const trace = store.get(id.toLowerCase().padStart(32, '0'));
    if (!trace) throw new Fault(404, 'No span of that trace is stored');
    return trace;
  }
  throw new Fault(404, `No such path: ${path}`);
}

async function file(path) {
  const wanted = normalize(path).replace(/^(\.\.[/\\])+/, '');
  const name = extname(wanted) ? wanted : 'index.html';
  return { body: await readFile(join(DIST, name)), type: TYPES[extname(name)] ?? 'application/octet-stream' };
}

createServer(async (request, response) => {
  const url = new URL(request.url, 'http://mock');
  await new Promise((done) => setTimeout(done, Number(MOCK_DELAY)));
  try {
    if (url.pathname.startsWith('/api/v1')) {
      const answer = api(request.method, url.pathname.slice(7), url.searchParams, request.headers.authorization);
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    } else {
      const { body, type } = await file(url.pathname);
      response.writeHead(200, { 'content-type': type, 'content-security-policy': CSP }).end(body);
    }
  } catch (fault) {
    const status = fault.status ?? (fault.code === 'ENOENT' ? 404 : 500);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(fault.body ?? { error: String(fault) }));
  }
}).listen(Number(PORT), '127.0.0.1', () => console.log(`mock at http://127.0.0.1:${PORT}`));
