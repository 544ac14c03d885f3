// Sends one trace as a client for Node.js does that was made for Jaeger or Zipkin.
//
//     clients.cjs CLIENT ADDRESS SERVICE
//
// The trace is `checkout`, a server's, and below it `charge`, a client's, with tags and an event.

const [client, address, service] = process.argv.slice(2);
const [kind, way] = client.split(":");
const [host, port] = address.split(":");

function jaeger() {
  const { initTracer } = require("jaeger-client");
  const { Tags } = require("opentracing");
  const reporter =
    way === "http"
      ? { collectorEndpoint: `http://${address}/api/traces` }
      : { agentHost: host, agentPort: Number(port) };
  const logger = { info() {}, error: fail };
  const tracer = initTracer(
    { serviceName: service, sampler: { type: "const", param: 1 }, reporter },
    { logger },
  );
  const parent = tracer.startSpan("checkout", {
    tags: { [Tags.SPAN_KIND]: Tags.SPAN_KIND_RPC_SERVER, order: 42 },
  });
  const child = tracer.startSpan("charge", {
    childOf: parent,
    tags: { [Tags.SPAN_KIND]: Tags.SPAN_KIND_RPC_CLIENT, card: "visa" },
  });
  child.log({ event: "paid", amount: 7 });
  child.finish();
  parent.finish();
  tracer.close(() => console.log("sent"));
}

function zipkin() {
  const { Annotation, BatchRecorder, ExplicitContext, Tracer, jsonEncoder } = require("zipkin");
  const { HttpLogger } = require("zipkin-transport-http");
  const logger = new HttpLogger({
    endpoint: `http://${address}/api/${way}/spans`,
    jsonEncoder: jsonEncoder[`JSON_${way.toUpperCase()}`],
    httpInterval: 20,
    log: { error: fail },
  });
  // Its own timer does not keep the process alive.
  const late = setTimeout(() => fail("nothing was sent"), 30_000);
  logger.on("success", () => {
    clearTimeout(late);
    console.log("sent");
    process.exit(0);
  });
  const tracer = new Tracer({
    ctxImpl: new ExplicitContext(),
    recorder: new BatchRecorder({ logger }),
    localServiceName: service,
    traceId128Bit: true,
  });
  const parent = tracer.createRootId();
  const child = tracer.letId(parent, () => tracer.createChildId());
  const record = (id, name, [begin, end], tag, event) =>
    tracer.letId(id, () => {
      tracer.recordServiceName(service);
      tracer.recordRpc(name);
      tracer.recordAnnotation(begin);
      tracer.recordBinary(...tag);
      if (event) tracer.recordMessage(event);
      tracer.recordAnnotation(end);
    });
  const client = [new Annotation.ClientSend(), new Annotation.ClientRecv()];
  record(child, "charge", client, ["card", "visa"], "paid");
  const server = [new Annotation.ServerRecv(), new Annotation.ServerSend()];
  record(parent, "checkout", server, ["order", "42"]);
}

function fail(...words) {
  console.error(...words);
  process.exit(1);
}

if (kind === "jaeger-client") jaeger();
else if (kind === "zipkin") zipkin();
else fail(`no client ${client}`);
