"""Sends one trace as a client does that was made for Jaeger or Zipkin.

    clients.py CLIENT ADDRESS SERVICE

The trace is `checkout`, a server's, and below it `charge`, a client's, with tags and an event.
"""

import sys
import threading
import time

client, address, service = sys.argv[1:4]
host, port = address.rsplit(":", 1)


def opentracing_jaeger():
    """jaeger-client: Thrift's compact protocol over UDP."""
    from jaeger_client import Config
    from opentracing.ext import tags

    agent = {"reporting_host": host, "reporting_port": port}
    config = {"sampler": {"type": "const", "param": 1}, "local_agent": agent}
    tracer = Config(config=config, service_name=service).initialize_tracer()
    with tracer.start_span("checkout", tags={tags.SPAN_KIND: "server", "order": 42}) as parent:
        with tracer.start_span("charge", child_of=parent) as child:
            child.set_tag(tags.SPAN_KIND, "client")
            child.set_tag("card", "visa")
            child.log_kv({"event": "paid", "amount": 7})
    # The future is of a thread of the client's own.
    closed = threading.Event()
    tracer.close().add_done_callback(lambda _: closed.set())
    closed.wait(30)


def opentelemetry(exporter):
    """The SDK of OpenTelemetry, with an exporter of old."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanKind, Status, StatusCode

    provider = TracerProvider(resource=Resource({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("clients.py")
    with tracer.start_as_current_span("checkout", kind=SpanKind.SERVER) as parent:
        parent.set_attribute("order", 42)
        with tracer.start_as_current_span("charge", kind=SpanKind.CLIENT) as child:
            child.set_attribute("card", "visa")
            child.add_event("paid")
            child.set_status(Status(StatusCode.ERROR, "declined"))
    provider.shutdown()


def opentelemetry_jaeger(way):
    if way == "grpc":
        from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter

        return JaegerExporter(collector_endpoint=address, insecure=True)
    from opentelemetry.exporter.jaeger.thrift import JaegerExporter

    if way == "udp":
        return JaegerExporter(agent_host_name=host, agent_port=int(port))
    return JaegerExporter(collector_endpoint=f"http://{address}/api/traces?format=jaeger.thrift")


def opentelemetry_zipkin(way):
    if way == "protobuf":
        from opentelemetry.exporter.zipkin.proto.http import ZipkinExporter

        return ZipkinExporter(endpoint=f"http://{address}/api/v2/spans")
    from opentelemetry.exporter.zipkin.json import Protocol, ZipkinExporter

    version = Protocol.V1 if way == "v1" else Protocol.V2
    # Without a length its first version fails.
    return ZipkinExporter(
        version=version,
        endpoint=f"http://{address}/api/{way}/spans",
        max_tag_value_length=128,
    )


def py_zipkin(encoding):
    """py_zipkin: what its transport is given, by POST."""
    import requests
    from py_zipkin import Encoding, Kind
    from py_zipkin.transport import BaseTransportHandler
    from py_zipkin.zipkin import zipkin_span

    version = "v1" if encoding.startswith("V1") else "v2"
    types = {"V1_THRIFT": "application/x-thrift", "V2_PROTO3": "application/x-protobuf"}
    headers = {"content-type": types.get(encoding, "application/json")}

    class Post(BaseTransportHandler):
        def get_max_payload_bytes(self):
            return None

        def send(self, payload):
            url = f"http://{address}/api/{version}/spans"
            requests.post(url, data=payload, headers=headers, timeout=30).raise_for_status()

    with zipkin_span(
        service_name=service,
        span_name="checkout",
        kind=Kind.SERVER,
        transport_handler=Post(),
        sample_rate=100.0,
        encoding=getattr(Encoding, encoding),
        binary_annotations={"order": "42"},
        use_128bit_trace_id=True,
    ):
        with zipkin_span(service_name=service, span_name="charge", kind=Kind.CLIENT) as child:
            child.update_binary_annotations({"card": "visa"})
            child.add_annotation("paid", time.time())


kind, _, way = client.partition(":")
if kind == "jaeger-client":
    opentracing_jaeger()
elif kind == "opentelemetry-jaeger":
    opentelemetry(opentelemetry_jaeger(way))
elif kind == "opentelemetry-zipkin":
    opentelemetry(opentelemetry_zipkin(way))
elif kind == "py_zipkin":
    py_zipkin(way)
else:
    sys.exit(f"no client {client}")
