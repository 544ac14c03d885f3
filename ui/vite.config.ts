import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';
import { loadEnv, type Plugin } from 'vite';

/** Holds the first paint until the theme is chosen, so that it never flashes. */
const renderBlocking: Plugin = {
  name: 'render-blocking',
  transformIndexHtml: {
    order: 'post',
    handler: (html) => html.replace('<script type="module"', '<script type="module" blocking="render"'),
  },
};

export default defineConfig(({ mode }) => {
  const target = loadEnv(mode, '.', 'SPANFALL_').SPANFALL_URL ?? 'http://127.0.0.1:4399';
  const proxy = { '/api': { target, changeOrigin: true } };
  return {
    plugins: [react(), renderBlocking],
    server: { host: '127.0.0.1', proxy },
    preview: { host: '127.0.0.1', proxy },
    build: {
      // The server's content security policy allows data: for images only.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      // light-dark() is used as it is; older targets would have it rewritten.
      cssTarget: ['chrome123', 'firefox128', 'safari17.5'],
    },
    test: { include: ['test/**/*.test.ts'], css: true },
  };
});
