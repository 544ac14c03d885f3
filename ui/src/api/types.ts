/** Answers of /api/v1, as crates/api/openapi.json has them. Nanoseconds are decimal strings. */
import type { Kind } from '../model/otlp';

export interface ServiceCount {
  name: string;
  span_count: number;
  error_count: number;
}

export interface Operation extends ServiceCount {
  service: string;
  kind: Kind;
}

export type Level = 'resource' | 'scope' | 'span' | 'event' | 'link';

export interface Attribute {
  level: Level;
  key: string;
  type: 'string' | 'int' | 'double' | 'bool' | 'bytes' | 'any';
  count: number;
}

export interface AttributeValues {
  values: { value: string; type: 'string' | 'int' | 'double' | 'bool'; count: number }[];
  complete: boolean;
}

export interface TraceSummary {
  trace_id: string;
  root_service: string | null;
  root_name: string | null;
  start_unix_nano: string;
  duration_nano: string;
  span_count: number;
  error_count: number;
  services: ServiceCount[];
  missing_root: boolean;
  orphan_count: number;
}

export interface SearchPage {
  traces: TraceSummary[];
  next_cursor: string | null;
  partial: boolean;
}

export interface Series {
  name: string | null;
  spans: number[];
  errors: number[];
  duration_sum_nano: string[];
}

export interface SeriesList {
  start_unix_nano: string;
  step_nano: string;
  series: Series[];
  partial: boolean;
}

export interface Status {
  version: string;
  uptime_seconds: number;
  span_count: number;
  head_span_count: number;
  block_count: number;
  disk_bytes: number;
  disk_limit_bytes: number;
  retention_seconds: number;
  damaged_block_count: number;
  damaged_log_count: number;
  listeners: { name: string; address: string }[];
}
