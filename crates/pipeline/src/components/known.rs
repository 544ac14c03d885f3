//! Every type of component that configurations name: those that are here, their old names, and
//! those of the Collector (core and contrib, v0.161) that are not here.

use config::{Kind, Known, Signal, Status};

const ALL: Status = Status::Here(&[Signal::Traces, Signal::Metrics, Signal::Logs]);
const TRACES: Status = Status::Here(&[Signal::Traces]);
const EXTENSION: Status = Status::Here(&[]);

const NO_METRICS: Status = Status::Elsewhere(
    "Spanfall collects traces; metrics of this kind need a Collector or an agent of their own",
);
const NO_LOGS: Status =
    Status::Elsewhere("Spanfall collects traces; logs need a Collector or an agent of their own");
const USE_OTLP_IN: Status =
    Status::Elsewhere("send OTLP instead: use the receiver `otlp`, which every SDK can send to");
const USE_OTLP_OUT: Status = Status::Elsewhere(
    "use the exporter `otlp_http` or `otlp_grpc`, which most backends take, or `spanfall` to store \
     the traces here",
);
const NEXT: Status = Status::Elsewhere("it comes with a later version of Spanfall");
const SPAN_METRICS: &str = "leave it out: Spanfall computes span metrics from the spans that it \
     stores and answers PromQL below /prometheus (docs/prometheus.md); the connector \
     `span_metrics` comes with a later version";
const SERVICE_GRAPH: &str = "leave it out: Spanfall computes the service graph from the spans that \
     it stores and answers PromQL below /prometheus (docs/prometheus.md); the connector \
     `service_graph` comes with a later version";
const USE_TRANSFORM: Status = Status::Elsewhere("use the processor `transform`");

const fn kind(name: &'static str, status: Status) -> Kind {
    Kind { name, status }
}

static RECEIVERS: [Kind; 44] = [
    kind("otlp", TRACES),
    kind("jaeger", TRACES),
    kind("zipkin", TRACES),
    kind("kafka", TRACES),
    kind("otlp_json_file", TRACES),
    kind("otlpjsonfile", Status::Alias("otlp_json_file")),
    kind("opencensus", Status::Removed("use the receiver `otlp`")),
    kind("sapm", Status::Removed("use the receiver `otlp`")),
    kind("nop", Status::Elsewhere("leave the pipeline out")),
    kind("awsxray", USE_OTLP_IN),
    kind("datadog", USE_OTLP_IN),
    kind("skywalking", USE_OTLP_IN),
    kind("solace", USE_OTLP_IN),
    kind("googlecloudpubsub", USE_OTLP_IN),
    kind("pulsar", USE_OTLP_IN),
    kind("otelarrow", USE_OTLP_IN),
    kind("otel_arrow", USE_OTLP_IN),
    kind("azureeventhub", USE_OTLP_IN),
    kind("azure_event_hub", USE_OTLP_IN),
    kind("signalfx", NO_METRICS),
    kind("statsd", NO_METRICS),
    kind("carbon", NO_METRICS),
    kind("collectd", NO_METRICS),
    kind("influxdb", NO_METRICS),
    kind("prometheus", NO_METRICS),
    kind("prometheus_remote_write", NO_METRICS),
    kind("prometheusremotewrite", NO_METRICS),
    kind("host_metrics", NO_METRICS),
    kind("hostmetrics", NO_METRICS),
    kind("docker_stats", NO_METRICS),
    kind("kubeletstats", NO_METRICS),
    kind("k8s_cluster", NO_METRICS),
    kind("kafka_metrics", NO_METRICS),
    kind("kafkametrics", NO_METRICS),
    kind("postgresql", NO_METRICS),
    kind("mysql", NO_METRICS),
    kind("redis", NO_METRICS),
    kind("nginx", NO_METRICS),
    kind("file_log", NO_LOGS),
    kind("filelog", NO_LOGS),
    kind("fluentforward", NO_LOGS),
    kind("journald", NO_LOGS),
    kind("syslog", NO_LOGS),
    kind("k8s_events", NO_LOGS),
];

static PROCESSORS: [Kind; 33] = [
    kind("memory_limiter", ALL),
    kind("batch", ALL),
    kind("resource", TRACES),
    kind("attributes", TRACES),
    kind("span", TRACES),
    kind("filter", TRACES),
    kind("transform", TRACES),
    kind("redaction", TRACES),
    kind("probabilistic_sampler", TRACES),
    kind("groupbytrace", TRACES),
    kind("group_by_trace", Status::Alias("groupbytrace")),
    kind("resource_detection", TRACES),
    kind("resourcedetection", Status::Alias("resource_detection")),
    kind("tail_sampling", NEXT),
    kind("dynamicsampling", NEXT),
    kind("k8s_attributes", NEXT),
    kind(
        "k8sattributes",
        Status::Elsewhere("use `resource_detection` with the detector k8s and the downward API"),
    ),
    kind("spanmetrics", Status::Removed(SPAN_METRICS)),
    kind("servicegraph", Status::Removed(SERVICE_GRAPH)),
    kind("routing", Status::Removed("use the connector `routing`")),
    kind("queuebatch", Status::Elsewhere("use `batch`, or an exporter's `sending_queue.batch`")),
    kind("groupbyattrs", USE_TRANSFORM),
    kind("schema", USE_TRANSFORM),
    kind("remotetap", Status::Elsewhere("use the exporter `debug`")),
    kind("geoip", Status::Elsewhere("Spanfall has no database of addresses")),
    kind("cumulative_to_delta", NO_METRICS),
    kind("cumulativetodelta", NO_METRICS),
    kind("delta_to_cumulative", NO_METRICS),
    kind("deltatocumulative", NO_METRICS),
    kind("deltatorate", NO_METRICS),
    kind("metricstransform", NO_METRICS),
    kind("interval", NO_METRICS),
    kind("logdedup", NO_LOGS),
];

