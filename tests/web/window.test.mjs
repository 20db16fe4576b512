// The app as a window of the desktop, on a screen that nobody sees.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PATIENCE_MS, atMost } from './support/app.mjs';
import { GRACE_MS, colorCount, environment, savePicture, startScreen } from './support/screen.mjs';
import { SITE_FOLDER, demo, replayed, reprise } from './support/server.mjs';

const PROGRAM = process.env.REPRISE_WINDOW;
/// Several waits, each with its own limit.
const LIMIT = { timeout: 3 * PATIENCE_MS };
/// Text is drawn with soft edges: an empty window has fewer colors than this, one full of text far more.
const TEXT_COLORS = 200;
/// For so long nothing moves when the window has arrived where it goes.
const STILL_MS = 2000;

let screen;
let folder;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'reprise-window-'));
  screen = await startScreen({ width: 1280, height: 800 });
}, LIMIT);
after(async () => {
  await screen?.stop();
  await rm(folder, { recursive: true, force: true });
}, LIMIT);

/// Runs the program to its end.
async function run(words, env = environment(screen)) {
  const options = { env, cwd: folder, timeout: PATIENCE_MS, killSignal: 'SIGKILL' };
  return new Promise((resolve) => {
    execFile(PROGRAM, words, options, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : (error.code ?? error.signal), stdout, stderr });
    });
  });
}

/// Path of a demo's trace.
async function demoFile(name) {
  return path.join(SITE_FOLDER, await demo(name));
}

test('the window goes through a recording to the hash of a native replay, and closes', LIMIT, async () => {
  const file = await demoFile('race');
  const native = await replayed(file);
  const { status, stderr } = await run(['--check', file]);
  assert.equal(stderr, `icount=${native.icount} hash=${native.hash}\n`);
  assert.equal(status, 0);
});

test('the window opens a link with a trace in it', LIMIT, async () => {
  const file = await demoFile('parser');
  const { stdout } = await reprise('share', '--site', 'https://here.example/', file);
  const { status, stderr } = await run(['--check', stdout.trim()]);
  const native = await replayed(file);
  assert.equal(stderr, `icount=${native.icount} hash=${native.hash}\n`);
  assert.equal(status, 0);
});

test('the window shows a recording', LIMIT, async () => {
  const window = spawn(PROGRAM, [await demoFile('race')], { env: environment(screen), cwd: folder, stdio: 'inherit' });
  const ended = once(window, 'exit');
  try {
    const deadline = Date.now() + PATIENCE_MS;
    let [picture, before] = [await screen.picture()];
    // It has arrived when nothing moves any more.
    do {
      assert.ok(Date.now() < deadline && window.exitCode === null, 'nothing is shown, or it never stands still');
      await sleep(STILL_MS);
      [picture, before] = [await screen.picture(), picture];
    } while (colorCount(picture) < TEXT_COLORS || !picture.bytes.equals(before.bytes));
    await savePicture(picture, path.join(process.env.REPRISE_PICTURES, 'window.png'));
  } finally {
    window.kill();
    await atMost(GRACE_MS, ended).catch(() => window.kill('SIGKILL'));
  }
});

test('bad input is told in a sentence, before a window opens', LIMIT, async () => {
  const notes = path.join(folder, 'notes.txt');
  await writeFile(notes, 'This is no trace. '.repeat(10));
  const file = await demoFile('race');
  const noDisplay = environment(screen);
  delete noDisplay.DISPLAY;
  const noGuest = { ...environment(screen), REPRISE_CACHE: path.join(folder, 'empty') };
  for (const [words, env, expected] of [
    [[notes], undefined, /notes\.txt: this is not a Reprise trace/],
    [[path.join(folder, 'gone.rpt')], undefined, /gone\.rpt cannot be read/],
    [['https://example.org/#trace=a.rpt'], undefined, /download the trace and open the file/],
    [[file], noDisplay, /there is no display/],
    [[file], noGuest, /the kernel image .* is missing/],
    [['--check'], undefined, /required arguments/],
  ]) {
    const { status, stderr } = await run(words, env);
    assert.match(stderr, expected);
    assert.equal(status, 2, stderr);
    assert.ok(/^(reprise-window|error): /.test(stderr), stderr);
  }
});
