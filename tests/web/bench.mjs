// How fast the page is in Chromium, as a table. Times are wall time, on whatever machine this is.

import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { launch, open } from './support/browser.mjs';
import { SITE_FOLDER, build, demo, reprise, serve, serveSite } from './support/server.mjs';

/// How often what varies is measured.
const TIMES = 20;
/// What a guest fetches.
const FETCHED_BYTES = 128 << 20;
const PROMPT = (state) => /# $/.test(state.screen.trimEnd() + ' ');

function row(what, ...values) {
  console.log(`  ${what.padEnd(58)} ${values.join('  ')}`);
}

const ms = (value) => `${value.toFixed(0)} ms`;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;

/// The median, and what nineteen of twenty stay below.
function spread(values) {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (part) => sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)];
  return [`median ${ms(at(0.5))}`, `p95 ${ms(at(0.95))}`, `worst ${ms(sorted.at(-1))}`];
}

/// What a person waits for when the page is opened for the first time: the page, then an engine, by what they take to be sent.
async function sizes() {
  const folder = path.join(SITE_FOLDER, await build());
  const page = [...['index.html', 'boot.js', 'style.css', 'site.json'].map((name) => path.join(SITE_FOLDER, name))];
  const files = [...page, ...(await readdir(folder)).map((name) => path.join(folder, name))];
  const sum = { plain: 0, gzip: 0, brotli: 0 };
  for (const file of files) {
    const bytes = await readFile(file);
    sum.plain += bytes.length;
    sum.gzip += gzipSync(bytes, { level: 9 }).length;
    sum.brotli += brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }).length;
  }
  row('page and engine', `plain ${megabytes(sum.plain)}`, `gzip ${megabytes(sum.gzip)}`, `brotli ${megabytes(sum.brotli)} (aim 5)`);
  const guest = JSON.parse(await readFile(path.join(folder, 'guest.json'), 'utf8'));
  let images = 0;
  for (const { hash } of [guest.kernel, guest.initrd]) {
    images += (await readFile(path.join(SITE_FOLDER, 'images', `${hash}.gz`))).length;
  }
  row('kernel and initrd, once', `gzip ${megabytes(images)}`);
}

/// Milliseconds that `action` takes until the app tells something of itself, seen from inside of the page, once a frame.
async function timed(app, isSo, action) {
  await app.page.evaluate((isSo) => {
    const holds = new Function('state', `return (${isSo})(state)`);
    globalThis.measured = new Promise((resolve) => {
      let begin;
      const start = () => (begin ??= performance.now());
      for (const event of ['pointerdown', 'pointermove', 'pointerup', 'keydown', 'hashchange']) {
        addEventListener(event, start, { capture: true, once: true });
      }
      const look = () => {
        if (begin !== undefined && holds(JSON.parse(globalThis.repriseApp.test_state()))) {
          resolve(performance.now() - begin);
        } else {
          requestAnimationFrame(look);
        }
      };
      look();
    });
  }, isSo.toString());
  await action();
  return app.page.evaluate(() => globalThis.measured);
}

/// Milliseconds between two pictures while everything is drawn anew: what is shown of most answers below waits for one or two.
async function pictureTime(app) {
  const times = app.page.evaluate(
    (count) =>
      new Promise((resolve) => {
        const times = [];
        const look = (now) => (times.push(now) > count ? resolve(times) : requestAnimationFrame(look));
        requestAnimationFrame(look);
      }),
    TIMES,
  );
  for (let x = 0; x < 4 * TIMES; x++) {
    await app.page.mouse.move(100 + x, 20);
  }
  const all = await times;
  return (all.at(-1) - all[0]) / (all.length - 1);
}

/// The resident memory of the processes that show the page and run its engines.
async function tabMemory(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  let bytes = 0;
  for (const { type, id } of processInfo) {
    if (type === 'renderer') {
      const status = await readFile(`/proc/${id}/status`, 'utf8').catch(() => '');
      bytes += 1024 * Number(status.match(/^VmRSS:\s+(\d+)/m)?.[1] ?? 0);
    }
  }
  return bytes;
}

