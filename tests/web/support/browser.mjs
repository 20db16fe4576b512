// A browser without a window, and the page in it as a person uses it.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';

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

/// How long anything may take on a busy machine with two processors.
export const PATIENCE_MS = 120_000;

/// Starts a browser. `flags` come on top; `hasWebGl: false` leaves out what draws.
export function launch({ hasWebGl = true, flags = [] } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [...FLAGS, ...(hasWebGl ? SOFTWARE_GL : ['--disable-3d-apis']), ...flags],
  });
}

/// Opens an address in a fresh profile. Everything that the page complains about is kept in `complaints`.
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  const app = new App(page);
  await page.goto(url);
  return app;
}

/// Opens the page in a fresh profile, lets `action` use it, and checks that the page had nothing to complain about.
export async function using(browser, url, action, { complaints = [] } = {}) {
  const app = await open(browser, url);
  try {
    await action(app);
    const unexpected = app.complaints.filter((text) => !complaints.some((known) => known.test(text)));
    assert.deepEqual(unexpected, []);
  } catch (error) {
    await app.shot(`failed-${Date.now()}`);
    throw error;
  } finally {
    await app.close();
  }
}

/// The page, by what the app tells of itself and what a person sees.
export class App {
  constructor(page) {
    this.page = page;
    this.complaints = [];
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') {
        this.complaints.push(message.text());
      }
    });
  }

  close() {
    return this.page.context().close();
  }

  /// Takes a picture.
  shot(name) {
    return this.page.screenshot({ path: path.join(process.env.REPRISE_PICTURES, `${name}.png`) });
  }

  /// What the page says in plain HTML before the app is there, or when it has gone wrong.
  async notice() {
    return (await this.page.locator('#notice').isVisible()) ? this.page.locator('#notice').innerText() : undefined;
  }

  /// What the app tells of itself.
  state() {
    return this.page.evaluate(() => JSON.parse(globalThis.repriseApp.test_state()));
  }

  /// What the app shows: role, label, value and bounds of each node.
  nodes() {
    return this.page.evaluate(() => JSON.parse(globalThis.repriseApp.test_nodes()));
  }

  /// Waits until the app tells something of itself of which `isSo` holds.
  async until(what, isSo, patience = PATIENCE_MS) {
    return eventually(what, async () => {
      const state = await this.state();
      return { value: state, isSo: isSo(state) };
    }, patience);
  }

  /// Waits for a node of which `isIt` holds.
  async node(what, isIt) {
    return eventually(what, async () => {
      const node = (await this.nodes()).find(isIt);
      return { value: node, isSo: node !== undefined };
    });
  }

  /// Clicks the middle of the node with a label.
  async click(label) {
    const isIt = (node) => node.label === label && node.bounds;
    const { bounds } = await this.node(`something called “${label}”`, isIt);
    await this.page.mouse.click((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2);
  }

  /// Clicks the first node whose label fits, with a mouse button, and returns its label.
  async clickFitting(pattern, button = 'left') {
    const isIt = (node) => pattern.test(node.label ?? '') && node.bounds;
    const { bounds, label } = await this.node(`something that fits ${pattern}`, isIt);
    await this.page.mouse.click((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2, { button });
    return label;
  }

  /// Fills in the field with a label, and presses Enter.
  async enter(label, text) {
    await this.click(label);
    await this.page.keyboard.type(text);
    await this.page.keyboard.press('Enter');
  }

  /// Where a position is drawn on the timeline.
  timelinePoint(icount) {
    return this.page.evaluate((icount) => JSON.parse(globalThis.repriseApp.test_timeline_point(icount)), icount);
  }

  /// Waits until nothing is under way, and returns what the app tells then.
  atRest() {
    return this.until('a rest', (state) => !state.is_busy);
  }

  /// Clicks a character of the terminal.
  async clickCharacter(row, column) {
    const rect = await this.page.evaluate(
      ([row, column]) => JSON.parse(globalThis.repriseApp.test_char_rect(row, column) ?? 'null'),
      [row, column],
    );
    await this.page.mouse.click((rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2);
  }
}

async function eventually(what, look, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  let last;
  for (;;) {
    try {
      last = await look();
    } catch (error) {
      last = { value: String(error), isSo: false };
    }
    if (last.isSo) {
      return last.value;
    }
    if (Date.now() > deadline) {
      throw new Error(`waited in vain for ${what}; the last that was seen: ${JSON.stringify(last.value)?.slice(0, 4000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
