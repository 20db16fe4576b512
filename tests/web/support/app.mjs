// The page as a person uses it, in whichever browser.

import assert from 'node:assert/strict';
import path from 'node:path';

/// How long anything may take on a busy machine with two processors.
export const PATIENCE_MS = 120_000;
/// What a page is shown in.
export const VIEWPORT = { width: 1400, height: 900 };

/// What a promise resolves to, or a failure after a time.
export async function atMost(patience, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${patience} ms`)), patience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/// Lets `action` use an app, and checks that the page complained about nothing but what `complaints` match.
export async function using(app, action, { complaints = [] } = {}) {
  try {
    await action(app);
    const unexpected = app.complaints.filter((text) => !complaints.some((known) => known.test(text)));
    assert.deepEqual(unexpected, []);
  } catch (error) {
    // Where the browser has gone there is nothing to see, and what went wrong is in the error.
    await atMost(PATIENCE_MS, app.shot(`failed-${Date.now()}`)).catch(() => {});
    throw error;
  } finally {
    await app.close();
  }
}

/// The page, by what the app tells of itself and what a person sees. Playwright and Puppeteer agree in what is used of a page here.
export class App {
  #close;
  #gone;

  /// `close` ends the page and its profile. Everything that the page complains about is kept in `complaints`.
  constructor(page, close) {
    this.page = page;
    this.#close = close;
    this.complaints = [];
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') {
        this.complaints.push(message.text());
      }
    });
    page.on('close', () => this.gone('the page has been closed'));
  }

  /// The page cannot be used any more, and why: what is waited for fails at once. A browser that ends closes its pages first, so the
  /// last word counts.
  gone(why) {
    this.#gone = why;
  }

  close() {
    return this.#gone === undefined ? this.#close() : undefined;
  }

  /// Takes a picture.
  shot(name) {
    return this.page.screenshot({ path: path.join(process.env.REPRISE_PICTURES, `${name}.png`) });
  }

  /// What the page says in plain HTML before the app is there, or when it has gone wrong.
  notice() {
    return this.page.evaluate(() => {
      const notice = document.querySelector('#notice');
      return notice?.checkVisibility() ? notice.innerText : undefined;
    });
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
    return this.#eventually(what, async () => {
      const state = await this.state();
      return { value: state, isSo: isSo(state) };
    }, patience);
  }

  /// Waits for a node of which `isIt` holds.
  async node(what, isIt) {
    return this.#eventually(what, async () => {
      const node = (await this.nodes()).find(isIt);
      return { value: node, isSo: node !== undefined };
    });
  }

  /// Clicks the middle of the first node whose label `fits`, and returns its label.
  #clickWhere(what, fits) {
    return this.clickNode(what, (node) => fits(node.label ?? ''));
  }

  /// Clicks the middle of the first node of which `isIt` holds, and returns its label.
  async clickNode(what, isIt) {
    const { bounds, label } = await this.node(what, (node) => node.bounds && isIt(node));
    await this.page.mouse.click((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2);
    return label;
  }

  /// Clicks the middle of the node with a label.
  click(label) {
    return this.#clickWhere(`something called “${label}”`, (text) => text === label);
  }

  /// Clicks the first node whose label fits, and returns its label.
  clickFitting(pattern) {
    return this.#clickWhere(`something that fits ${pattern}`, (text) => pattern.test(text));
  }

  /// Waits until what is shown is about the position that the app tells of, not the one before.
  async fresh() {
    await this.atRest();
    await this.#drawn();
    await this.#eventually('answers about this position', async () => {
      const isLooking = (await this.nodes()).some((node) => node.label === 'looking…');
      return { value: 'looking…', isSo: !isLooking };
    });
  }

  /// Waits until keys go to a text field of which `isIt` holds. eframe hands the focus to an element of its own in the picture after
  /// the one that shows the field in focus, and until the picture after that it takes text but may drop keys. A program is quicker
  /// than that, a person is not.
  async focusedField(isIt = () => true) {
    const isField = (node) => node.is_focused && node.role === 'TextInput' && node.bounds;
    await this.node('a field in focus', (node) => isField(node) && isIt(node));
    await this.#eventually('keys for the field', async () => {
      const element = await this.page.evaluate(() => document.activeElement?.tagName);
      return { value: element, isSo: element === 'INPUT' };
    });
    await this.#drawn();
  }

  /// Waits until a picture has been drawn of what is known now.
  #drawn() {
    return this.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  }

  /// Fills in the field with a label, and presses Enter.
  async enter(label, text) {
    await this.click(label);
    await this.focusedField((node) => node.label === label);
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

  /// Boots a machine from the start page, up to a prompt. Pictures are named after the browser.
  async boot(pictures = '') {
    await this.node('the start page', (node) => node.label === 'Boot Linux' && node.bounds);
    await this.shot(`${pictures}start`);
    await this.click('Boot Linux');
    await this.until('a prompt', (state) => /# $/.test(state.screen.trimEnd() + ' '));
    await this.shot(`${pictures}booted`);
  }

  /// Waits until a recording has been gone through; its end and hash are in what the app tells then.
  whole() {
    return this.until('a recording that has been gone through', (state) => state.verified_hash);
  }

  async #eventually(what, look, patience = PATIENCE_MS) {
    const deadline = Date.now() + patience;
    let last;
    do {
      try {
        last = await atMost(Math.max(deadline - Date.now(), 1), look());
      } catch (error) {
        last = { value: String(error), isSo: false };
        // In the place of a page that crashed, Firefox shows one of its own.
        if (last.value.includes('parent process browsing context')) {
          this.gone('the page has crashed');
        }
      }
      if (last.isSo) {
        return last.value;
      }
      if (this.#gone !== undefined) {
        throw new Error(`${this.#gone} while the test waited for ${what}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    } while (Date.now() < deadline);
    throw new Error(`waited in vain for ${what}; the last that was seen: ${JSON.stringify(last.value)?.slice(0, 4000)}`);
  }
}
