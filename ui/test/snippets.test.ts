import { describe, expect, test } from 'vitest';
import { addressesOf, LANGUAGES, stepsOf } from '../src/pages/search/snippets';

const listeners = (grpc: string, http: string) => [{ name: 'otlp_grpc', address: grpc }, { name: 'otlp_http', address: http }];

describe('addresses to send to', () => {
  test.each([
    ['127.0.0.1:4317', '[::1]:4318', 'localhost:4317', 'localhost:4318', true],
    ['0.0.0.0:4317', '[::]:4318', 'traces.example:4317', 'traces.example:4318', false],
    ['10.1.2.3:9000', '127.0.0.1:4318', '10.1.2.3:9000', 'localhost:4318', false],
  ])('%s and %s', (grpc, http, grpcSeen, httpSeen, isDefault) => {
    expect(addressesOf(listeners(grpc, http), 'traces.example')).toEqual({ grpc: grpcSeen, http: httpSeen, isDefault });
  });
  test('the standard ones until the server has said', () => expect(addressesOf(undefined, 'x').isDefault).toBe(true));
});

describe.each(LANGUAGES)('%s', (language) => {
  const code = (grpc: string, http: string) => stepsOf(language, addressesOf(listeners(grpc, http), 'x')).map((s) => s.code).join('\n');
  test('needs no endpoint at the standard addresses', () => expect(code('127.0.0.1:4317', '127.0.0.1:4318')).not.toContain('ENDPOINT'));
  test('is told another address', () => expect(code('10.0.0.9:1', '10.0.0.9:2')).toMatch(/OTEL_EXPORTER_OTLP_ENDPOINT=http:\/\/10\.0\.0\.9:[12] /));
  test('names the service', () => expect(code('a:1', 'a:2')).toContain('OTEL_SERVICE_NAME=my-service'));
});
