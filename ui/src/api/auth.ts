import { useSyncExternalStore } from 'react';

const KEY = 'spanfall.token';
const listeners = new Set<() => void>();
let refused = false;

/** Storage may be switched off in a browser; the token then lives as long as the page. */
let fallback: string | null = null;

export function readToken(): string | null {
  try {
    return sessionStorage.getItem(KEY) ?? fallback;
  } catch {
    return fallback;
  }
}

export function storeToken(token: string) {
  fallback = token;
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    // kept in `fallback`
  }
  setRefused(false);
}

/** True after an answer of 401 until another token is given. */
export function setRefused(value: boolean) {
  if (refused === value) return;
  refused = value;
  for (const listener of listeners) listener();
}

export function useRefused(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => refused,
  );
}
