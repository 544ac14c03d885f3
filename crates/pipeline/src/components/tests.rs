//! Settings as people write them, and what is said of those that are wrong.

use config::{Diagnostics, Document, System};

use super::{known, register};
use crate::graph::{Plans, Registry};

fn check(text: &str) -> (Document, Diagnostics) {
    let configs = [format!("yaml:{text}")];
    let request = config::Request { configs: &configs, sets: &[] };
    let (document, mut diagnostics) = config::load(request, &System, &known());
    let mut registry = Registry::default();
    register(&mut registry);
    Plans::read(&document, &registry, &mut diagnostics);
    (document, diagnostics)
}

/// What a processor's settings are read to.
pub(super) fn made<T>(kind: &str, settings: &str, read: fn(&mut config::Reader<'_, '_>) -> T) -> T {
    let (document, mut diagnostics) = check(&format!("processors: {{{kind}: {settings}}}"));
    read(&mut config::Reader::of(&document.processors[0], &mut diagnostics))
}

/// What is wrong with a processor's settings, one message a line.
fn faults(processor: &str) -> String {
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: }}}}}}
processors:
  {}
exporters: {{nop: }}
service: {{pipelines: {{traces: {{receivers: [otlp], processors: [{}], exporters: [nop]}}}}}}
",
        processor.replace('\n', "\n  "),
        processor.split(':').next().unwrap_or_default()
    );
    let (_, diagnostics) = check(&text);
    let errors = diagnostics.iter().filter(|one| one.severity == config::Severity::Error);
    errors.map(|one| one.message.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn settings_of_processors_are_read() {
    for right in [
        "attributes: {actions: [{key: a, value: 1, action: insert}, {key: b, action: delete}]}",
        "attributes: {actions: [{key: a, from_context: metadata.x, action: UPSERT}], include: {match_type: strict, services: [a]}}",
        "attributes: {actions: [{key: a, from_attribute: b, default_value: 1, action: insert}, {key: a, value: , default_value: x, action: update}]}",
        "attributes: {actions: [{pattern: ^x, action: hash}, {key: a, action: convert, converted_type: int}]}",
        "attributes: {actions: [{key: a, pattern: '(?P<b>.*)', action: extract}]}",
        "resource: {attributes: [{key: environment, value: production, action: upsert}]}",
        "span: {name: {from_attributes: [a, b], separator: '::'}}",
        "span: {name: {to_attributes: {rules: ['^/(?P<x>.*)$'], break_after_match: true}}}",
        "span: {status: {code: Error, description: why}}",
        "redaction: {allow_all_keys: true, blocked_values: ['4[0-9]{12}'], summary: debug}",
        "redaction: {presets: [credit_card, email], allow_all_keys: true, hash_function: md5}",
        "redaction: {hash_function: hmac-sha256, hmac_key: abc}",
        "probabilistic_sampler: {sampling_percentage: 15.3, hash_seed: 22, mode: proportional}",
        "resource_detection: {detectors: [env, system], timeout: 2s, override: false}",
        "resourcedetection: {detectors: [env]}",
        "memory_limiter: {check_interval: 1s, limit_mib: 400, spike_limit_mib: 80, ballast_size_mib: 165}",
        "memory_limiter: {check_interval: 1s, limit_percentage: 75, spike_limit_percentage: 15}",
        "batch:",
        "batch: {timeout: 1s, send_batch_size: 1024, send_batch_max_size: 2048, metadata_keys: [a]}",
        "filter: {traces: {span: ['name == \"x\"', 'IsMatch(attributes[\"a\"], \"b.*\")'], resource: ['attributes[\"a\"] == 1']}}",
        "filter: {error_mode: silent, trace_conditions: ['span.name == \"x\"', {context: spanevent, conditions: ['name == \"y\"']}]}",
        "transform: {trace_statements: [{conditions: ['span.name == \"x\"'], statements: ['set(resource.attributes[\"a\"], 1)']}]}",
        "transform: {trace_statements: ['set(span.attributes[\"a\"], 1)', {context: resource, statements: ['delete_key(attributes, \"x\")']}]}",
        "transform: {trace_statements: [{statements: ['set(resource.attributes[\"a\"], 1) where span.name == \"x\"'], conditions: ['span.kind == SPAN_KIND_SERVER']}]}",
        "groupbytrace: {wait_duration: 10s, num_traces: 1000, num_workers: 2}",
        "filter: {spans: {include: {match_type: strict, services: [a]}, exclude: {match_type: regexp, span_names: ['^/health'], attributes: [{key: a, value: b}], resources: [{key: c}], libraries: [{name: d}], span_kinds: [SERVER]}}}",
        "filter: {spans: {exclude: {match_type: strict, services: [a]}}, trace_conditions: ['span.name == \"x\"']}",
        "filter: {trace_conditions: [{conditions: ['resource.attributes[\"a\"] == 1', 'span.name == \"x\"']}]}",
        "redaction: {blocked_values: ['^/users/{id}$', '[[]x']}",
        "redaction: {redact_all_fields: false}",
        "probabilistic_sampler: {attribute_source: record, from_attribute: a, sampling_priority: b}",
        "redaction: {url_sanitizer: {enabled: true, attributes: [http.url], sanitize_span_name: false, sanitize_log_body: true}}",
        "resource_detection: {detectors: [system], system: {hostname_sources: [dns, os], resource_attributes: {host.id: {enabled: true}, host.ip: {enabled: false}}}}",
        "resource_detection: {detectors: [k8snode], k8snode: {auth_type: serviceAccount, node_from_env_var: NODE, resource_attributes: {k8s.node.name: {enabled: true}}}}",
        "resource_detection: {detectors: [env, docker], env: {resource_attributes: {any: {enabled: false}}}, docker: {resource_attributes: {os.type: {enabled: false}}}}",
    ] {
        assert_eq!(faults(right), "", "{right}");
    }
}

#[test]
fn wrong_settings_are_named() {
    for (wrong, parts) in [
        ("attributes: {}", &["actions"][..]),
        (
            "transform: {trace_statements: ['set_semconv_span_name(\"1.37.0\")']}",
            &["set_semconv_span_name", "is not here"],
        ),
        (
            "filter: {metrics: {metric: ['true']}}",
            &["'metrics' this filter has only spans: use \"traces\" or \"trace_conditions\""],
        ),
        ("attributes: {actions: []}", &["missing required field \"actions\""]),
        (
            "attributes: {actions: [{key: a, value: 1, action: inset}]}",
            &["unsupported action \"inset\""],
        ),
        (
            "attributes: {actions: [{value: 1, action: insert}]}",
            &["missing required field \"key\""],
        ),
        ("attributes: {actions: [{key: a, action: insert}]}", &["exactly one of \"value\""]),
        (
            "attributes: {actions: [{key: a, value: , action: insert}]}",
            &["'actions[0].value' exactly one of"],
        ),
        (
            "attributes: {actions: [{key: a, from_context: b, default_value: [1], action: insert}]}",
            &["'actions[0].default_value' must be text"],
        ),
        ("attributes: {actions: [{action: delete}]}", &["either field \"key\" or \"pattern\""]),
        (
            "attributes: {actions: [{key: a, action: extract}]}",
            &["missing required field \"pattern\""],
        ),
        (
            "attributes: {actions: [{key: a, pattern: 'x', action: extract}]}",
            &["group with a name"],
        ),
        ("attributes: {actions: [{key: a, action: convert}]}", &["\"converted_type\""]),
        (
            "attributes: {actions: [{pattern: '(', action: delete}]}",
            &["no regular expression", "unclosed group"],
        ),
        (
            "attributes: {actions: [{key: a, action: delete}], include: {services: [a]}}",
            &["match_type"],
        ),
        (
            "attributes: {actions: [{key: a, action: delete}], exclude: {match_type: strict}}",
            &["at least one of"],
        ),
        ("span: {}", &["must be specified"]),
        ("span: {status: {code: Ok, description: x}}", &["only for the code \"Error\""]),
        ("redaction: {presets: [phone]}", &["\"phone\" is no preset"]),
        ("redaction: {hash_function: hmac-sha256}", &["hmac_key"]),
        (
            "probabilistic_sampler: {sampling_percentage: -1}",
            &["'sampling_percentage' must be 0 or more"],
        ),
        ("probabilistic_sampler: {sampling_precision: 15}", &["sampling_precision"]),
        ("resource_detection: {detectors: [ec2]}", &["invalid detector key: ec2"]),
        ("memory_limiter: {limit_mib: 4}", &["'check_interval' must be greater than zero"]),
        ("memory_limiter: {check_interval: 1s}", &["limit_percentage"]),
        ("memory_limiter: {check_interval: 1s, limit_mib: 4, spike_limit_mib: 4}", &["smaller"]),
        ("batch: {send_batch_size: 10, send_batch_max_size: 5}", &["must be greater or equal"]),
        ("batch: {metadata_keys: [a, A]}", &["duplicate entry in metadata_keys"]),
        ("batch: {tiemout: 1s}", &["invalid keys: tiemout"]),
        ("filter: {}", &["at least one condition"]),
        ("filter: {traces: {span: ['name = \"x\"']}}", &["unable to parse OTTL condition", "1:6"]),
        ("filter: {trace_conditions: ['name == \"x\"']}", &["unable to parse OTTL condition"]),
        ("filter: {logs: {log_record: [true]}}", &["this filter has only spans"]),
        ("transform: {trace_statements: ['sett(span.name, 1)']}", &["did you mean set?"]),
        (
            "transform: {trace_statements: [{context: spam, statements: []}]}",
            &["unsupported value \"spam\""],
        ),
        (
            "transform: {trace_statements: ['set(resource.cache[\"a\"], 1)', 'set(span.name, \"x\")']}",
            &["a statement for a span has its own cache only"],
        ),
        ("transform: {error_mode: never}", &["unsupported value \"never\""]),
        ("groupbytrace: {store_on_disk: true}", &["option not implemented"]),
        (
            "filter: {spans: {include: {services: [a]}}}",
            &["'spans.include.match_type' must be specified"],
        ),
        (
            "filter: {spans: {exclude: {match_type: strict}}}",
            &["at least one of \"services\", \"span_names\""],
        ),
        ("filter: {spans: {inclde: {}}}", &["'spans' has invalid keys: inclde"]),
        (
            "filter: {spans: {include: {match_type: strict, services: [a]}}, traces: {span: ['true']}}",
            &["'spans' cannot be used together with \"traces\""],
        ),
        ("redaction: {db_sanitizer: {sql: {enabled: true}}}", &["processor `transform`"]),
        ("redaction: {url_sanitizer: {attribute: a}}", &["invalid keys: attribute"]),
        (
            "resource_detection: {system: {hostname_source: [os]}}",
            &["invalid keys: hostname_source"],
        ),
        (
            "resource_detection: {system: {hostname_sources: [hosts]}}",
            &["contains invalid value: \"hosts\""],
        ),
        (
            "resource_detection: {system: {resource_attributes: {host.ip: {enabled: true}}}}",
            &["\"host.ip\" is not detected here"],
        ),
        (
            "resource_detection: {docker: {resource_attributes: {os.type: {enable: true}}}}",
            &["invalid keys: enable"],
        ),
        ("resource_detection: {k8snode: {node: x}}", &["invalid keys: node"]),
        ("resource_detection: {env: {resource_attributes: [a]}}", &["expected a map"]),
    ] {
        let found = faults(wrong);
        for part in parts {
            assert!(found.contains(part), "{wrong}: {part} is not in: {found}");
        }
    }
}

#[test]
fn exporters_of_old_tutorials_are_told_what_took_their_place() {
    for name in ["jaeger_thrift", "jaeger_grpc", "jaeger_thrift_http"] {
        let (_, diagnostics) = check(&format!(
            "{{receivers: {{otlp: {{protocols: {{grpc: }}}}}}, exporters: {{{name}: }}, \
             service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [{name}]}}}}}}}}"
        ));
        let said = diagnostics.render(false);
        assert!(said.contains("use `jaeger`, which speaks gRPC to port 14250"), "{said}");
    }
}

/// One that is wrong in a list is pointed at, and not the list.
#[test]
fn a_detector_that_there_is_not_is_found_in_its_list() {
    for (detectors, column) in [("[env, gcp]", 52), ("[gcp, env]", 47), ("'env,gcp'", 46)] {
        let text = format!(
            "
receivers: {{otlp: {{protocols: {{grpc: }}}}}}
processors: {{resource_detection: {{detectors: {detectors}}}}}
exporters: {{nop: }}
service:
  pipelines:
    traces: {{receivers: [otlp], processors: [resource_detection], exporters: [nop]}}
"
        );
        let (_, diagnostics) = check(&text);
        let found = diagnostics.iter().find(|one| one.message.contains("invalid detector key"));
        let label = found.and_then(|one| one.labels.first());
        let place = label.map(|label| (label.at.line, label.at.column));
        assert_eq!(place, Some((3, column)), "{detectors}");
        let help = diagnostics.render(false);
        assert!(help.contains("`env` adds what OTEL_RESOURCE_ATTRIBUTES says"), "{help}");
    }
}

/// What is wrong with a connector's settings, between two pipelines.
fn connector_faults(connector: &str, signal: &str) -> String {
    let name = connector.split(':').next().unwrap_or_default();
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: }}}}}}
connectors:
  {connector}
