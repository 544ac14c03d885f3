"""Asks a server over gRPC as a client does that was made from Jaeger's published .proto files.

    jaeger_client.py PROTOS ADDRESS TRACE_ID SERVICE [TOKEN]

PROTOS is the `proto` folder of jaeger-idl. Prints one JSON object with what each call answered.
"""

import base64
import json
import pathlib
import re
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_tools import protoc
from opentelemetry.proto.trace.v1 import trace_pb2

protos, address, trace_id, service = sys.argv[1:5]
token = sys.argv[5] if len(sys.argv) > 5 else None


def without_options(text):
    """The messages and services of a file: options are for other generators."""
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r'import "(google/api|gogoproto|gnostic)[^\n]*', "", text)
    out, at = [], 0
    for start in re.finditer(r"\boption\b|\[", text):
        if start.start() < at:
            continue
        out.append(text[at : start.start()])
        if start.group() == "option":
            # Up to the end of the statement, over any braces.
            at, depth = start.end(), 0
            while text[at] != ";" or depth:
                depth += {"{": 1, "}": -1}.get(text[at], 0)
                at += 1
                if text[at - 1] == "}" and depth == 0 and text[at] != ";":
                    break
            at += text[at] == ";"
        else:
            at, depth = start.end(), 1
            while depth:
                depth += {"[": 1, "]": -1}.get(text[at], 0)
                at += 1
    return "".join(out) + text[at:]


def published():
    """A pool of what jaeger-idl publishes."""
    files = descriptor_pb2.FileDescriptorSet()
    seen = set()

    def add(file):
        if file.name in seen:
            return
        seen.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        file.CopyToProto(files.file.add())

    # OTLP is published as Python rather than as source.
    add(trace_pb2.DESCRIPTOR)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        known = folder / "known.bin"
        known.write_bytes(files.SerializeToString())
        root = pathlib.Path(protos)
        for source, target in [
            ("api_v2/model.proto", "model.proto"),
            ("api_v2/query.proto", "query.proto"),
            ("api_v3/capabilities.proto", "api_v3/capabilities.proto"),
            ("api_v3/query_service.proto", "api_v3/query_service.proto"),
            ("expression/v1/expression.proto", "expression/v1/expression.proto"),
        ]:
            text = without_options((root / source).read_text())
            text = re.sub(r'import "expression/v1/vocabulary.proto";', "", text)
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            (folder / target).write_text(text)
        google = pathlib.Path(protoc.__file__).parent / "_proto"
        result = folder / "all.bin"
        code = protoc.main(
            [
                "protoc",
                f"--descriptor_set_in={known}",
                f"-I{folder}",
                f"-I{google}",
                f"--descriptor_set_out={result}",
                "--include_imports",
                "query.proto",
                "api_v3/capabilities.proto",
                "api_v3/query_service.proto",
            ]
        )
        if code:
            sys.exit(f"protoc ended with {code}")
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(result.read_bytes()).file:
            pool.Add(file)
    return pool


pool = published()
metadata = [("authorization", f"Bearer {token}")] if token else []
channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])


