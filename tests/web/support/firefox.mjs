// Firefox in a window on a screen of its own: without a window it has no WebGL where there is no graphics card.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { App, PATIENCE_MS, VIEWPORT, atMost } from './app.mjs';

const require = createRequire(path.join(process.env.REPRISE_NODE_MODULES, 'here.js'));
const puppeteer = require('puppeteer-core');

/// Room for the page and for what a browser has around it.
const SCREEN = `${VIEWPORT.width + 100}x${VIEWPORT.height + 200}x24`;
/// How long the end of a program may take before it is killed.
const GRACE_MS = 10_000;

/// Starts an X server that draws into memory. `display` names it.
async function startScreen() {
  // Killed with this process, however that ends; a browser ends when its screen does.
  const server = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', 'Xvfb', '-displayfd', '3', '-screen', '0', SCREEN, '-nolisten', 'tcp'],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  server.stderr.on('data', (bytes) => (said += bytes));
  const ended = new Promise((resolve) => {
    server.on('error', resolve);
    server.on('exit', (status, signal) => resolve(new Error(`Xvfb ended with ${signal ?? status}: ${said}`)));
  });
  const stop = async () => {
    server.kill();
    await atMost(GRACE_MS, ended).catch(() => server.kill('SIGKILL'));
  };
  try {
    const failed = ended.then((error) => Promise.reject(error));
    const [number] = await atMost(PATIENCE_MS, Promise.race([once(createInterface(server.stdio[3]), 'line'), failed]));
    return { display: `:${number}`, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/// Starts a browser; `close` ends it and its screen.
export async function launch() {
  const screen = await startScreen();
  // As root, Firefox refuses the home of somebody else, which some containers have; and it shall not touch anybody's.
  const home = await mkdtemp(path.join(tmpdir(), 'reprise-firefox-'));
  const env = { ...process.env, DISPLAY: screen.display, HOME: home, LIBGL_ALWAYS_SOFTWARE: '1' };
  // It would open its window there instead.
  delete env.WAYLAND_DISPLAY;
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