exporters: {{nop: }}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [{name}]}}
    {signal}/a: {{receivers: [{name}], exporters: [nop]}}
    {signal}/b: {{receivers: [{name}], exporters: [nop]}}
"
    );
    let (_, diagnostics) = check(&text);
    let errors = diagnostics.iter().filter(|one| one.severity == config::Severity::Error);
    errors.map(|one| one.message.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn settings_of_connectors_are_read() {
    for (connector, signal, parts) in [
        ("forward:", "traces", &[][..]),
        ("round_robin:", "traces", &[]),
        ("count:", "metrics", &[]),
        ("exceptions: {dimensions: [{name: route}]}", "logs", &[]),
        (
            "failover: {priority_levels: [[traces/a], [traces/b]], retry_interval: 5m}",
            "traces",
            &[],
        ),
        (
            "routing: {default_pipelines: [traces/a], table: [{condition: 'attributes[\"x\"] == 1', pipelines: [traces/a]}]}",
            "traces",
            &[],
        ),
        (
            "routing: {table: [{context: request, condition: 'request[\"t\"] == \"1\"', pipelines: [traces/a], action: copy}]}",
            "traces",
            &[],
        ),
        (
            "routing: {table: [{condition: 'span.name == \"x\"', pipelines: [traces/a]}, {condition: 'resource.attributes[\"x\"] == 1', pipelines: [traces/a]}]}",
            "traces",
            &[],
        ),
        ("routing: {table: [{statement: 'route()', pipelines: [traces/a]}]}", "traces", &[]),
        (
            "routing: {table: [{context: otelcol, condition: 'true', pipelines: [traces/a]}]}",
            "traces",
            &[],
        ),
        (
            "routing: {table: [{statement: 'route() where attributes[\"x\"] == 1', pipelines: [traces/a]}]}",
            "traces",
            &[],
        ),
        (
            "count: {spans: {my.count: {description: d, conditions: ['name == \"x\"'], attributes: [{key: a, default_value: 1}]}}}",
            "metrics",
            &[],
        ),
        ("routing: {}", "traces", &["table"]),
        ("routing: {table: []}", "traces", &["the routing table is empty"]),
        (
            "routing: {table: [{pipelines: [traces/a]}]}",
            "traces",
            &["either 'condition' or 'statement'"],
        ),
        (
            "routing: {table: [{condition: 'x ==', pipelines: [traces/a]}]}",
            "traces",
            &["unable to parse"],
        ),
        ("routing: {table: [{condition: 'true'}]}", "traces", &["no pipelines defined"]),
        (
            "routing: {table: [{statement: 'delete_key(attributes, \"x\")', pipelines: [traces/a]}]}",
            "traces",
            &["'table[0].statement'", "route() where"],
        ),
        (
            "routing: {table: [{condition: 'spanevent.name == \"x\"', pipelines: [traces/a]}]}",
            "traces",
            &["table[0].condition"],
        ),
        ("failover: {priority_levels: [traces/a]}", "traces", &["every level is a list"]),
        ("failover: {}", "traces", &["priority_levels"]),
        (
            "failover: {priority_levels: [[traces/a]], retry_interval: 0s}",
            "traces",
            &["'retry_interval' must be greater than zero"],
        ),
        (
            "routing: {table: [{statement: 'route() where x ==', pipelines: [traces/a]}]}",
            "traces",
            &["'table[0].statement' unable to parse"],
        ),
        (
            "routing: {table: [{condition: 'true', statement: 'route()', pipelines: [traces/a]}]}",
            "traces",
            &["'table[0].statement' and 'condition' say the same"],
        ),
        ("count: {spans: {c: {conditions: ['nam == 1']}}}", "metrics", &["unable to parse OTTL"]),
        ("count: {logs: {c: {}}}", "metrics", &["counts only spans"]),
    ] {
        let found = connector_faults(connector, signal);
        assert_eq!(found.is_empty(), parts.is_empty(), "{connector}: {found}");
        for part in parts {
            assert!(found.contains(part), "{connector}: {part} is not in: {found}");
        }
    }
}

/// What is wrong with an exporter's settings, and what it is warned of.
fn exporter_faults(exporter: &str) -> String {
    let name = exporter.split(": ").next().unwrap_or_default().trim_end_matches(':');
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: }}}}}}
exporters:
  {exporter}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [{name}]}}}}}}
