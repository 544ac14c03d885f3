import { describe, expect, test } from 'vitest';
import { conditionsOf, formatQuery, parseQuery, rangeReaching, readSearch, seriesTimesOf, timesOf, writeSearch, type Search } from '../src/model/search';

const full: Search = {
  service: 'front & end', operation: 'GET /a?b=c', attribute: ['span.x=1=2', 'http.route=/é', 'empty='], status: 'error',
  min_duration: '1.5ms', max_duration: '2s', range: 'custom', start: '2026-11-20T12:00:00.000Z', end: '2026-11-20T12:05:00.000Z', limit: 50, live: true,
};

describe('search in the URL', () => {
  test.each<[string, Search]>([['everything', full], ['nothing', {}], ['one condition', { attribute: ['a=b'] }], ['a range', { range: '7d' }], ['the unnamed service', { service: '' }]])(
    '%s survives the way through it', (_, search) => {
      expect(readSearch(parseQuery(formatQuery(writeSearch(search)).slice(1)))).toEqual(search);
      expect(readSearch(parseQuery(formatQuery({ ...search }).slice(1)))).toEqual(search);
    },
  );

  test('defaults are left out', () => expect(formatQuery(writeSearch({ range: '1h', limit: 20, live: false, operation: '' }))).toBe(''));

  test('what does not fit is left out', () => {
    expect(readSearch(parseQuery('status=bad&limit=0&range=2y&attribute=novalue&attribute==x&live=yes&unknown=1&operation='))).toEqual({});
    expect(readSearch({ service: 5, attribute: [null, 'a=b', 'a=b'] })).toEqual({ attribute: ['a=b'] });
    expect(readSearch({ limit: '2000' })).toEqual({});
  });

  test('times of another range are dropped, times without a range are custom', () => {
    expect(readSearch({ range: '6h', start: 'x' })).toEqual({ range: '6h' });
    expect(readSearch({ start: '1', end: '2' })).toEqual({ range: 'custom', start: '1', end: '2' });
  });

  test('plain parameters, repeated', () => expect(formatQuery({ attribute: ['a=1', 'b=2'] })).toBe('?attribute=a%3D1&attribute=b%3D2'));
});

describe('search as asked', () => {
  test.each([[0, '1h'], [59, '1h'], [60, '6h'], [1439, '24h'], [10_000, '7d'], [10_080, 'all'], [1e9, 'all'], [-5, '1h']])('%d minutes back are within %s', (minutes, range) => {
    expect(rangeReaching(1e12 - minutes * 60_000, 1e12)).toBe(range);
  });
  test('conditions', () => {
    expect(conditionsOf({ ...full, min_duration: '5' })).toEqual({ service: full.service, operation: full.operation, attribute: full.attribute, status: 'error', min_duration: '5ms', max_duration: '2s' });
    expect(conditionsOf({ min_duration: 'soon' })).toEqual({ min_duration: 'soon' });
  });
  test.each<[Search, object]>([
    [{}, { start: '-60m', end: '+5m' }], [{ range: '7d' }, { start: '-10080m', end: '+5m' }], [{ range: 'all' }, {}], [full, { start: full.start, end: full.end }], [{ range: 'custom' }, {}],
  ])('times of %j', (search, times) => expect(timesOf(search)).toEqual(times));
  test.each<[Search, object]>([
    [{}, { start: '-60m' }], [{ range: 'all' }, {}], [full, { start: full.start, end: full.end }],
  ])('times of a series of %j', (search, times) => expect(seriesTimesOf(search)).toEqual(times));
  test('any service is not the unnamed one', () => {
    expect(conditionsOf({})).toEqual({});
    expect(formatQuery(conditionsOf({ service: '' }))).toBe('?service=');
  });
  test('a plus is written so that it stays one', () => expect(formatQuery(timesOf({}))).toBe('?start=-60m&end=%2B5m'));
});