def ask(name, fields):
    """What a call of `package.Service/Method` answers: messages, or a status."""
    full, method = name.split("/")
    method = pool.FindServiceByName(full).FindMethodByName(method)
    request = json_format.ParseDict(fields, message_factory.GetMessageClass(method.input_type)())
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = kind(
        f"/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    try:
        answer = call(request, metadata=metadata, timeout=30)
        answers = list(answer) if method.server_streaming else [answer]
    except grpc.RpcError as error:
        return {"code": error.code().name, "message": error.details()}
    return [json_format.MessageToDict(answer) for answer in answers]


def bytes_of(text):
    """Bytes, given in hexadecimal, as JSON has them."""
    return base64.b64encode(bytes.fromhex(text)).decode()


V2, V3 = "jaeger.api_v2.QueryService", "jaeger.api_v3.QueryService"
CAPABILITIES = "jaeger.api_v3.Capabilities"
ALWAYS = {"startTimeMin": "2001-01-01T00:00:00Z", "startTimeMax": "2200-01-01T00:00:00Z"}
RANGE = {"startTime": "2001-01-01T00:00:00Z", "endTime": "2200-01-01T00:00:00Z"}
query = {"serviceName": service, "searchDepth": 5, **ALWAYS}


def call(op, *args):
    """A structured filter."""
    return {"op": op, "args": list(args)}


def constant(value):
    """A constant without a type."""
    return {"scalar": {"value": value}}


of_service = call("eq", {"field": {"name": "service", "level": "resource"}}, constant(service))
servers = call(
    "and",
    {"call": of_service},
    {"call": call("eq", {"field": {"name": "kind", "level": "span"}}, constant("server"))},
)
deep = of_service
for _ in range(20):
    deep = call("not", {"call": deep})

found = {
    "v2": {
        "services": ask(f"{V2}/GetServices", {}),
        "operations": ask(f"{V2}/GetOperations", {"service": service}),
        "servers": ask(f"{V2}/GetOperations", {"service": service, "spanKind": "server"}),
        "no_service": ask(f"{V2}/GetOperations", {}),
        "trace": ask(f"{V2}/GetTrace", {"traceId": bytes_of(trace_id)}),
        "find": ask(f"{V2}/FindTraces", {"query": query}),
        "tagged": ask(
            f"{V2}/FindTraces",
            {"query": {"serviceName": service, "tags": {"span.kind": "server"}}},
        ),
        # As Kiali asks for what failed.
        "failed": ask(
            f"{V2}/FindTraces",
            {"query": {**query, "serviceName": "payment", "tags": {"error": "true"}}},
        ),
        "dependencies": ask(f"{V2}/GetDependencies", RANGE),
        "unknown": ask(f"{V2}/GetTrace", {"traceId": bytes_of("01" * 16)}),
        "no_id": ask(f"{V2}/GetTrace", {}),
        "short_id": ask(f"{V2}/GetTrace", {"traceId": bytes_of("0102")}),
        "no_query": ask(f"{V2}/FindTraces", {}),
        "no_range": ask(f"{V2}/GetDependencies", {}),
        "archive": ask(f"{V2}/ArchiveTrace", {"traceId": bytes_of(trace_id)}),
    },
    "v3": {
        "services": ask(f"{V3}/GetServices", {}),
        "operations": ask(f"{V3}/GetOperations", {"service": service}),
        "trace": ask(f"{V3}/GetTrace", {"traceId": trace_id}),
        "raw": ask(f"{V3}/GetTrace", {"traceId": trace_id, "rawTraces": True}),
        "find": ask(f"{V3}/FindTraces", {"query": query}),
        "summaries": ask(f"{V3}/FindTraceSummaries", {"query": query}),
        "page": ask(
            f"{V3}/FindTraceSummaries", {"query": {**ALWAYS, "pagination": {"pageSize": 1}}}
        ),
        "dependencies": ask(f"{V3}/GetDependencies", RANGE),
        "unknown": ask(f"{V3}/GetTrace", {"traceId": "1"}),
        "bad_id": ask(f"{V3}/GetTrace", {"traceId": "xyz"}),
        "no_range": ask(f"{V3}/FindTraces", {"query": {"serviceName": service}}),
        "no_service": ask(f"{V3}/GetOperations", {}),
        "bad_kind": ask(f"{V3}/GetOperations", {"service": service, "spanKind": "x"}),
        "filtered": ask(f"{V3}/FindTraces", {"query": {**ALWAYS, "filter": servers}}),
        "spans": ask(f"{V3}/FindSpans", {"query": {**ALWAYS, "filter": servers}}),
        "span_page": ask(
            f"{V3}/FindSpans", {"query": {**ALWAYS, "pagination": {"pageSize": 1}}}
        ),
        "capabilities": ask(f"{CAPABILITIES}/GetCapabilities", {}),
        "filter": ask(f"{V3}/FindTraces", {"query": {**ALWAYS, "filter": {"op": "eq"}}}),
        "deep": ask(f"{V3}/FindSpans", {"query": {**ALWAYS, "filter": deep}}),
        "sorted": ask(
            f"{V3}/FindSpans", {"query": {**ALWAYS, "orderBy": [{"direction": "asc"}]}}
        ),
    },
}


class Authorized(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Presents the token for stubs that others made."""

    def intercept_unary_unary(self, call, details, request):
        return call(details._replace(metadata=metadata), request)

    def intercept_stream_stream(self, call, details, requests):
        return call(details._replace(metadata=metadata), requests)


authorized = grpc.intercept_channel(channel, Authorized())
try:
    database = ProtoReflectionDescriptorDatabase(authorized)
    described = descriptor_pool.DescriptorPool(database)
    found["reflection"] = {
        "services": sorted(database.get_services()),
        "methods": sorted(method.name for method in described.FindServiceByName(V3).methods),
        "span": sorted(
            field.name
            for field in described.FindMessageTypeByName(
                "opentelemetry.proto.trace.v1.Span"
            ).fields
        ),
    }
    health = health_pb2_grpc.HealthStub(authorized)
    found["health"] = {
        name or "all": health_pb2.HealthCheckResponse.ServingStatus.Name(
            health.Check(health_pb2.HealthCheckRequest(service=name), timeout=30).status
        )
        for name in ["", V2, V3, CAPABILITIES]
    }
except grpc.RpcError as error:
    found["reflection"] = {"code": error.code().name, "message": error.details()}
print(json.dumps(found))
