// The engine in its worker, in the site as a plain server has it, with a stand-in for the app.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { launch, open } from './support/browser.mjs';
import { SITE_FOLDER, build, demo, plainServer, replayed } from './support/server.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

/// Serves the site with a stand-in for the app and with `answers`, opens it, and lets `action` use it.
async function using(answers, action, fragment = '') {
  const folder = await build();
  const standIn = await readFile(new URL('support/stand-in.js', import.meta.url));
  const server = await plainServer({
    prefix: '/some/where/',
    answers: Object.assign(answers, {
      [`${folder}/ui.js`]: { headers: { 'Content-Type': 'text/javascript' }, bytes: standIn },
    }),
  });
  const app = await open(browser, server.url + fragment);
  try {
    await app.until('the page', () => true);
    await action(app, server);
  } finally {
    await app.close();
    await server.stop();
  }
}

/// Says something to the engine and waits for its answer: true, or why not.
async function ask(app, command, argument) {
  const id = await app.page.evaluate(([command, argument]) => globalThis.say[command](argument), [command, argument]);
  const state = await app.until(`the answer to ${command}`, (state) => state.answers[id] !== undefined);
  return state.answers[id];
}

/// Opens a trace and goes through all of it.
async function goThrough(app, url) {
  assert.equal(await ask(app, 'open', url), true);
  await app.page.evaluate(() => globalThis.say.index());
  return (await app.until('the end', (state) => state.verified)).verified;
}

test('it boots, takes what is typed, and keeps the images', async () => {
  await using({}, async (app) => {
    assert.equal(await ask(app, 'boot'), true);
    await app.until('a prompt', (state) => state.console.endsWith('# '));
    await ask(app, 'type', 'echo $((6 * 7)) times\n');
    await app.until('the answer', (state) => state.console.includes('\n42 times'));
    assert.equal(await ask(app, 'pause'), true);
    const { progress } = await app.state();
    assert.ok(progress.some((what) => what.includes('fetching')), String(progress));
    assert.deepEqual(app.complaints, []);
    const asked = [];
    app.page.on('request', (request) => asked.push(request.url()));
    await app.page.reload();
    await app.until('the page', () => true);
    assert.equal(await ask(app, 'boot'), true);
    assert.deepEqual(asked.filter((url) => url.includes('/images/')), []);
  });
});

for (const name of ['race', 'uaf', 'parser']) {
  test(`the demo ${name} is the execution that was recorded`, async () => {
    const file = await demo(name);
    await using({}, async (app) => {
      assert.deepEqual(await goThrough(app, file), await replayed(path.join(SITE_FOLDER, file)));
    });
  });
}

test('a trace that cannot be had or read is told, and another opens', async () => {
  const good = await demo('uaf');
  const damaged = Buffer.from(await readFile(path.join(SITE_FOLDER, good)));
  damaged[40] ^= 0xff;
  const answers = {
    'traces/damaged.rpt': { bytes: damaged },
    'traces/no.rpt': { bytes: 'not a trace at all, but long enough for one' },
    'traces/short.rpt': { breaksOff: true },
    'traces/ill.rpt': { status: 500 },
  };
  await using(answers, async (app) => {
    for (const [url, why] of [
      ['traces/none.rpt', /this site has nothing at \/some\/where\/traces\/none\.rpt/],
      ['traces/ill.rpt', /this site answered 500/],
      ['traces/short.rpt', /broke off/],
      ['traces/no.rpt', /not a Reprise trace/],
      ['traces/damaged.rpt', /damaged/],
      ['http://127.0.0.1:9/x.rpt', /does not answer, or it does not let other sites/],
      ['ftp://example.org/x.rpt', /not from ftp:/],
    ]) {
      assert.match(String(await ask(app, 'open', url)), why);
    }
    assert.ok((await goThrough(app, good)).hash);
    assert.equal(await app.notice(), undefined);
  });
});

test('an image that is missing, damaged or another is told, and not kept', async () => {
  const file = await demo('uaf');
  const images = await readdir(path.join(SITE_FOLDER, 'images'));
  for (const [answer, why] of [
    [{ status: 404 }, /this site has nothing at .*\/images\//],
    [{ bytes: Buffer.from([0x1f, 0x8b, 8, 0, 0]) }, /arrived damaged/],
    [{ bytes: 'another kernel' }, /this site has another one under its hash/],
  ]) {
    const answers = Object.fromEntries(images.map((name) => [`images/${name}`, answer]));
    await using(answers, async (app) => {
      assert.match(String(await ask(app, 'open', file)), why);
      for (const name of images) {
        delete answers[`images/${name}`];
      }
      assert.ok((await goThrough(app, file)).hash);
    });
  }
});

test('an engine that cannot be loaded is told', async () => {
  await using({ [`${await build()}/engine_bg.wasm`]: { status: 404 } }, async (app) => {
    await app.page.locator('#notice.failed').waitFor();
    assert.match(await app.notice(), /engine has stopped.*could not be loaded/);
  });
});

test('another fragment reaches the app', async () => {
  await using({}, async (app) => {
    await app.page.evaluate(() => (location.hash = '#trace=traces/x.rpt&at=7'));
    await app.until('the fragment', (state) => state.fragments.includes('trace=traces/x.rpt&at=7'));
  });
});

test('a trace of an older machine version opens in the build of that version', async () => {
  const file = await demo('uaf');
  const trace = await readFile(path.join(SITE_FOLDER, file));
  const version = trace.readUInt32LE(12);
  const site = { newest: version + 1, builds: { [version]: await build(), [version + 1]: 'b/newer' } };
  const newer = 'export const run = (page) => page.fail("the newer build", "");';
  const answers = {
    'site.json': { bytes: JSON.stringify(site) },
    'b/newer/main.js': { headers: { 'Content-Type': 'text/javascript' }, bytes: newer },
  };
  for (const fragment of [`#t=${trace.toString('base64url')}`, `#trace=${file}`, `#v=${version}`]) {
    await using(answers, async (app) => assert.equal(await app.notice(), undefined), fragment);
  }
  // What has no version, or one that the site has no build of, is the newest's business.
  const server = await plainServer({ answers });
  const app = await open(browser, server.url);
  try {
    for (const fragment of ['', '#v=77', '#trace=https://example.org/x.rpt', '#t=AAAA']) {
      await app.page.goto('about:blank');
      await app.page.goto(server.url + fragment);
      await app.page.locator('#notice.failed').waitFor();
      assert.match(await app.notice(), /the newer build/);
    }
    // Another link in the same tab may need another build.
    await app.page.evaluate((version) => (location.hash = `#v=${version}`), version);
    await app.page.waitForFunction(() => !document.querySelector('#notice.failed'));
  } finally {
    await app.close();
    await server.stop();
  }
});