"
    );
    let (_, diagnostics) = check(&text);
    let errors = diagnostics.iter().filter(|one| one.severity == config::Severity::Error);
    errors.map(|one| one.message.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn settings_of_exporters_are_read() {
    for (exporter, parts) in [
        ("otlp: {endpoint: 'tempo:4317', tls: {insecure: true}}", &[][..]),
        (
            "otlp_grpc/x: {endpoint: 'https://a:1', compression: zstd, headers: {x-token: abc}, \
             keepalive: {time: 20s}, timeout: 3s, retry_on_failure: {enabled: true, \
             initial_interval: 1s, max_elapsed_time: 0s}, sending_queue: {queue_size: 10, \
             num_consumers: 2, sizer: items, batch: {min_size: 5, max_size: 10}}}",
            &[],
        ),
        ("otlphttp: {endpoint: 'http://a:4318', encoding: json, compression: none}", &[]),
        ("otlp_http: {traces_endpoint: 'http://a:4318/x'}", &[]),
        ("debug: {verbosity: detailed, sampling_initial: 5, sampling_thereafter: 200}", &[]),
        ("logging: {loglevel: DEBUG}", &[]),
        ("debug: {verbosity: Detailed}", &[]),
        ("nop:", &[]),
        ("file: {path: /tmp/x.json, rotation: {max_megabytes: 10}, format: proto}", &[]),
        (
            "loadbalancing: {protocol: {otlp: {tls: {insecure: true}}}, \
             resolver: {static: {hostnames: ['a:4317', b]}}}",
            &[],
        ),
        (
            "load_balancing: {routing_key: service, protocol: {otlp: {timeout: 1s}}, \
             resolver: {dns: {hostname: x, port: 4317, interval: 5s}}}",
            &[],
        ),
        ("otlp: {}", &["endpoint"]),
        ("otlp: {endpoint: 'localhost:nope'}", &["is not an address: \"nope\" is no port"]),
        ("otlp: {endpoint: localhost}", &["'endpoint' is not an address: the port is missing"]),
        ("otlp: {endpoint: 'ftp://x:1'}", &["begins with something else"]),
        ("jaeger: {endpoint: 'j:99999'}", &["is not an address: \"99999\" is no port"]),
        ("jaeger: {endpoint: 'http://j:14268/api/traces'}", &["gRPC has no paths"]),
        ("otlp_http: {endpoint: 'https://localhost:None'}", &["is not an address: \"None\""]),
        (
            "otlp_http: {endpoint: '', traces_endpoint: 'a:1'}",
            &["'traces_endpoint' is not an address"],
        ),
        ("zipkin: {endpoint: 'http://z:99999/api/v2/spans'}", &["is not an address: \"99999\""]),
        ("otlp: {endpoint: ''}", &["requires a non-empty \"endpoint\""]),
        (
            "otlp: {endpoint: 'a:1', compression: brotli}",
            &["unsupported compression type \"brotli\""],
        ),
        ("otlp: {endpoint: 'unix:///run/otlp.sock', compression: snappy, authority: 'a.b:1'}", &[]),
        ("otlp: {endpoint: 'a:1', compression: '', authority: ''}", &[]),
        ("otlp: {endpoint: 'a:1', compression: lz4}", &["type \"lz4\": there are gzip"]),
        ("otlp: {endpoint: 'a:1', authority: 'a b'}", &["is no host, nor host:port"]),
        ("otlp: {endpoint: 'a:1', authority: 'me@a'}", &["is no host, nor host:port"]),
        ("otlp_http: {endpoint: 'http://a:1', compression: x-snappy-framed}", &[]),
        ("otlp_http: {endpoint: 'http://a:1', authority: a}", &["invalid keys: authority"]),
        ("otlp: {endpoint: 'a:1', tls: {insecre: true}}", &["invalid keys: insecre"]),
        ("otlp: {endpoint: 'a:1', tls: {min_version: '1.0'}}", &["unsupported TLS version"]),
        ("otlp: {endpoint: 'a:1', tls: {cert_file: a, cert_pem: b}}", &["only one of cert_file"]),
        ("otlp: {endpoint: 'a:1', batcher: {enabled: true}}", &[]),
        (
            "otlp: {endpoint: 'a:1', batcher: {enabled: true, flush_timeout: 1s, timeout: 1s, \
             min_size_items: 5, max_size_items: 9, sizer: items}}",
            &[],
        ),
        (
            "otlp: {endpoint: 'a:1', batcher: {enabled: true}, sending_queue: {batch: {}}}",
            &["'batcher' is the old form of `sending_queue.batch`, which is here, too"],
        ),
        (
            "otlp: {endpoint: 'a:1', batcher: {enabled: true}, sending_queue: {enabled: false}}",
            &["'batcher' needs `sending_queue`, which is off"],
        ),
        (
            "otlp: {endpoint: 'a:1', batcher: {min_size: 9, max_size_items: 5}}",
            &["'batcher.max_size' must be greater or equal to min_size"],
        ),
        ("otlp: {endpoint: 'a:1', batcher: {min: 9}}", &["'batcher' has invalid keys: min"]),
        ("otlp: {endpoint: 'a:1', sending_queue: {blocking: true}}", &[]),
        (
            "otlp: {endpoint: 'a:1', sending_queue: {blocking: true, block_on_overflow: true}}",
            &["'sending_queue.blocking' is the old name of 'block_on_overflow'"],
        ),
        ("otlp: {endpoint: 'a:1', tls: }", &[]),
        (
            "load_balancing: {protocol: {otlp_grpc: {tls: {insecure: true}}}, \
             resolver: {static: {hostnames: [a]}}}",
            &[],
        ),
        (
            "load_balancing: {protocol: {otlp: {}, otlp_grpc: {}}, \
             resolver: {static: {hostnames: [a]}}}",
            &["'protocol.otlp_grpc' and 'otlp' are the same"],
        ),
        (
            "otlp: {endpoint: 'a:1', sending_queue: {batch: {min_size: 9, max_size: 5}}}",
            &["max_size"],
        ),
        ("otlp: {endpoint: 'a:1', retry_on_failure: {multiplier: x}}", &["multiplier"]),
        ("otlp: {endpoint: 'a:1', headers: {'a b': c}}", &["is not the name of a header"]),
        ("otlp_http: {}", &["at least one endpoint must be specified"]),
        ("otlp_http: {endpoint: 'http://a', proxy_url: 'http://b'}", &["without proxies"]),
        ("debug: {verbosity: loud}", &["unsupported value \"loud\""]),
        ("file: {}", &["path"]),
        ("file: {path: x, append: true, compression: zstd}", &["at the same time"]),
        ("load_balancing: {protocol: {otlp: }}", &["resolver"]),
        ("load_balancing: {resolver: {k8s: {service: x}}}", &["headless service", "`dns`"]),
        (
            "load_balancing: {routing_key: attributes, resolver: {static: {hostnames: [a]}}}",
            &["routing_attributes"],
        ),
    ] {
        let found = exporter_faults(exporter);
        assert_eq!(found.is_empty(), parts.is_empty(), "{exporter}: {found}");
        for part in parts {
            assert!(found.contains(part), "{exporter}: {part} is not in: {found}");
        }
    }
}

#[test]
fn settings_of_kafka_are_read() {
    let both = [
        ("brokers: ['a:9092', b, '[::1]:9093'], protocol_version: 2.0.0, client_id: x", &[][..]),
        ("brokers: 'a:9092,b:9092'", &[]),
        ("brokers: []", &["brokers must be specified"]),
        ("brokers: ['PLAINTEXT://a:9092']", &["is no address like host:9092"]),
        ("protocol_version: latest", &["invalid protocol version"]),
        ("metadata: {full: false, refresh_interval: 1m, retry: {max: 5, backoff: 1s}}", &[]),
        ("metadata: {retry: {maximum: 5}}", &["invalid keys: maximum"]),
        (
            "auth: {sasl: {mechanism: PLAIN, username: a, password: b}}, tls: {insecure_skip_verify: true}",
            &[],
        ),
        ("auth: {sasl: {mechanism: SCRAM-SHA-512, username: a, password: b, version: 1}}", &[]),
        ("auth: {plain_text: {username: a, password: b}, tls: {insecure: true}}", &[]),
        (
            "auth: {sasl: {mechanism: PLAIN, username: '', password: ''}}",
            &["username is required", "password is required"],
        ),
        ("auth: {sasl: {username: a, password: b}}", &["mechanism"]),
        (
            "auth: {sasl: {mechanism: AWS_MSK_IAM, username: a, password: b}}",
            &["there are PLAIN, SCRAM-SHA-256"],
        ),
        ("auth: {kerberos: {realm: x}}", &["Kerberos is not supported"]),
        ("resolve_canonical_bootstrap_servers_only: true", &["not looked up in reverse"]),
        ("traces: {encoding: avro}", &["unsupported value \"avro\""]),
        ("topic: a, encoding: zipkin_proto", &[]),
        ("tls: {insecre: true}", &["invalid keys: insecre"]),
    ];
    let exporters = [
        ("traces: {topic: a, encoding: otlp_json}, metrics: {topic: b}, logs: {topic: c}", &[][..]),
        ("traces: {encoding: zipkin_thrift}", &["unsupported value \"zipkin_thrift\""]),
        ("traces: {topic_from_metadata_key: x}", &["a queue on disk does not keep them"]),
        ("include_metadata_keys: [x]", &["a queue on disk does not keep them"]),
        ("partition_traces_by_id: true, topic_from_attribute: x, signal_header: true", &[]),
        ("partition_logs_by_trace_id: true", &["only traces can be given partitions"]),
        ("record_headers: {a: b}, record_partitioner: {sticky_key: {hasher: murmur2}}", &[]),
        ("record_partitioner: {round_robin: }", &[]),
        ("record_partitioner: {least_backup: }", &["there are sticky_key and round_robin"]),
        ("producer: {required_acks: all, compression: lz4, max_message_bytes: 5000000}", &[]),
        ("producer: {required_acks: -1, flush_max_messages: 10, linger: 5ms}", &[]),
        ("producer: {required_acks: 2}", &["expected 'all' (-1), 0, or 1"]),
        ("producer: {compression: brotli}", &["compression should be one of"]),
        ("timeout: 2s, retry_on_failure: {enabled: false}, sending_queue: {queue_size: 5}", &[]),
    ];
    let receivers = [
        ("traces: {topics: [a, '^b.*'], exclude_topics: ['^bc'], encoding: jaeger_json}", &[][..]),
        ("traces: {encoding: zipkin_thrift}", &[]),
        ("traces: {topics: ['^('], exclude_topics: ['(']}", &["is no pattern", "exclude_topics"]),
        ("traces: {topics: [a], exclude_topics: [b]}", &["needs a pattern in topics"]),
        ("group_id: x, group_instance_id: y, initial_offset: earliest", &[]),
        ("initial_offset: first", &["unsupported value \"first\""]),
        ("session_timeout: 30s, heartbeat_interval: 5s, max_fetch_wait: 1s", &[]),
        ("session_timeout: 3s, heartbeat_interval: 5s", &["less than session_timeout"]),
        ("min_fetch_size: 1, default_fetch_size: 100, max_fetch_size: 0", &[]),
        ("max_fetch_size: 2000000000", &["max_fetch_size"]),
        ("autocommit: {enable: false}, message_marking: {after: true, on_error: true}", &[]),
        ("message_marking: {on_permanent_error: true, before: true}", &["invalid keys: before"]),
        ("error_backoff: {enabled: true, initial_interval: 1s, max_elapsed_time: 0s}", &[]),
        ("header_extraction: {extract_headers: true, headers: [a]}", &[]),
        ("group_rebalance_strategy: cooperative-sticky", &[]),
        ("group_rebalance_strategies: [cooperative-sticky, range]", &[]),
        ("group_rebalance_strategies: [random]", &["there are range and roundrobin"]),
    ];
    for (settings, parts) in both.iter().chain(&exporters) {
        expect(&exporter_faults(&format!("kafka: {{{settings}}}")), parts, settings);
    }
    for (settings, parts) in both.iter().chain(&receivers) {
        expect(&receiver_faults(&format!("kafka: {{{settings}}}")), parts, settings);
    }
}

/// What is wrong with an extension's settings.
fn extension_faults(extension: &str) -> String {
    errors(&extension_document(extension))
}

fn extension_document(extension: &str) -> String {
    let name = extension.split(": ").next().unwrap_or_default().trim_end_matches(':');
    format!(
        "
receivers: {{otlp: {{protocols: {{grpc: }}}}}}
exporters: {{nop: }}
extensions:
  {extension}
service:
  extensions: [{name}]
  pipelines: {{traces: {{receivers: [otlp], exporters: [nop]}}}}
"
    )
}

/// What is wrong with a receiver's settings.
fn receiver_faults(receiver: &str) -> String {
    let name = receiver.split(": ").next().unwrap_or_default().trim_end_matches(':');
    let text = format!(
        "
receivers:
  {receiver}
extensions: {{basicauth/a: {{htpasswd: {{file: users}}}}}}
exporters: {{nop: }}
service:
  extensions: [basicauth/a]
  pipelines: {{traces: {{receivers: [{name}], exporters: [nop]}}}}
"
    );
    errors(&text)
}

fn errors(text: &str) -> String {
    let (_, diagnostics) = check(text);
    let errors = diagnostics.iter().filter(|one| one.severity == config::Severity::Error);
    errors.map(|one| one.message.clone()).collect::<Vec<_>>().join("\n")
}

fn expect(found: &str, parts: &[&str], row: &str) {
    assert_eq!(found.is_empty(), parts.is_empty(), "{row}: {found}");
    for part in parts {
        assert!(found.contains(part), "{row}: {part} is not in: {found}");
    }
    assert!(!found.contains("hunter2"), "{row}: {found}");
}

#[test]
fn settings_of_receivers_are_read() {
    const NONE: &str = "must specify at least one protocol when using the OTLP receiver";
    for (receiver, parts) in [
        ("otlp: {protocols: {grpc: , http: }}", &[][..]),
        ("otlp: {protocols: {grpc: {}}}", &[]),
        (
            "otlp/x: {protocols: {grpc: {endpoint: '0.0.0.0:4317', transport: tcp, \
             max_recv_msg_size_mib: 16, max_concurrent_streams: 100, read_buffer_size: 524288, \
             write_buffer_size: 1, include_metadata: true, auth: {authenticator: basicauth/a}, \
             keepalive: {server_parameters: \
             {max_connection_idle: 11s, max_connection_age: 12s, max_connection_age_grace: 13s, \
             time: 30s, timeout: 5s}, enforcement_policy: {min_time: 10s, \
             permit_without_stream: true}}}}}",
            &[],
        ),
        (
            "otlp: {protocols: {http: {endpoint: ':4318', traces_url_path: v1/x, \
             metrics_url_path: /m, logs_url_path: /l, profiles_url_path: /p, \
             cors: {allowed_origins: ['https://*.shop.example'], allowed_headers: [X-A, '*'], \
             exposed_headers: [X-B], max_age: 7200}, max_request_body_size: 1048576, \
             compression_algorithms: ['', gzip, zstd, zlib, deflate, snappy, x-snappy-framed, lz4], \
             response_headers: {X-Server: a}, read_timeout: 10s, read_header_timeout: 1m, \
             write_timeout: 30s, idle_timeout: 0s, include_metadata: true}}}",
            &[],
        ),
        ("otlp: {protocols: {grpc: {endpoint: '[::]:4317'}}}", &[]),
        (
            "jaeger: {protocols: {thrift_compact: {max_packet_size: 131_072, queue_size: 100_000}}}",
            &[],
        ),
        ("otlp:", &[NONE]),
        ("otlp: {protocols: }", &[NONE]),
        ("otlp: {protocols: {}}", &[NONE]),
        ("otlp: {protocols: {thrift: }}", &["invalid keys: thrift", NONE]),
        (
            "otlp: {protocols: {grpc: {endpoint: 'x.sock', transport: unix}, \
             http: {endpoint: /run/x.sock, transport: unix}}}",
            &[],
        ),
        ("otlp: {protocols: {grpc: {endpoint: x.sock}}}", &["missing port in address"]),
        ("otlp: {protocols: {grpc: {transport: unix}}}", &["'protocols.grpc.endpoint' must be"]),
        (
            "otlp: {protocols: {grpc: {endpoint: 'unix:///x', transport: unix}}}",
            &["is no path of a socket"],
        ),
        (
            "otlp: {protocols: {grpc: {endpoint: x, transport: unix}, \
             http: {endpoint: x, transport: unix}}}",
            &["the same endpoint twice"],
        ),
        ("otlp: {protocols: {grpc: {transport: udp}}}", &["unsupported transport \"udp\""]),
        ("otlp: {protocols: {grpc: {endpoint: localhost}}}", &["missing port in address"]),
        ("otlp: {protocols: {grpc: {endpoint: 'http://a:1'}}}", &["without a scheme"]),
        ("otlp: {protocols: {grpc: {endpoint: '::1:4317'}}}", &["too many colons in address"]),
        ("otlp: {protocols: {grpc: {endpoint: 'a:99999'}}}", &["up to 65535"]),
        ("otlp: {protocols: {grpc: {max_recv_msg_size_mib: 5000}}}", &["from 0 to 4096"]),
        ("otlp: {protocols: {grpc: {tls: }, http: {tls: }}}", &[]),
        (
            "otlp: {protocols: {grpc: {tls: {cert_file: a}}}}",
            &["key_file", "certificate and its key"],
        ),
        (
            "otlp: {protocols: {grpc: {tls: {ca_file: a, cert_file: b, key_file: c}}}}",
            &["client_ca_file"],
        ),
        ("otlp: {protocols: {grpc: {auth: {}}}}", &["authenticator", "must be specified"]),
        (
            "otlp: {protocols: {http: {auth: {authenticator: a, request_params: [t]}}}}",
            &["end up in logs"],
        ),
        (
            "otlp: {protocols: {http: {compression_algorithms: [brotli]}}}",
            &["unsupported compression type \"brotli\""],
        ),
        ("otlp: {protocols: {http: {traces_url_path: ''}}}", &["must not be empty"]),
        ("otlp: {protocols: {http: {cors: {allowed_origins: [shop.example]}}}}", &["is no origin"]),
        ("otlp: {protocols: {http: {response_headers: {'a b': c}}}}", &["the name of a header"]),
        (
            "otlp: {protocols: {grpc: {endpoint: 'a:1'}, http: {endpoint: 'a:1'}}}",
            &["the same endpoint twice"],
        ),
        (
            "otlp: {protocols: {http: {cors_allowed_origins: ['*']}}}",
            &["invalid keys: cors_allowed"],
        ),
        ("otlp: {protocols: {grpc: {tls_settings: {cert_file: a}}}}", &["'protocols.grpc.tls"]),
        ("otlp: {protocols: {http: {keep_alive: true}}}", &["invalid keys: keep_alive"]),
    ] {
        expect(&receiver_faults(receiver), parts, receiver);
    }
}

#[test]
fn files_of_tls_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    for (cert, key) in [("cert", "key"), ("another", "strange")] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join(cert), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join(key), made.signing_key.serialize_pem()).unwrap();
    }
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let odd = "-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----\n";
    let weak = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (name, text) in [("garbage", garbage), ("cut", cut), ("odd", odd), ("weak", weak)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let at = folder.path().to_str().unwrap();
    for (tls, expected) in [
        (
            "cert_file: AT/cert, key_file: AT/key, client_ca_file: AT/cert, min_version: '1.3', \
             reload_interval: 1h, client_ca_file_reload: true",
            "",
        ),
        ("cert_file: AT/none, key_file: AT/key", "cert_file' cannot be read: No such file"),
        ("cert_file: AT/cert, key_file: AT", "key_file' cannot be read: Is a directory"),
        ("cert_file: AT/key, key_file: AT/key", "cert_file' is no PEM of the kind needed: there"),
        ("cert_file: AT/garbage, key_file: AT/key", "cert_file' is no PEM of the kind needed"),
        (
            "cert_file: AT/cut, key_file: AT/key",
            "cert_file' is no PEM of the kind needed: it is cut off: the line of -----END",
        ),
        (
            "cert_file: AT/odd, key_file: AT/key",
            "cert_file' is no PEM of the kind needed: there is",
        ),
        (
            "cert_file: AT/cert, key_file: AT/weak",
            "key_file' is no PEM of the kind needed: its key cannot be used: it has to be RSA",
        ),
        // One without an end is not read to it.
        (
            "cert_file: /dev/zero, key_file: AT/key",
            "cert_file' cannot be read: it is larger than 16 MiB",
        ),
        ("cert_file: AT/cert, key_file: AT/cert", "key_file' is no PEM of the kind needed: there"),
        ("cert_file: AT/cert, key_pem: hunter2", "key_pem' is no PEM of the kind needed"),
        ("cert_file: AT/cert, key_file: AT/strange", "key_file' is not the key of the certificate"),
        (
            "cert_file: AT/cert, key_file: AT/key, client_ca_file: AT/none",
            "client_ca_file' cannot be read",
        ),
        (
            "cert_file: AT/cert, key_file: AT/key, min_version: '1.3', max_version: '1.2'",
            "max_version' is below min_version",
        ),
    ] {
        let tls = tls.replace("AT", at);
        let found = receiver_faults(&format!("otlp: {{protocols: {{grpc: {{tls: {{{tls}}}}}}}}}"));
        let expected = match expected {
            "" => String::new(),
            expected => format!("receivers::otlp: 'protocols.grpc.tls.{expected}"),
        };
        assert!(found.starts_with(&expected), "{tls}: {found}");
        assert_eq!(found.lines().count(), usize::from(!expected.is_empty()), "{tls}: {found}");
        assert!(!found.contains("hunter2"), "{tls}: {found}");
    }
    for (tls, expected) in [
        ("ca_file: AT/cert, cert_file: AT/another, key_file: AT/strange", ""),
        ("ca_file: AT/none", "ca_file' cannot be read: No such file"),
        ("ca_pem: hunter2", "ca_pem' is no PEM of the kind needed: there is no certificate"),
        ("cert_file: AT/cert", "key_file' must be specified"),
        ("key_file: AT/key", "cert_file' must be specified"),
    ] {
        let tls = tls.replace("AT", at);
        let found = exporter_faults(&format!("otlp_grpc: {{endpoint: 'a:1', tls: {{{tls}}}}}"));
        let expected = match expected {
            "" => String::new(),
            expected => format!("exporters::otlp_grpc: 'tls.{expected}"),
        };
        assert!(found.starts_with(&expected), "{tls}: {found}");
        assert_eq!(found.lines().count(), usize::from(!expected.is_empty()), "{tls}: {found}");
    }
    // Of a component that nothing uses, files may come later.
    let (_, diagnostics) = check(
        "{receivers: {otlp: {protocols: {grpc: }}, otlp/later: {protocols: {grpc: {tls: {cert_file: \
         /none, key_file: /none}}}}}, exporters: {nop: }, \
         service: {pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}}",
    );
    assert!(!diagnostics.has_errors(), "{}", diagnostics.render(false));
}

