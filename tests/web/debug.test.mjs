// From each demo's end to its bug's cause, by what a person clicks and types.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { using } from './support/app.mjs';
import { launch, open } from './support/browser.mjs';
import { demo, serve } from './support/server.mjs';

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

/// Opens a demo's recording, and waits until it has been gone through.
async function debugging(name, action) {
  await using(await open(browser, `${server.url}#trace=${await demo(name)}`), async (app) => {
    await app.until('a recording that has been gone through', (state) => state.verified_hash && !state.is_busy);
    await action(app);
    await app.shot(`cause-${name}`);
  });
}

/// Number of the line of a demo's source with a text.
async function lineWith(file, text) {
  const demos = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../guest/demos');
  const source = await readFile(path.join(demos, file), 'utf8');
  return source.split('\n').findIndex((line) => line.includes(text)) + 1;
}

/// Clicks a button that runs or seeks, and waits for where that ends.
async function going(app, label, from) {
  await app.click(label);
  return app.until(`the end of “${label}”`, (state) => !state.is_busy && state.icount !== from);
}

/// Value of a variable that is shown, by its whole name.
async function variable(app, name) {
  const start = `variable ${name} = `;
  await app.fresh();
  const node = await app.node(`the variable ${name}`, (node) => node.label?.startsWith(start));
  return node.label.slice(start.length).replace(/, changed$/, '');
}

test('the use after free: from the signal back to the free', async () => {
  await debugging('uaf', async (app) => {
    const begin = await going(app, 'Program', (await app.state()).icount);
    await app.click('Stops');
    await app.click('add a stop: signal');
    const crash = await going(app, 'Run', begin.icount);
    assert.match(crash.reasons.join(), /signal/i);
    await app.click('Stack');
    await app.fresh();
    const bug = await lineWith('uaf.c', 'parent->links_out++');
    await app.clickFitting(new RegExp(`^frame \\d+: follow_link at uaf\\.c:${bug}$`));
    await app.click('Variables');
    assert.match(await variable(app, 'parent'), /^0x/);

    await app.click('Stops');
    await app.enter('place of the breakpoint', 'free');
    const freed = await going(app, 'Run back', crash.icount);
    assert.equal(freed.met.length, 1);
    assert.ok(freed.icount < crash.icount);
    await app.click('Stack');
    await app.fresh();
    for (const frame of [/^frame 0: free/, /: grow at uaf/, /: find_page at uaf/, /: follow_link at uaf/]) {
      await app.node(`the call ${frame}`, (node) => frame.test(node.label ?? ''));
    }
    // What is freed is what `parent` points into.
    await app.clickFitting(/: follow_link at uaf/);
    await app.click('Variables');
    const parent = BigInt(await variable(app, 'parent'));
    await app.click('Stack');
    await app.fresh();
    await app.clickFitting(/: grow at uaf/);
    await app.click('Variables');
    const slots = BigInt((await variable(app, 'old_slots')).split(' ')[0]);
    const count = BigInt(await variable(app, 'old_count'));
    assert.ok(parent >= slots && parent < slots + count * 112n, `${parent} in ${count} slots from ${slots}`);
  });
});

test('the race: from the message back to the store that put the counter back', async () => {
  await debugging('race', async (app) => {
    const begin = await going(app, 'Program', (await app.state()).icount);
    await app.click('Stops');
    await app.enter('place of the breakpoint', `race.c:${await lineWith('race.c', 'printf("tile %d')}`);
    const found = await going(app, 'Run', begin.icount);
    assert.equal(found.met.length, 1);
    await app.click('Variables');
    const tile = Number(await variable(app, 'i'));
    await app.enter('expression to show', 'times_rendered[i]');
    assert.match(await variable(app, 'times_rendered[i]'), /^2\b/);

    // Who rendered it the second time.
    await app.click('Stops');
    await app.enter('address of the watchpoint', 'times_rendered[i]');
    await app.node('the watchpoint', (node) => /^stop \d+: writes of times_rendered\[i\]: 1 byte/.test(node.label ?? ''));
    const again = await going(app, 'Run back', found.icount);
    assert.equal(again.met.length, 1);
    await app.enter('address of the watchpoint', 'next_tile');
    await app.node('the watchpoint', (node) => /^stop \d+: writes of next_tile: 4 bytes/.test(node.label ?? ''));
    await app.clickFitting(/^stop \d+: writes of times_rendered\[i\]: 1 byte/);
    // Back over the stores until the one after which the counter is no larger than this tile.
    let here = again;
    for (let tries = 0; tries < 4; tries++) {
      here = await going(app, 'Run back', here.icount);
      await app.click('Stack');
      await app.fresh();
      await app.clickFitting(/^frame 0: take_tile at race\.c/);
      await app.click('Variables');
      await app.enter('expression to show', 'next_tile');
      await app.enter('expression to show', 'number');
      await app.atRest();
      const [counter, number] = [Number(await variable(app, 'next_tile')), Number(await variable(app, 'number'))];
      if (number + 1 < counter) {
        // This thread is about to put the counter back, over tiles that were handed out meanwhile.
        assert.ok(number <= tile && tile < counter, `${number} <= ${tile} < ${counter}`);
        return;
      }
      await app.click('Stops');
    }
    assert.fail('no store puts the counter back');
  });
});

test('the parser: from the panic to the operator and the line that was typed', async () => {
  await debugging('parser', async (app) => {
    const begin = await going(app, 'Program', (await app.state()).icount);
    await app.click('Stops');
    await app.enter('place of the breakpoint', 'rust_panic');
    const panic = await going(app, 'Run', begin.icount);
    assert.equal(panic.met.length, 1);
    await app.click('Stack');
    await app.fresh();
    await app.clickFitting(/calculate at parser\.rs/);
    await app.click('Variables');
    assert.match(await variable(app, 'operator'), /Power/);
    await app.click('Stack');
    await app.fresh();
    await app.clickFitting(/evaluate at parser\.rs/);
    await app.click('Variables');
    const line = await variable(app, 'line');
    assert.match(line, /\^-/);
    // The key that was pressed last before.
    await app.click('Inputs');
    const typed = await app.clickFitting(/^input \d+ at .*\^-/);
    const state = await app.until('the input', (state) => !state.is_busy && state.icount < panic.icount);
    assert.match(typed, /\^-/);
    assert.doesNotMatch(state.screen, /panicked/);
  });
});

test('scrubbing: the terminal follows the mouse, and the position follows the terminal', async () => {
  await debugging('parser', async (app) => {
    const { end } = await app.state();
    const y = (await app.timelinePoint(end))[1];
    const x = async (icount) => (await app.timelinePoint(icount))[0];
    await app.page.mouse.move(await x(end * 0.99), y);
    await app.page.mouse.down();
    const seen = new Set();
    for (const part of [0.98, 0.96, 0.94, 0.92, 0.5]) {
      await app.page.mouse.move(await x(end * part), y);
      const state = await app.until('the place', (state) => Math.abs(state.shown_icount - end * part) < end / 200);
      seen.add(state.screen);
    }
    await app.page.mouse.up();
    assert.ok(seen.size > 1, [...seen].join());
    const state = await app.until('the position', (state) => !state.is_busy && Math.abs(state.icount - end / 2) < end / 200);
    assert.equal(state.screen.trim(), '');
  });
});