static EXPORTERS: [Kind; 36] = [
    kind("spanfall", TRACES),
    kind("otlp_grpc", ALL),
    kind("otlp", Status::Alias("otlp_grpc")),
    kind("otlp_http", ALL),
    kind("otlphttp", Status::Alias("otlp_http")),
    kind("jaeger", TRACES),
    kind("zipkin", TRACES),
    kind("kafka", ALL),
    kind("debug", ALL),
    kind("logging", Status::Alias("debug")),
    kind("file", ALL),
    kind("load_balancing", TRACES),
    kind("loadbalancing", Status::Alias("load_balancing")),
    kind("nop", ALL),
    kind(
        "jaeger_thrift",
        Status::Removed("use `jaeger`, which speaks gRPC to port 14250, or `otlp_grpc` to 4317"),
    ),
    kind("opencensus", Status::Removed("use the exporter `otlp_grpc`")),
    kind("sapm", Status::Removed("use the exporter `otlp_http`")),
    kind("otelarrow", USE_OTLP_OUT),
    kind("otel_arrow", USE_OTLP_OUT),
    kind("clickhouse", NEXT),
    kind("elasticsearch", USE_OTLP_OUT),
    kind("opensearch", USE_OTLP_OUT),
    kind("datadog", USE_OTLP_OUT),
    kind("awsxray", USE_OTLP_OUT),
    kind("awss3", USE_OTLP_OUT),
    kind("azuremonitor", USE_OTLP_OUT),
    kind("googlecloud", USE_OTLP_OUT),
    kind("honeycombmarker", USE_OTLP_OUT),
    kind("pulsar", USE_OTLP_OUT),
    kind("signalfx", USE_OTLP_OUT),
    kind("splunk_hec", USE_OTLP_OUT),
    kind("prometheus", Status::Elsewhere("Spanfall serves span metrics below /prometheus itself")),
    kind("prometheus_remote_write", NEXT),
    kind("prometheusremotewrite", NEXT),
    kind("loki", NO_LOGS),
    kind("syslog", NO_LOGS),
];

const BETWEEN_TRACES: Status = Status::Connects(&[(Signal::Traces, Signal::Traces)]);

static CONNECTORS: [Kind; 16] = [
    kind(
        "forward",
        Status::Connects(&[
            (Signal::Traces, Signal::Traces),
            (Signal::Metrics, Signal::Metrics),
            (Signal::Logs, Signal::Logs),
        ]),
    ),
    kind("routing", BETWEEN_TRACES),
    kind("count", Status::Connects(&[(Signal::Traces, Signal::Metrics)])),
    kind(
        "exceptions",
        Status::Connects(&[(Signal::Traces, Signal::Metrics), (Signal::Traces, Signal::Logs)]),
    ),
    kind("failover", BETWEEN_TRACES),
    kind("round_robin", BETWEEN_TRACES),
    kind("roundrobin", Status::Alias("round_robin")),
    kind("span_metrics", Status::Elsewhere(SPAN_METRICS)),
    kind("spanmetrics", Status::Elsewhere(SPAN_METRICS)),
    kind("service_graph", Status::Elsewhere(SERVICE_GRAPH)),
    kind("servicegraph", Status::Elsewhere(SERVICE_GRAPH)),
    kind("sum", Status::Elsewhere("use the connector `count`")),
    kind("signaltometrics", Status::Elsewhere("use the connector `count`")),
    kind("slowsql", Status::Elsewhere("use the connector `routing` with a condition")),
    kind("datadog", NEXT),
    kind("grafanacloud", NEXT),
];

static EXTENSIONS: [Kind; 21] = [
    kind("spanfall_query", EXTENSION),
    kind("health_check", EXTENSION),
    kind("healthcheckv2", Status::Alias("health_check")),
    kind("basicauth", EXTENSION),
    kind("bearertokenauth", EXTENSION),
    kind("bearertoken", Status::Alias("bearertokenauth")),
    kind("file_storage", EXTENSION),
    kind("pprof", EXTENSION),
    kind("zpages", EXTENSION),
    // Does nothing, and says so.
    kind("memory_ballast", EXTENSION),
    kind("db_storage", Status::Elsewhere("use `file_storage`")),
    kind("redis_storage", Status::Elsewhere("use `file_storage`")),
    kind("oauth2client", Status::Elsewhere("use `bearertokenauth` with `filename`")),
    kind("oidc", Status::Elsewhere("use `bearertokenauth`, or a proxy that checks")),
    kind("headers_setter", Status::Elsewhere("use `headers` of the exporter")),
    kind("sigv4auth", Status::Elsewhere("use a proxy that signs")),
    kind("asapclient", Status::Elsewhere("use `bearertokenauth`")),
    kind("jaeger_query", Status::Elsewhere("use `spanfall_query`, which answers Jaeger's APIs")),
    kind("jaeger_storage", Status::Elsewhere("use the exporter `spanfall`")),
    kind("jaegerremotesampling", NEXT),
    kind("opamp", Status::Elsewhere("change the file: Spanfall takes it over while it runs")),
];

/// The types of components.
pub fn known() -> Known {
    Known {
        receivers: &RECEIVERS,
        processors: &PROCESSORS,
        exporters: &EXPORTERS,
        connectors: &CONNECTORS,
        extensions: &EXTENSIONS,
    }
}
