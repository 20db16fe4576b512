// gdb on the page: `reprise bridge` between a real gdb and the page, which follows.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, open } from './support/browser.mjs';
import { Gdb } from './support/gdb.mjs';
import { bridge, demo, serve } from './support/server.mjs';

/// What the app's buttons are called.
const PROGRAM = 'Program';
const GDB = 'gdb';
const START = 'Start';
const DISCONNECT = 'Disconnect';

let browser;
let server;
before(async () => {
  browser = await launch();
  server = await serve();
});
after(async () => {
  await browser.close();
  await server.stop();
});

/// Opens a demo where its program begins, with a bridge that the page has not joined yet.
async function using(name, action) {
  const app = await open(browser, `${server.url}#trace=${await demo(name)}`);
  const joined = await bridge();
  try {
    await app.until('a recording that has been gone through', (state) => state.verified_hash && !state.is_busy);
    await app.click(PROGRAM);
    await app.until('the program', (state) => state.icount > 0 && state.icount < state.end && !state.is_busy);
    await action(app, joined);
  } catch (error) {
    await app.shot(`failed-bridge-${Date.now()}`);
    throw error;
  } finally {
    await app.close();
    assert.equal(await joined.stop(), 0);
  }
}

/// Joins a bridge as a person does: presses the button, puts the code in, and closes the dialog.
async function join(app, code, becomes = 'waiting for gdb') {
  await app.click(GDB);
  await app.until('the dialog', (state) => state.dialog);
  await app.page.keyboard.insertText(code);
  await app.page.keyboard.press('Enter');
  const state = await app.until(becomes, (state) => state.bridge === becomes);
  await app.shot(`bridge-${becomes.replaceAll(' ', '-')}`);
  await app.page.keyboard.press('Escape');
  await app.until('no dialog', (state) => !state.dialog);
  return state;
}

/// Lets gdb do something; the page must stand where gdb does then.
async function follows(app, gdb, command) {
  const said = await gdb.do(command);
  const { icount } = await gdb.position();
  await app.until(`the page after ${command}`, (state) => state.icount === icount && state.bridge === 'gdb attached');
  assert.equal((await app.state()).shown_icount, icount);
  return { said, icount };
}

test('gdb debugs what the page shows, and the page follows', async () => {
  await using('race', async (app, joined) => {
    const begin = (await app.state()).icount;
    await join(app, await joined.code());
    const gdb = new Gdb();
    await gdb.do(`target remote ${joined.target()}`);
    await app.until('gdb on the page', (state) => state.bridge === 'gdb attached');
    assert.equal((await gdb.position()).icount, begin);

    await follows(app, gdb, 'break take_tile');
    const stopped = await follows(app, gdb, 'continue');
    assert.match(stopped.said, /hit Breakpoint 1/);
    assert.ok(stopped.icount > begin);
    await follows(app, gdb, 'watch next_tile');
    const written = await follows(app, gdb, 'continue');
    assert.match(written.said, /Hardware watchpoint 2: next_tile/);
    const back = await follows(app, gdb, 'reverse-continue');
    assert.ok(back.icount < written.icount);
    const step = await follows(app, gdb, 'reverse-stepi');
    assert.ok(step.icount < back.icount);
    await follows(app, gdb, 'next');
    await follows(app, gdb, 'monitor seek -1000');
    await follows(app, gdb, 'stepi');
    const { pc } = await gdb.position();
    await app.node('gdb’s program counter', (node) => `${node.label} ${node.value}`.includes(pc.slice(2)));
    await app.shot('bridge-attached');

    // The page does not move meanwhile, and says so.
    const { icount } = await gdb.position();
    await app.page.keyboard.press('Home');
    await app.until('a refusal', (state) => /gdb has the position/.test(state.failure ?? ''));
    assert.equal((await app.state()).icount, icount);
    const start = await app.node('the button', (node) => node.label === START && node.bounds);
    assert.ok(start.is_disabled);

    // A page that draws nothing, as one in the background, follows as well.
    await app.page.evaluate(() => (globalThis.requestAnimationFrame = () => 0));
    await follows(app, gdb, 'delete');
    await follows(app, gdb, 'stepi 100');
    await follows(app, gdb, 'reverse-continue');
    const last = await follows(app, gdb, 'stepi 10');
    await gdb.end();
    const left = await app.until('no gdb', (state) => state.bridge === 'waiting for gdb');
    assert.equal(left.icount, last.icount);
  });
});

test('gdb is stopped and let go from the page, and another comes', async () => {
  await using('uaf', async (app, joined) => {
    await join(app, await joined.code());
    const gdb = new Gdb();
    await gdb.do(`target remote ${joined.target()}`);
    // Ctrl-C in gdb, in a run that lasts.
    await follows(app, gdb, 'monitor start');
    const end = (await app.state()).end;
    const run = gdb.do('continue');
    await app.until('a run', (state) => state.bridge === 'gdb runs');
    gdb.interrupt();
    assert.match(await run, /SIGINT/);
    const { icount } = await gdb.position();
    await app.until('the place', (state) => state.icount === icount);
    assert.ok(icount > 0 && icount < end);

    await app.click(GDB);
    await app.click(DISCONNECT);
    await app.until('no bridge', (state) => state.bridge === 'not connected');
    await gdb.end();
    assert.match(joined.said(), /the page has gone/);
    await app.page.keyboard.press('Escape');
    await app.until('no dialog', (state) => !state.dialog);

    // The page moves again, and another code lets it in again.
    await app.page.keyboard.press('Home');
    await app.until('the start', (state) => state.icount === 0 && !state.is_busy);
    await join(app, await joined.code());
    const other = new Gdb();
    await other.do(`target remote ${joined.target()}`);
    assert.equal((await other.position()).icount, 0);
    await other.end();
  });
});

test('a code that has been used lets nobody in', async () => {
  await using('uaf', async (app, joined) => {
    const code = await joined.code();
    await join(app, code);
    const other = await open(browser, `${server.url}#trace=${await demo('uaf')}`);
    try {
      await other.until('a recording', (state) => state.verified_hash && !state.is_busy);
      await join(other, code, 'failed');
      assert.match(joined.said(), /refused \(410\)/);
      // A link cannot do what the person has to do.
      await other.page.evaluate((code) => (location.hash += `&bridge=${code}&code=${code}`), code);
      await other.until('a page that stays alone', (state) => state.bridge === 'failed' || state.bridge === 'not connected');
    } finally {
      await other.close();
    }
    assert.equal((await app.state()).bridge, 'waiting for gdb');
  });
});
