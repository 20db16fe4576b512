// Chromium without a window.

import { createRequire } from 'node:module';
import path from 'node:path';
import { App, VIEWPORT } from './app.mjs';

const require = createRequire(path.join(process.env.REPRISE_NODE_MODULES, 'here.js'));
const { chromium } = require('playwright-core');

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/// WebGL 2 without a graphics card.
const SOFTWARE_GL = ['--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'];

/// Starts a browser. `flags` come on top; `hasWebGl: false` leaves out what draws.
export function launch({ hasWebGl = true, flags = [] } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [...FLAGS, ...(hasWebGl ? SOFTWARE_GL : ['--disable-3d-apis']), ...flags],
  });
}

/// Opens an address in a fresh profile. `pretend` maps properties of `navigator` to what the page is to see there.
export async function open(browser, url, { pretend = {}, ...options } = {}) {
  const context = await browser.newContext({ viewport: VIEWPORT, acceptDownloads: true, ...options });
  const page = await context.newPage();
  await page.addInitScript((pretend) => {
    for (const [name, value] of Object.entries(pretend)) {
      Object.defineProperty(navigator, name, { value });
    }
  }, pretend);
  const app = new App(page, () => context.close());
  page.on('crash', () => app.gone('the page has crashed'));
  await page.goto(url);
  return app;
}