#[test]
fn settings_of_extensions_are_read() {
    for (extension, parts) in [
        ("file_storage:", &[][..]),
        (
            "file_storage/q: {directory: /tmp/x, create_directory: true, timeout: 10s, fsync: true, \
             compaction: {on_start: true, on_rebound: true, directory: /tmp, \
             rebound_needed_threshold_mib: 100, rebound_trigger_threshold_mib: 10, \
             max_transaction_size: 65536, check_interval: 5s}}",
            &[],
        ),
        ("basicauth: {htpasswd: {inline: 'a:b'}}", &[]),
        ("basicauth/s: {htpasswd: {file: /etc/x, inline: 'a:b'}}", &[]),
        ("basicauth/c: {client_auth: {username: a, password: b}}", &[]),
        ("basicauth/c: {client_auth: {username: a, password_file: /x}}", &[]),
        ("bearertokenauth: {token: abc}", &[]),
        ("bearertokenauth: {tokens: [abc, def], scheme: Token, header: X-Auth}", &[]),
        ("bearertokenauth: {filename: /run/secrets/x}", &[]),
        ("health_check:", &[]),
        (
            "health_check: {endpoint: '0.0.0.0:13133', path: /health, response_body: {healthy: ok, \
             unhealthy: no}, check_collector_pipeline: {enabled: true, interval: 5m, \
             exporter_failure_threshold: 5}}",
            &[],
        ),
        (
            "healthcheckv2: {use_v2: true, http: {endpoint: '0.0.0.0:13133', status: {enabled: true, \
             path: /x}, config: {enabled: false}}}",
            &[],
        ),
        ("memory_ballast: {size_mib: 512, size_in_percentage: 20}", &[]),
        ("memory_ballast: {size: 512}", &["invalid keys: size"]),
        ("healthcheckv2: {grpc: {endpoint: 'a:1'}}", &["over HTTP"]),
        ("file_storage: {directory: ''}", &["must not be empty"]),
        ("file_storage: {dir: /x}", &["invalid keys: dir"]),
        ("basicauth: {}", &["or 'client_auth' must be specified"]),
        ("basicauth: {htpasswd: {}}", &["must have a user"]),
        ("basicauth: {htpasswd: {inline: hunter2}}", &["line 1: there is no colon"]),
        (
            "basicauth: {htpasswd: {inline: 'a:b'}, client_auth: {username: a, password: hunter2}}",
            &["exclude each other"],
        ),
        ("basicauth: {client_auth: {username: a}}", &["password", "must be specified"]),
        ("basicauth: {client_auth: {username: 'a:b', password: c}}", &["must not have a colon"]),
        (
            "basicauth: {client_auth: {username: a, password: hunter2, password_file: b}}",
            &["only one of password and password_file"],
        ),
        ("bearertokenauth: {}", &["exactly one of"]),
        ("bearertokenauth: {token: hunter2, filename: x}", &["exactly one of"]),
        ("bearertokenauth: {tokens: ['']}", &["an empty token"]),
        ("bearertokenauth: {token: a, header: 'a b'}", &["is not the name of a header"]),
        ("health_check: {path: health}", &["must begin with a slash"]),
        ("health_check: {endpoint: '13133'}", &["missing port in address"]),
        ("health_check: {auth: {authenticator: a}}", &["is not supported"]),
    ] {
        expect(&extension_faults(extension), parts, extension);
    }
}

