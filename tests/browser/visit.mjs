// `node visit.mjs KIND URL` visits pages of a running server and prints what it saw as JSON.
import { rows, withPage } from './browser.mjs';

const kinds = { trace, sample, long };
const [kind, url] = process.argv.slice(2);
console.log(JSON.stringify(await withPage((page) => kinds[kind](page))));

/** A trace's page, and the search page that lists it. */
async function trace(page) {
  await page.goto(url);
  const waterfall = await rows(page);
  const last = page.getByTestId('waterfall-row').last();
  await last.click();
  await page.getByTestId('span-panel').waitFor();
  const panel = await page.getByTestId('span-panel').innerText();
  await page.goto(new URL('/', url).href);
  await page.getByTestId('trace-result').first().waitFor();
  const results = await page
    .getByTestId('trace-result')
    .evaluateAll((elements) => elements.map((element) => element.dataset.traceId));
  return { waterfall, panel, results };
}

/** The empty state, and the way from it to a sample trace. */
async function sample(page) {
  await page.goto(url);
  await page.getByRole('heading', { name: 'Send the first span' }).waitFor();
  const languages = await page.getByRole('tab').allInnerTexts();
  const text = await page.getByRole('main').innerText();
  await page.getByRole('button', { name: 'Make a sample trace' }).click();
  const waterfall = await rows(page);
  return { languages, text, waterfall, url: page.url() };
}

/** A trace of very many spans: what is drawn at the top, in the middle and at the end. */
async function long(page) {
  await page.goto(url);
  const top = await rows(page);
  const waterfall = page.getByTestId('waterfall');
  const count = Number(await waterfall.getAttribute('aria-rowcount')) - 1;
  const at = async (share) => {
    const before = (await rows(page))[0].id;
    await waterfall.evaluate((element, share) => {
      element.scrollTop = (element.scrollHeight - element.clientHeight) * share;
    }, share);
    await page.waitForFunction(
      (before) => {
        const row = document.querySelector('[data-testid="waterfall-row"]');
        return row && row.dataset.spanId !== before;
      },
      before,
    );
    return rows(page);
  };
  // The most rows of many frames while it is scrolled through.
  const mostRows = await waterfall.evaluate(async (element) => {
    let most = 0;
    for (let step = 0; step < 60; step += 1) {
      element.scrollTop += 400;
      await new Promise(requestAnimationFrame);
      const drawn = element.querySelectorAll('[data-testid="waterfall-row"]').length;
      most = Math.max(most, drawn);
    }
    return most;
  });
  return { count, top, middle: await at(0.5), end: await at(1), mostRows };
}
