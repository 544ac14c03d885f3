"""Asks a server's Tempo API over gRPC and HTTP on one port, as Grafana's data source does.

    tempo_client.py ADDRESS [TOKEN]

The messages are those that the server's reflection tells. What comes as JSON is decoded strictly: a
field that is not in the message, or of another type, is an error. Prints one JSON object with what
each call answered.
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

address = sys.argv[1]
token = sys.argv[2] if len(sys.argv) > 2 else None
metadata = [("authorization", f"Bearer {token}")] if token else []

SERVICE = "tempopb.StreamingQuerier"

# What Tempo's clients know, by the number on the wire.
KNOWN = {
    "SearchRequest": {1: "Tags", 2: "MinDurationMs", 3: "MaxDurationMs", 4: "Limit", 5: "start",
                      6: "end", 8: "Query", 9: "SpansPerSpanSet"},
    "SearchResponse": {1: "traces", 2: "metrics"},
    "TraceSearchMetadata": {1: "traceID", 2: "rootServiceName", 3: "rootTraceName",
                            4: "startTimeUnixNano", 5: "durationMs", 6: "spanSet", 7: "spanSets",
                            8: "serviceStats"},
    "SpanSet": {1: "spans", 2: "matched", 3: "attributes"},
    "Span": {1: "spanID", 2: "name", 3: "startTimeUnixNano", 4: "durationNanos", 5: "attributes"},
    "SearchMetrics": {1: "inspectedTraces", 2: "inspectedBytes", 3: "totalBlocks",
                      4: "completedJobs", 5: "totalJobs", 6: "totalBlockBytes",
                      7: "inspectedSpans"},
    "SearchTagsRequest": {1: "scope", 2: "query", 3: "start", 4: "end", 5: "maxTagsPerScope"},
    "SearchTagValuesRequest": {1: "tagName", 2: "query", 4: "start", 5: "end", 6: "maxTagValues"},
    "QueryRangeRequest": {1: "query", 2: "start", 3: "end", 4: "step", 16: "exemplars",
                          17: "maxSeries"},
    "QueryRangeResponse": {1: "series", 2: "metrics", 3: "status", 4: "message"},
    "TimeSeries": {1: "labels", 2: "samples", 4: "exemplars"},
    "Sample": {1: "value", 2: "timestamp_ms"},
    "Exemplar": {1: "labels", 2: "value", 3: "timestamp_ms"},
    "QueryInstantRequest": {1: "query", 2: "start", 3: "end"},
    "QueryInstantResponse": {1: "series", 2: "metrics", 3: "status", 4: "message"},
    "InstantSeries": {1: "labels", 2: "value"},
}

channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 1 << 20)])


class Authorized(ProtoReflectionDescriptorDatabase):
    """Reflection with the token."""

    def __init__(self):
        if token:
            intercepted = grpc.intercept_channel(channel, Interceptor())
            super().__init__(intercepted)
        else:
            super().__init__(channel)


class Interceptor(grpc.StreamStreamClientInterceptor):
    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=metadata), requests)


pool = descriptor_pool.DescriptorPool(Authorized())


def message(name):
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tempopb.{name}"))


for name, fields in KNOWN.items():
    told = pool.FindMessageTypeByName(f"tempopb.{name}").fields
    assert {field.number: field.name for field in told} == fields, (name, fields)

methods = {method.name: method for method in pool.FindServiceByName(SERVICE).methods}


def stream(method, **fields):
    """What a call answers, message by message; the status and its text if it is refused."""
    kind = methods[method]
    call = channel.unary_stream(
        f"/{SERVICE}/{method}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=message(kind.output_type.name).FromString,
    )
    try:
        answers = list(call(message(kind.input_type.name)(**fields), metadata=metadata))
        return [json_format.MessageToDict(answer) for answer in answers]
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}


def http(path, name=None, **query):
    """A strictly decoded answer, or the status and body of a refusal."""
    url = f"http://{address}{path}?{urllib.parse.urlencode(query)}"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            body = answer.read().decode()
            if name is None:
                return json.loads(body)
            return json_format.MessageToDict(json_format.Parse(body, message(name)()))
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read().decode()}


servers = '{ kind = server } | select(resource.service.name, kind, status)'
rate = "{} | rate() by(resource.service.name)"
filtered = "{ status = error && }"
found = {
    "services": sorted(pool.FindServiceByName(SERVICE).methods_by_name),
    "health": stream("Search", Query="{}", Limit=1),
    "search": stream("Search", Query=servers, Limit=5, SpansPerSpanSet=2),
    "search_http": http("/api/search", "SearchResponse", q=servers, limit=5, spss=2),
    "search_tags": stream("Search", Tags={"service.name": "frontend"}, Limit=2, MinDurationMs=1),
    "misspelt": stream("Search", Query="{ status = }"),
    "tags": stream("SearchTags"),
    "tags_http": http("/api/search/tags", "SearchTagsResponse"),
    "tags_v2": stream("SearchTagsV2", scope="resource"),
    "tags_v2_http": http("/api/v2/search/tags", "SearchTagsV2Response", scope="resource"),
    "values": stream("SearchTagValues", tagName="service.name"),
    "values_http": http("/api/search/tag/service.name/values", "SearchTagValuesResponse"),
    "values_v2": stream("SearchTagValuesV2", tagName="resource.service.name", query=filtered),
    "values_v2_http": http(
        "/api/v2/search/tag/resource.service.name/values", "SearchTagValuesV2Response", q=filtered
    ),
    "range": stream("MetricsQueryRange", query=rate, step=60_000_000_000, exemplars=5),
    "range_http": http(
        "/api/metrics/query_range", "QueryRangeResponse", q=rate, step="60s", exemplars=5
    ),
    "instant": stream("MetricsQueryInstant", query=rate),
    "instant_http": http("/api/metrics/query", "QueryInstantResponse", q=rate),
    "metrics_misspelt": stream("MetricsQueryRange", query="{} | rat()"),
}
print(json.dumps(found))