/// From nothing to a shell, and in it.
async function live(browser, server) {
  const isReady = (node) => node.label === 'Boot Linux' && node.bounds;
  const begin = performance.now();
  const cold = await open(browser, server.url);
  await cold.node('the start page', isReady);
  const shown = performance.now();
  await cold.click('Boot Linux');
  await cold.until('a prompt', PROMPT);
  row('from the address to the start page, nothing cached', ms(shown - begin));
  row('from the address to the prompt, nothing cached', ms(performance.now() - begin));
  // The same profile again: everything is cached, and the page is there.
  const leave = async () => {
    await cold.click('Start page');
    await cold.click('Leave it');
  };
  await leave();
  const boots = [];
  for (let times = 0; times < 5; times++) {
    const { bounds } = await cold.node('the start page', isReady);
    const press = () => cold.page.mouse.click((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2);
    boots.push(await timed(cold, (state) => /# $/.test((state.screen ?? '').trimEnd() + ' '), press));
    if (times < 4) {
      await leave();
    }
  }
  row('from “Boot Linux” to the prompt, warm (aim 1000)', ...spread(boots));
  const type = async (text) => cold.page.keyboard.type(text);

  /// Types letters, each when the one before has come back; these must not stand at a prompt yet.
  const echoes = async (letters) => {
    const times = [];
    for (let length = 1; length <= letters.length; length++) {
      const isThere = new Function('state', `return state.screen.includes('# ${letters.slice(0, length)}')`);
      times.push(await timed(cold, isThere, () => type(letters[length - 1])));
    }
    return times;
  };
  row('a picture, drawn without a graphics card', ms(await pictureTime(cold)));
  row('from a key to its echo', ...spread(await echoes('abcdefghijklmnopqrst')));
  await cold.page.keyboard.press('Control+C');
  await type('while :; do :; done &\n');
  await cold.until('the load', (state) => /# $/.test(state.screen.trimEnd() + ' '));
  await cold.page.waitForTimeout(1000);
  const before = await cold.state();
  const from = performance.now();
  await cold.page.waitForTimeout(5000);
  const mips = (await cold.state()).end - before.end;
  row('guest instructions under load', `${(mips / 1e3 / (performance.now() - from)).toFixed(0)} million/s`);
  row('from a key to its echo, under load', ...spread(await echoes('tsrqponmlkjihgfedcba')));
  const paused = await timed(cold, (state) => state.mode === 'paused', () => cold.click('Pause'));
  row('from “Pause” to the past, under load', ms(paused));
  row('memory of the tab, machine of 256 MiB', megabytes(await tabMemory(browser)));
  await cold.close();
}

/// In a recording.
async function replay(browser, server) {
  const begin = performance.now();
  const app = await open(browser, `${server.url}#trace=${await demo('race')}`);
  const opened = await app.until('the end', (state) => state.end > 0 && state.icount === state.end && !state.failure);
  row(`from a link to its end, ${(opened.end / 1e6).toFixed(0)} million steps`, ms(performance.now() - begin));
  await app.whole();
  await app.atRest();
  row('from a link to all of it replayed and compared', ms(performance.now() - begin));
  const { end } = opened;
  const y = (await app.timelinePoint(end))[1];
  const x = async (icount) => (await app.timelinePoint(icount))[0];
  const targets = Array.from({ length: TIMES }, (_, index) => Math.floor(end * (0.05 + 0.9 * ((index * 7) % TIMES) / TIMES)));
  const scrubs = [];
  await app.page.mouse.move(await x(end * 0.5), y);
  await app.page.mouse.down();
  for (const target of targets) {
    const isThere = new Function('state', `return Math.abs(state.shown_icount - ${target}) < ${end / 400}`);
    const at = await x(target);
    scrubs.push(await timed(app, isThere, () => app.page.mouse.move(at, y)));
  }
  await app.page.mouse.up();
  await app.atRest();
  row('from a move of the mouse to the terminal there (aim 100)', ...spread(scrubs));
  const seeks = [];
  for (const target of targets) {
    const at = await x(target);
    const isThere = new Function('state', `return !state.is_busy && Math.abs(state.icount - ${target}) < ${end / 400}`);
    seeks.push(await timed(app, isThere, () => app.page.mouse.click(at, y)));
  }
  row('from a click in the timeline to the machine there', ...spread(seeks));
  const steps = [];
  for (let times = 0; times < TIMES; times++) {
    const { icount } = await app.atRest();
    const isThere = new Function('state', `return !state.is_busy && state.icount < ${icount}`);
    steps.push(await timed(app, isThere, () => app.page.keyboard.press('Shift+F8')));
  }
  row('from a key to a step back', ...spread(steps));
  row('memory of the tab, recording of a machine of 256 MiB', megabytes(await tabMemory(browser)));
  await app.close();
}

/// A site with a container, and the network.
async function outside(browser) {
  const folder = await mkdtemp(path.join(tmpdir(), 'reprise-bench-'));
  const site = path.join(folder, 'site');
  const image = `oci:${path.join(process.env.REPRISE_TEST_IMAGES, 'gcc')}:latest`;
  const made = await reprise('convert', image, '-o', site, '--site', SITE_FOLDER, '--title', 'Debian');
  if (made.status !== 0) {
    throw new Error(made.stderr);
  }
  const server = await serveSite(site);
  const web = createServer((request, response) => {
    response.writeHead(200, { 'Access-Control-Allow-Origin': '*' });
    response.end(Buffer.alloc(FETCHED_BYTES, 'no more than some text '));
  });
  await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve));
  try {
    const app = await open(browser, server.url);
    const boots = [];
    await app.clickNode('a choice of containers', (node) => node.role === 'ComboBox');
    await app.click('Debian');
    for (let times = 0; times < 6; times++) {
      const { bounds } = await app.node('the start page', (node) => node.label === 'Boot Linux' && node.bounds);
      const press = () => app.page.mouse.click((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2);
      boots.push(await timed(app, (state) => /# $/.test((state.screen ?? '').trimEnd() + ' '), press));
      await app.click('Start page');
      await app.click('Leave it');
    }
    row('from “Boot Linux” to a shell in a Debian of 350 MB, first', ms(boots[0]));
    row('the same, warm (aim 1000)', ...spread(boots.slice(1)));
    await app.close();

    const fetching = await open(browser, server.url);
    await fetching.click('Network');
    await fetching.boot();
    const begin = performance.now();
    await fetching.page.keyboard.type(`wget -qO /dev/null http://10.0.2.2:${web.address().port}/; echo $((6 * 7))\n`);
    await fetching.until('the end', (state) => /^42$/m.test(state.screen));
    const seconds = (performance.now() - begin) / 1e3;
    row('fetched by the guest (aim 20 MB/s)', `${(FETCHED_BYTES / 1e6 / seconds).toFixed(1)} MB/s`);
    await fetching.close();
  } finally {
    web.closeAllConnections();
    web.close();
    await server.stop();
    await rm(folder, { recursive: true });
  }
}

console.log('In Chromium:');
await sizes();
const server = await serve();
const browser = await launch();
try {
  await live(browser, server);
  await replay(browser, server);
  await outside(browser);
} finally {
  await browser.close();
  await server.stop();
}
