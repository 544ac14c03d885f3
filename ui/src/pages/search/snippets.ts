export const LANGUAGES = ['Python', 'Node.js', 'Go', 'Java', 'Rust'] as const;
export type Language = (typeof LANGUAGES)[number];

export interface Addresses {
  grpc: string;
  http: string;
  /** Where every SDK sends when it is told nothing. */
  isDefault: boolean;
}

interface Step {
  text: string;
  code: string;
}

const GRPC_DEFAULT = 'localhost:4317';
const HTTP_DEFAULT = 'localhost:4318';

/** Listeners say what they bind to; a program needs what it can reach: this page's host when they bind to all. */
export function addressesOf(listeners: { name: string; address: string }[] | undefined, pageHost: string): Addresses {
  const of = (name: string, fallback: string) => reachable(listeners?.find((l) => l.name === name)?.address ?? fallback, pageHost);
  const grpc = of('otlp_grpc', GRPC_DEFAULT);
  const http = of('otlp_http', HTTP_DEFAULT);
  return { grpc, http, isDefault: grpc === GRPC_DEFAULT && http === HTTP_DEFAULT };
}

function reachable(address: string, pageHost: string): string {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at);
  const port = address.slice(at + 1);
  const all = host === '0.0.0.0' || host === '[::]' || host === '';
  const here = all ? pageHost : host;
  return `${here === '127.0.0.1' || here === '[::1]' ? 'localhost' : here}:${port}`;
}

export function stepsOf(language: Language, addresses: Addresses): Step[] {
  const { grpc, http } = addresses;
  const overGrpc = endpoint(grpc, GRPC_DEFAULT);
  const overHttp = endpoint(http, HTTP_DEFAULT);
  switch (language) {
    case 'Python':
      return [
        { text: 'Install the distribution, and the instrumentation for what your program imports', code: 'pip install opentelemetry-distro opentelemetry-exporter-otlp\nopentelemetry-bootstrap -a install' },
        { text: 'Run your program', code: `${overGrpc}OTEL_SERVICE_NAME=my-service opentelemetry-instrument python app.py` },
      ];
    case 'Node.js':
      return [
        { text: 'Install', code: 'npm install @opentelemetry/api @opentelemetry/auto-instrumentations-node' },
        { text: 'Run your program', code: `${overHttp}OTEL_SERVICE_NAME=my-service node --require @opentelemetry/auto-instrumentations-node/register app.js` },
      ];
    case 'Java':
      return [
        { text: 'Get the agent', code: 'curl -LO https://github.com/open-telemetry/opentelemetry-java-instrumentation/releases/latest/download/opentelemetry-javaagent.jar' },
        { text: 'Run your program', code: `${overHttp}OTEL_SERVICE_NAME=my-service java -javaagent:opentelemetry-javaagent.jar -jar app.jar` },
      ];
    case 'Go':
      return [
        { text: 'Save as main.go', code: GO },
        { text: 'Run it', code: `go mod init example && go mod tidy\n${overGrpc}OTEL_SERVICE_NAME=my-service go run .` },
      ];
    case 'Rust':
      return [
        { text: 'Start a project', code: 'cargo new my-service && cd my-service\ncargo add opentelemetry opentelemetry_sdk opentelemetry-otlp' },
        { text: 'Save as src/main.rs', code: RUST },
        { text: 'Run it', code: `${overHttp}OTEL_SERVICE_NAME=my-service cargo run` },
      ];
  }
}

const endpoint = (address: string, standard: string) =>
  address === standard ? '' : `OTEL_EXPORTER_OTLP_ENDPOINT=http://${address} `;

const GO = `package main

import (
	"context"
	"log"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	ctx := context.Background()
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	defer provider.Shutdown(ctx)

	_, span := provider.Tracer("example").Start(ctx, "first span")
	span.End()
}`;

const RUST = `use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::SdkTracerProvider;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let exporter = SpanExporter::builder().with_http().build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .build();

    provider.tracer("example").in_span("first span", |_| {});

    provider.shutdown()?;
    Ok(())
}`;

/** Several SDKs send all signals by default and complain when two of three find no taker. */
export const ONLY_TRACES = 'OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none';
