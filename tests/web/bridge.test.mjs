// gdb on the page: `reprise bridge` between a real gdb and the page, which follows.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PATIENCE_MS, atMost, using } from './support/app.mjs';
import { launch, open } from './support/browser.mjs';
import { Gdb } from './support/gdb.mjs';
import { bridge, demo, serve } from './support/server.mjs';

/// What the app's buttons are called.
const PROGRAM = 'Program';
const GDB = 'gdb';
const START = 'Start';
const DISCONNECT = 'Disconnect';

/// Several waits, each with its own limit.
const LIMIT = { timeout: 3 * PATIENCE_MS };

let browser;
let server;
before(async () => {
  browser = await launch();
  server = await serve();
}, LIMIT);
after(async () => {
  await browser?.close();
  await server?.stop();
}, LIMIT);

/// Opens a demo, which has been gone through.
async function opened(name) {
  const app = await open(browser, `${server.url}#trace=${await demo(name)}`);
  await app.until('a recording that has been gone through', (state) => state.verified_hash && !state.is_busy);
  return app;
}

/// Opens a demo where its program begins, with a bridge that the page has not joined yet.
async function bridging(name, action) {
  const joined = await bridge();
  try {
    await using(await opened(name), async (app) => {
      await app.click(PROGRAM);
      await app.until('the program', (state) => state.icount > 0 && state.icount < state.end && !state.is_busy);
      await action(app, joined);
    });
  } finally {
    assert.equal(await atMost(PATIENCE_MS, joined.stop()), 0);
  }
}

/// A gdb that debugs what the page shows.
async function debugging(app, joined, action) {
  const gdb = new Gdb();
  try {
    await gdb.do(`target remote ${joined.target()}`);
    await action(gdb);
  } finally {
    gdb.kill();
  }
}

/// The next code of a bridge.
const codeOf = (joined) => atMost(PATIENCE_MS, joined.code());

/// Joins a bridge as a person does: presses the button, puts the code in, and closes the dialog.
async function join(app, code, becomes = 'waiting for gdb') {
  await app.click(GDB);
  await app.until('the dialog', (state) => state.dialog);
  await app.focusedField();
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

test('gdb debugs what the page shows, and the page follows', LIMIT, async () => {
  await bridging('race', async (app, joined) => {
    const begin = (await app.state()).icount;
    await join(app, await codeOf(joined));
    await debugging(app, joined, async (gdb) => {
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
});

test('gdb is stopped and let go from the page, and another comes', LIMIT, async () => {
  await bridging('race', async (app, joined) => {
    await join(app, await codeOf(joined));
    await debugging(app, joined, async (gdb) => {
      // Ctrl-C in gdb, in a run that lasts.
      await follows(app, gdb, 'monitor start');
      const end = (await app.state()).end;
      const run = gdb.do('continue');
      // Where the wait fails first, nobody looks at the run any more.
      run.catch(() => {});
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
    });

    // The page moves again, and another code lets it in again.
    await app.page.keyboard.press('Home');
    await app.until('the start', (state) => state.icount === 0 && !state.is_busy);
    await join(app, await codeOf(joined));
    await debugging(app, joined, async (other) => {
      assert.equal((await other.position()).icount, 0);
      await other.end();
    });
  });
});

test('a code that has been used lets nobody in', LIMIT, async () => {
  await bridging('uaf', async (app, joined) => {
    const code = await codeOf(joined);
    await join(app, code);
    // The browser tells of the connection that is refused.
    const complaints = [/WebSocket connection to .* failed/];
    await using(await opened('uaf'), async (other) => {
      await join(other, code, 'failed');
      assert.match(joined.said(), /refused \(410\)/);
    }, { complaints });
    assert.equal((await app.state()).bridge, 'waiting for gdb');
  });
});

test('a link cannot do what the person has to do', LIMIT, async () => {
  await bridging('uaf', async (app, joined) => {
    const code = await codeOf(joined);
    let sockets = 0;
    app.page.on('websocket', () => (sockets += 1));
    const { icount } = await app.state();
    await app.page.evaluate(([code, icount]) => {
      location.hash += `&at=${icount}&bridge=${code}&code=${code}`;
    }, [code, icount + 1000]);
    await app.until('what the link says', (state) => state.icount === icount + 1000 && state.verified_hash && !state.is_busy);
    assert.equal((await app.state()).bridge, 'not connected');
    assert.equal(sockets, 0);
    // The code would have done, and the socket would have been seen.
    await join(app, code);
    assert.equal(sockets, 1);
  });
});
