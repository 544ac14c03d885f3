// A headless Chromium that collects what goes wrong in a page.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Runs `visit(page)` and gives its result with everything that the page complained about. */
export async function withPage(visit) {
  const folder = await mkdtemp(join(tmpdir(), 'spanfall-browser-'));
  const browser = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM,
    headless: true,
    args: FLAGS,
    viewport: { width: 1280, height: 800 },
    reducedMotion: 'reduce',
  });
  try {
    const page = await browser.newPage();
    const complaints = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('requestfailed', (request) => {
      const error = request.failure()?.errorText;
      // A page that is left cancels what it asked for.
      if (error !== 'net::ERR_ABORTED') complaints.push(`${request.url()}: ${error}`);
    });
    await page.addInitScript(() => {
      globalThis.violations = [];
      document.addEventListener('securitypolicyviolation', (event) => {
        globalThis.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
      });
    });
    const result = await visit(page);
    complaints.push(...(await page.evaluate(() => globalThis.violations)));
    return { result, complaints };
  } finally {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The waterfall's rows as they stand in the document, in the order of the page. */
export async function rows(page) {
  await page.getByTestId('waterfall-row').first().waitFor();
  return page.getByTestId('waterfall-row').evaluateAll((elements) => {
    const text = (element, id) => element.querySelector(`[data-testid="${id}"]`)?.textContent ?? '';
    return elements
      .map((element) => ({
        index: Number(element.getAttribute('aria-rowindex')),
        level: Number(element.getAttribute('aria-level')),
        id: element.dataset.spanId,
        durationNano: element.dataset.durationNano,
        service: text(element, 'row-service'),
        name: text(element, 'row-name'),
        duration: text(element, 'row-duration'),
      }))
      .sort((a, b) => a.index - b.index);
  });
}
