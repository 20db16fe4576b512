// Firefox in a window on a screen of its own: without a window it has no WebGL where there is no graphics card.

import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { App, PATIENCE_MS, VIEWPORT, atMost } from './app.mjs';
import { GRACE_MS, environment, startScreen } from './screen.mjs';

const require = createRequire(path.join(process.env.REPRISE_NODE_MODULES, 'here.js'));
const puppeteer = require('puppeteer-core');

/// Room for the page and for what a browser has around it.
const SCREEN = { width: VIEWPORT.width + 100, height: VIEWPORT.height + 200 };

/// Starts a browser; `close` ends it and its screen.
export async function launch() {
  const screen = await startScreen(SCREEN);
  // As root, Firefox refuses the home of somebody else, which some containers have; and it shall not touch anybody's.
  const home = await mkdtemp(path.join(tmpdir(), 'reprise-firefox-'));
  const env = { ...environment(screen), HOME: home };
  let browser;
  const close = async () => {
    try {
      await atMost(GRACE_MS, browser?.close());
    } catch {
      browser.process()?.kill('SIGKILL');
    }
    await screen.stop();
    await rm(home, { recursive: true, force: true, maxRetries: 10 });
  };
  try {
    browser = await puppeteer.launch({
      browser: 'firefox',
      executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
      headless: false,
      defaultViewport: VIEWPORT,
      timeout: PATIENCE_MS,
      protocolTimeout: PATIENCE_MS,
      env,
    });
  } catch (error) {
    await close();
    throw error;
  }
  return { browser, close };
}

/// Opens an address in a fresh profile.
export async function open({ browser }, url) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const app = new App(page, () => context.close());
  browser.on('disconnected', () => app.gone('Firefox has ended'));
  await page.goto(url, { timeout: PATIENCE_MS });
  return app;
}
