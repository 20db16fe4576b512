// The page in Firefox: it boots, replays, and comes to the state that a native replay comes to.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PATIENCE_MS, using } from './support/app.mjs';
import { launch, open } from './support/firefox.mjs';
import { useDropped } from './support/folder.mjs';
import { SITE_FOLDER, demo, replayed, saveShared, serve } from './support/server.mjs';

/// Several waits, each with its own limit.
const LIMIT = { timeout: 3 * PATIENCE_MS };

let server;
let folder;
let firefox;
before(async () => {
  server = await serve();
  folder = await mkdtemp(path.join(tmpdir(), 'reprise-web-'));
  firefox = await launch();
}, LIMIT);
after(async () => {
  await firefox?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
}, LIMIT);

test('Firefox boots, takes what is typed, and shares what replays natively', LIMIT, async () => {
  await using(await open(firefox, server.url), async (app) => {
    await app.boot('firefox-');
    // A slash and a quote open the search of Firefox where nothing else takes them.
    await app.page.keyboard.type("echo '/' $((6 * 7)) times\n");
    await app.until('the answer', (state) => /^\/ 42 times\s*$/m.test(state.screen));
    await app.click('Pause');
    await app.until('a pause', (state) => state.mode === 'paused');
    await app.click('Share');
    const { link } = await app.until('a link', (state) => state.link?.includes('#t='));
    const trace = path.join(folder, 'shared.rpt');
    await saveShared(link, trace);
    assert.equal((await app.whole()).verified_hash, (await replayed(trace)).hash);
    await app.shot('firefox-share');
  });
});

test('Firefox replays a demo to the recorded hash', LIMIT, async () => {
  const file = await demo('race');
  const native = await replayed(path.join(SITE_FOLDER, file));
  await using(await open(firefox, `${server.url}#trace=${file}`), async (app) => {
    const state = await app.whole();
    assert.equal(state.verified_hash, native.hash);
    assert.equal(state.end, native.icount);
    await app.shot('firefox-demo');
  });
});

test('Firefox reads a folder that is dropped', LIMIT, async () => {
  await using(await open(firefox, server.url), useDropped);
});

test('Firefox leaves the keys of a shell to the page', LIMIT, async () => {
  await using(await open(firefox, server.url), async (app) => {
    await app.node('the start page', (node) => node.label === 'Boot Linux');
    // It has sidebars, page information, downloads, sound, menus and its address on these.
    const left = await app.page.evaluate(() => {
      const isLeft = (key, modifier) =>
        document.body.dispatchEvent(new KeyboardEvent('keydown', { key, [modifier]: true, bubbles: true, cancelable: true }));
      return [...[...'bghijm'].filter((key) => isLeft(key, 'ctrlKey')), ...[...'bdf'].filter((key) => isLeft(key, 'altKey'))];
    });
    assert.deepEqual(left, []);
  });
});
