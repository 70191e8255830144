// What the checks share: steps, pages that tell on themselves, sizes of windows.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
export const out = process.env.OUT || fileURLToPath(new URL('../../out/browser', import.meta.url));
export const guard = 60_000; // ms; only so that a broken page does not hang the check
export const desktop = { viewport: { width: 1280, height: 800 } };
export const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const flags = [
  '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** Starts the browser; without the package that drives it, says so and ends well. */
export async function launch() {
  const { chromium } = await import('playwright-core').catch(() => {
    console.log('skipped: playwright-core is not installed (npm ci)');
    process.exit(0);
  });
  mkdirSync(out, { recursive: true });
  return chromium.launch({ executablePath, headless: true, args: flags, timeout: guard });
}

export const count = { passed: 0, failed: 0 };
export const complaints = []; // what the browser said that it should not have
/** While the server is away, a key is wrong or a room not there, what failed is no complaint. */
export const expect = { loss: false };

export async function step(name, work) {
  const before = performance.now();
  try {
    const note = await work();
    count.passed++;
    console.log(`ok    ${name}${note ? `: ${note}` : ''} (${Math.round(performance.now() - before)} ms)`);
  } catch (error) {
    count.failed++;
    console.log(`FAIL  ${name}: ${error.stack ?? error}`);
  }
}

function listen(page, who, base) {
  page.setDefaultTimeout(guard);
  page.on('pageerror', (error) => complaints.push(`${who}: ${error}`));
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    if (expect.loss && /WebSocket connection to|ERR_CONNECTION|status of 40[14]/.test(message.text())) return;
    complaints.push(`${who}: ${message.text()} ${message.location().url}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol !== 'data:' && url.protocol !== 'blob:' && ![base()].flat().includes(url.origin)) complaints.push(`${who}: asked ${request.url()}`);
    if (url.pathname === '/x') complaints.push(`${who}: markup fetched ${request.url()}`);
  });
}

/** A page in a context of its own, of which every complaint is kept; base gives the origins it may ask. */
export async function newPage(browser, who, options, base) {
  const context = await browser.newContext(options);
  await context.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  const page = await context.newPage();
  listen(page, who, base);
  return page;
}

export async function checkQuiet(pages) {
  await step('no console error, no policy violation, no foreign request', async () => {
    for (const [who, page] of Object.entries(pages)) {
      for (const violation of await page.evaluate(() => window.violations)) complaints.push(`${who}: ${violation}`);
    }
    if (complaints.length) throw new Error(complaints.join('\n'));
  });
}

export const picture = (page, name) => page.screenshot({ path: `${out}/${name}.png` });

/** Ends the process with what the steps came to. */
export function end() {
  console.log(`${count.passed} passed, ${count.failed} failed`);
  process.exit(count.failed ? 1 : 0);
}
