import { createRootRoute, createRoute, createRouter } from '@tanstack/react-router';
import { Layout } from './components/Layout';
import { PageError } from './components/ErrorBoundary';
import { formatQuery, parseQuery, readSearch } from './model/search';
import { NotFoundPage } from './pages/NotFoundPage';
import { SearchPage } from './pages/search/SearchPage';
import { TracePage } from './pages/trace/TracePage';

const rootRoute = createRootRoute({ component: Layout, notFoundComponent: NotFoundPage });

export const searchRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/',
  validateSearch: readSearch,
  component: SearchPage,
});

export const traceRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: '/trace/$traceId',
  validateSearch: (query: Record<string, unknown>): { span?: string } =>
    typeof query.span === 'string' && query.span !== '' ? { span: query.span.toLowerCase() } : {},
  component: TracePage,
});

export const router = createRouter({
  routeTree: rootRoute.addChildren([searchRoute, traceRoute]),
  parseSearch: parseQuery,
  stringifySearch: formatQuery,
  defaultErrorComponent: PageError,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