#[test]
fn secrets_are_not_in_reports() {
    for extension in [
        "bearertokenauth:\n    token: hunter2\n    filename: x",
        "bearertokenauth:\n    tokens: ['', hunter2]",
        "basicauth:\n    htpasswd:\n      inline: hunter2",
        "basicauth:\n    client_auth:\n      username: 'hunter2:x'\n      password: hunter2",
        "basicauth:\n    client_auth:\n      username: a\n      password: hunter2\n      password_file: b",
    ] {
        let name = extension.split(':').next().unwrap_or_default();
        let text = extension_document("zpages:").replace("zpages:", extension);
        let report = check(&text.replace("[zpages]", &format!("[{name}]"))).1.render(false);
        assert!(report.contains("error"), "{report}");
        assert!(!report.contains("hunter2"), "{report}");
    }
}

/// The table of names promises nothing that nobody makes, but for what the binary adds and what is
/// still to be written.
#[test]
fn what_is_known_is_registered() {
    let mut registry = Registry::default();
    register(&mut registry);
    let mut missing = registry.differences(&known());
    missing.sort();
    let expected = [("exporters", "spanfall"), ("extensions", "spanfall_query")];
    let expected = expected.map(|(section, name)| format!("{section}: {name} is not registered"));
    assert_eq!(missing, expected);
}

