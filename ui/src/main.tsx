import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiError } from './api/client';
import { ErrorBoundary } from './components/ErrorBoundary';
import { applyTheme, readTheme } from './components/theme';
import { router } from './router';
import './styles/tokens.css';
import './styles/base.css';
import './styles/controls.css';
import './styles/topbar.css';
import './styles/search.css';
import './styles/results.css';
import './styles/first.css';
import './styles/trace.css';
import './styles/waterfall.css';
import './styles/panel.css';

applyTheme(readTheme());

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      refetchOnWindowFocus: false,
      // Only what may pass by itself; a 4xx will say the same again.
      retry: (failures, error) => failures < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
      retryDelay: 700,
    },
  },
});

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <ErrorBoundary>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </ErrorBoundary>
  </StrictMode>,
);
