// Container images that `reprise convert` has put into a site.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { using as useApp } from './support/app.mjs';
import { launch, open } from './support/browser.mjs';
import { makeLayout } from './support/container.mjs';
import { SITE_FOLDER, replayed, reprise, saveShared, serveSite } from './support/server.mjs';

let browser;
let folder;
before(async () => {
  browser = await launch();
  folder = await mkdtemp(path.join(tmpdir(), 'reprise-container-'));
});
after(async () => {
  await browser.close();
  await rm(folder, { recursive: true });
});

test('a container is chosen, booted in parts, recorded and shared', async () => {
  const layout = await makeLayout(folder, 24 << 20);
  const site = path.join(folder, 'site');
  const made = await reprise('convert', `oci:${layout}:latest`, '-o', site, '--site', SITE_FOLDER, '--title', 'A box');
  assert.equal(made.status, 0, made.stderr);
  const [{ file }] = JSON.parse(await readFile(path.join(site, 'containers.json'), 'utf8'));
  const { root } = JSON.parse(await readFile(path.join(site, file), 'utf8'));
  const server = await serveSite(site);
  try {
    let link;
    let end;
    await useApp(await open(browser, server.url), async (app) => {
      const parts = [];
      app.page.on('response', (response) => {
        if (response.url().endsWith(`/images/${root.hash}`)) {
          parts.push(response.status());
        }
      });
      await app.clickNode('a choice of containers', (node) => node.role === 'ComboBox');
      await app.click('A box');
      await app.shot('container-chosen');
      await app.click('Boot Linux');
      await app.until('a prompt', (state) => state.mode === 'running' && /^\$ *$/m.test(state.screen));
      await app.page.keyboard.type('id -un; echo $PWD, $((6 * 7))\n');
      await app.until('an answer', (state) => /^app$/m.test(state.screen) && /^\/etc, 42$/m.test(state.screen));
      await app.click('Pause');
      await app.until('a pause', (state) => state.mode === 'paused' && !state.is_busy);
      await app.click('Share');
      ({ link } = await app.until('a link', (state) => state.link));
      await app.shot('container-paused');
      assert.ok(parts.length > 0 && parts.length < 12 && parts.every((status) => status === 206), String(parts));
      ({ end } = await app.state());
    });
    // The page that the link opens executes the same, and so does the command line.
    await useApp(await open(browser, link), async (app) => {
      const whole = await app.whole();
      assert.equal(whole.verified_icount, end);
      const saved = path.join(folder, 'shared.rpt');
      await saveShared(link, saved);
      assert.deepEqual(await replayed(saved), { icount: end, hash: whole.verified_hash });
    });
  } finally {
    await server.stop();
  }
});