/// What would keep a component from starting is said before anything starts.
#[test]
fn what_cannot_start_is_reported() {
    for (text, parts) in [
        (
            "
receivers: {otlp: {protocols: {grpc: {auth: {authenticator: basicauth}}}}}
extensions: {basicauth: {htpasswd: {inline: 'a:$apr1$x$y'}}}
exporters: {nop: }
service: {pipelines: {traces: {receivers: [otlp], exporters: [nop]}}}
",
            &["receivers::otlp: the extension \"basicauth\" is not among", "add basicauth to"][..],
        ),
        (
            "
receivers: {otlp: {protocols: {grpc: }}}
exporters: {otlp/x: {endpoint: 'x:1', sending_queue: {storage: file_storage}}, otlp/unused: {endpoint: 'x:1', sending_queue: {storage: other}}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp/x]}}}
",
            &["exporters::otlp/x: the extension \"file_storage\"", "configure it below extensions"],
        ),
        (
            "
receivers: {otlp: {protocols: {grpc: {auth: {authenticator: basicauth}}, http: {auth: {authenticator: file_storage}}}}}
extensions: {basicauth: {client_auth: {username: a, password: b}}, basicauth/in: {htpasswd: {inline: 'a:$apr1$x$y'}}, file_storage: }
exporters: {otlp/x: {endpoint: 'x:1', auth: {authenticator: basicauth/in}, sending_queue: {storage: basicauth}}}
service: {extensions: [basicauth, basicauth/in, file_storage], pipelines: {traces: {receivers: [otlp], exporters: [otlp/x]}}}
",
            &[
                "receivers::otlp: the extension \"basicauth\" does not check who sends",
                "receivers::otlp: the extension \"file_storage\" does not check who sends",
                "exporters::otlp/x: the extension \"basicauth/in\" does not say who sends",
                "exporters::otlp/x: the extension \"basicauth\" keeps nothing on a disk",
            ],
        ),
        (
            "
receivers: {otlp: {protocols: {grpc: }}}
connectors: {failover: {priority_levels: [[traces/a], [traces/b], [traces/c]]}}
exporters: {nop: }
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [failover]}
    traces/a: {receivers: [failover], exporters: [nop]}
    traces/b: {receivers: [otlp], exporters: [nop]}
