import { formatQuery, type QueryString } from '../model/search';
import { readToken, setRefused } from './auth';

const BASE = '/api/v1';

export class ApiError extends Error {
  /** 0 when no answer came. */
  readonly status: number;
  /** The parameter at fault, when the server names one. */
  readonly parameter?: string;

  constructor(status: number, message: string, parameter?: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.parameter = parameter;
  }
}

export function url(path: string, query: QueryString = {}): string {
  return BASE + path + formatQuery(query);
}

export async function send(path: string, init: RequestInit & { query?: QueryString } = {}): Promise<Response> {
  const { query, ...rest } = init;
  const token = readToken();
  let response: Response;
  try {
    response = await fetch(url(path, query), {
      ...rest,
      headers: { accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    });
  } catch (cause) {
    if (rest.signal?.aborted) throw cause;
    throw new ApiError(0, 'The server does not answer. Is it running, and can this machine reach it?');
  }
  if (response.ok) return response;
  if (response.status === 401) setRefused(true);
  throw await errorOf(response);
}

export async function get<T>(path: string, query?: QueryString, signal?: AbortSignal): Promise<T> {
  return (await send(path, { query, signal })).json() as Promise<T>;
}

/** A proxy in between may answer with something else than the API's own error body. */
async function errorOf(response: Response): Promise<ApiError> {
  const body = await response.text().catch(() => '');
  try {
    const { error, parameter } = JSON.parse(body) as { error: string; parameter?: string };
    if (typeof error === 'string') return new ApiError(response.status, error, parameter);
  } catch {
    // not JSON
  }
  return new ApiError(response.status, `The server answered ${response.status} ${response.statusText}`.trim());
}
