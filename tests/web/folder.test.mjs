// A folder of this computer's as the workspace of a machine of the page.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { using as useApp } from './support/app.mjs';
import { launch, open } from './support/browser.mjs';
import { useDropped } from './support/folder.mjs';
import { replayed, saveShared, serve } from './support/server.mjs';

let browser;
let server;
let folder;
before(async () => {
  browser = await launch();
  server = await serve();
});
after(async () => {
  await browser.close();
  await server.stop();
});

/// A folder with a script and files, alone in another.
async function furnish() {
  folder = await mkdtemp(path.join(tmpdir(), 'reprise-folder-'));
  const project = path.join(folder, 'project');
  await mkdir(path.join(project, 'data'), { recursive: true });
  await writeFile(path.join(project, 'run.sh'), '#!/bin/sh\ncat data/text\necho made by $0 > made\n');
  await writeFile(path.join(project, 'data/text'), 'from this computer\n');
  await writeFile(path.join(project, 'data/late'), 'as it was\n');
  return project;
}

/// Lets the person choose a folder.
async function pick(app, project) {
  const chooser = app.page.waitForEvent('filechooser');
  await app.click('Pick a folder…');
  await (await chooser).setFiles(project);
}

/// A file of an archive, unpacked by the system's tar.
async function fileOfArchive(archive, name) {
  return (await promisify(execFile)('tar', ['-xOf', archive, name])).stdout;
}

/// Saves what a button offers.
async function download(app, label, file) {
  const begun = app.page.waitForEvent('download');
  await app.click(label);
  await (await begun).saveAs(file);
}

test('a folder is picked, worked in, saved, and replays without it', async () => {
  const project = await furnish();
  try {
    let link;
    let end;
    await useApp(await open(browser, server.url), async (app) => {
      const sent = [];
      app.page.on('request', (request) => sent.push(request));
      await pick(app, project);
      await app.node('the folder', (node) => node.value === 'project');
      await app.node('what is in it', (node) => /^3 files, /.test(node.value ?? ''));
      await app.shot('folder-picked');
      await app.boot('folder-');
      await app.page.keyboard.type('pwd; ./run.sh; ls\n');
      await app.until('its output', (state) => /^\/workspace$/m.test(state.screen) && /^data +made +run.sh *$/m.test(state.screen));
      assert.match((await app.state()).screen, /^from this computer$/m);
      // What has changed since it was picked is not mixed with what it was.
      await writeFile(path.join(project, 'data/late'), 'another text, and longer\n');
      await app.page.keyboard.type('cat data/late\n');
      await app.until('an error', (state) => /Input\/output error/.test(state.screen));
      assert.match((await app.state()).failure, /^data\/late has changed since the folder was picked/);
      await app.click('Pause');
      await app.until('a pause', (state) => state.mode === 'paused' && !state.is_busy);
      ({ end } = await app.state());
      await app.click('Share');
      ({ link } = await app.until('a link', (state) => state.link));
      const archive = path.join(folder, 'changed.tar');
      await download(app, 'Save changed files', archive);
      assert.equal(await fileOfArchive(archive, 'made'), 'made by ./run.sh\n');
      await app.node('what was saved', (node) => /^changed\.tar: 1 file/.test(node.value ?? ''));
      await app.shot('folder-saved');
      assert.ok(sent.every((request) => request.method() === 'GET' && request.postData() === null), 'nothing is uploaded');
    });
    await rm(project, { recursive: true });
    await useApp(await open(browser, link), async (app) => {
      const whole = await app.whole();
      assert.equal(whole.verified_icount, end);
      assert.match(whole.whole_screen, /^from this computer$/m);
      const saved = path.join(folder, 'shared.rpt');
      await saveShared(link, saved);
      assert.deepEqual(await replayed(saved), { icount: end, hash: whole.verified_hash });
      await app.click('Share');
      const archive = path.join(folder, 'again.tar');
      await download(app, 'Save changed files', archive);
      assert.deepEqual(await readFile(archive), await readFile(path.join(folder, 'changed.tar')));
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('a folder is dropped, with directories in which there is nothing', async () => {
  await useApp(await open(browser, server.url), useDropped);
});