",
            &[
                "connectors::failover: the pipeline \"traces/b\" does not name this connector",
                "connectors::failover: the pipeline \"traces/c\" is not configured",
            ],
        ),
    ] {
        let (_, diagnostics) = check(text);
        let report = diagnostics.render(false);
        for part in parts {
            assert!(report.contains(part), "{part}: {report}");
        }
        assert!(!report.contains("otlp/unused: the extension"), "{report}");
    }
}

/// What a whole configuration is warned of.
fn warnings(text: &str) -> Vec<String> {
    let (_, diagnostics) = check(text);
    let warnings = diagnostics.iter().filter(|one| one.severity == config::Severity::Warning);
    warnings.map(|one| one.message.clone()).collect()
}

#[test]
fn what_is_old_or_does_nothing_is_warned_of_once() {
    for (section, component, expected) in [
        (
            "exporters",
            "otlp_http: {endpoint: 'http://a', batcher: {enabled: true, min_size_items: 5}}",
            &["exporters::otlp_http: 'batcher' is deprecated"][..],
        ),
        (
            "exporters",
            "otlp_http: {endpoint: 'http://a', sending_queue: {blocking: true}}",
            &["exporters::otlp_http: 'sending_queue.blocking' is called 'block_on_overflow' today"],
        ),
        (
            "exporters",
            "load_balancing: {protocol: {otlp_grpc: }, resolver: {static: {hostnames: [a]}}}",
            &[],
        ),
        ("exporters", "otlp_grpc: {endpoint: 'a:1', tls: }", &[]),
        (
            "extensions",
            "memory_ballast: {size_mib: 512}",
            &["extensions::memory_ballast: the extension \"memory_ballast\" was removed from the \
               Collector in 2024"],
        ),
        (
            "processors",
            "filter: {spans: {include: {match_type: strict, services: [a]}}}",
            &["processors::filter: 'spans' is deprecated"],
        ),
        (
            "processors",
            "probabilistic_sampler: {attribute_source: traceID, sampling_priority: a}",
            &[
                "processors::probabilistic_sampler: 'attribute_source' is for logs: the trace id \
                 decides about spans",
                "processors::probabilistic_sampler: 'sampling_priority' is for logs: the trace id \
                 decides about spans",
            ],
        ),
    ] {
        let name = component.split(':').next().unwrap_or_default();
        let in_use = |own: &str| if own == section { name } else { "" };
        let exporters = [in_use("exporters"), "nop"];
        let exporters: Vec<&str> = exporters.into_iter().filter(|one| !one.is_empty()).collect();
        let text = format!(
            "
receivers: {{otlp: {{protocols: {{grpc: }}}}}}
{section}: {{{component}, {}}}
{}
service:
  extensions: [{}]
  pipelines: {{traces: {{receivers: [otlp], processors: [{}], exporters: [{}]}}}}
",
            if section == "exporters" { "nop: " } else { "" },
            if section == "exporters" { "" } else { "exporters: {nop: }" },
            in_use("extensions"),
            in_use("processors"),
            exporters.join(", "),
        );
        assert_eq!(errors(&text), "", "{component}");
        assert_eq!(warnings(&text), expected, "{component}");
    }
}

/// Keys that are there to be refused are no help to who has misspelt another.
#[test]
fn refused_keys_are_not_offered() {
    for (component, refused) in [
        ("processors: {redaction: {zzq: 1}}", "db_sanitizer"),
        ("processors: {filter: {zzq: 1}}", "metrics"),
        ("processors: {transform: {zzq: 1}}", "log_statements"),
        ("extensions: {health_check: {zzq: 1}}", "grpc"),
        ("receivers: {otlp: {protocols: {grpc: {tls: {zzq: 1}}}}}", "ca_file"),
        ("exporters: {load_balancing: {resolver: {zzq: 1}}}", "k8s"),
        ("connectors: {count: {zzq: 1}}", "logs"),
    ] {
        let (_, diagnostics) = check(&format!("{{{component}}}"));
        let unknown = diagnostics.iter().find(|one| one.message.ends_with("invalid keys: zzq"));
        let help = unknown.and_then(|one| one.help.as_deref()).unwrap_or_default();
        let keys = help.strip_prefix("valid keys are ").unwrap_or_default();
        assert!(!keys.is_empty(), "{component}: {help}");
        assert!(!keys.split(", ").any(|key| key == refused), "{component}: {help}");
    }
}
