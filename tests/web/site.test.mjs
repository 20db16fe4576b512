// What stands around the app: the server, and what the page says when it cannot start.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import path from 'node:path';
import { launch, open } from './support/browser.mjs';
import { SITE_FOLDER, build, plainServer, reprise, serve } from './support/server.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

async function notice(url, { using = browser } = {}) {
  const app = await open(using, url);
  try {
    await app.page.locator('#notice.failed').waitFor({ timeout: 60_000 });
    return await app.notice();
  } finally {
    await app.close();
  }
}

test('the server says what a browser must know, and answers ranges', async () => {
  const server = await serve();
  try {
    const page = await fetch(server.url);
    assert.equal(page.status, 200);
    assert.equal(page.headers.get('content-type'), 'text/html');
    assert.match(page.headers.get('content-security-policy'), /default-src 'none'.*frame-ancestors 'none'/);
    assert.equal(page.headers.get('x-content-type-options'), 'nosniff');
    const again = await fetch(server.url, { headers: { 'If-Modified-Since': page.headers.get('last-modified') } });
    assert.equal(again.status, 304);
    const wasm = `${server.url}${await build()}/engine_bg.wasm`;
    const part = await fetch(wasm, { headers: { Range: 'bytes=0-3' } });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get('content-type'), 'application/wasm');
    assert.deepEqual([...new Uint8Array(await part.arrayBuffer())], [0, 0x61, 0x73, 0x6d]);
    assert.equal((await fetch(`${server.url}../Cargo.toml`)).status, 404);
    assert.equal((await fetch(`${server.url}%2e%2e/%2e%2e/Cargo.toml`)).status, 404);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});

test('a port that is taken is told', async () => {
  const server = await serve();
  try {
    const port = new URL(server.url).port;
    const second = await reprise('serve', '--site', SITE_FOLDER, '--port', port);
    assert.equal(second.status, 2);
    assert.match(second.stderr, new RegExp(`port ${port} is taken.*--port`));
  } finally {
    await server.stop();
  }
});

test('a browser without WebGL is told', async () => {
  const server = await serve();
  const bare = await launch({ hasWebGl: false });
  try {
    assert.match(await notice(server.url, { using: bare }), /cannot run here: this browser has no WebGL 2/);
  } finally {
    await bare.close();
    await server.stop();
  }
});

test('a site that lacks a file says which', async () => {
  for (const name of ['site.json', `${await build()}/ui_bg.wasm`]) {
    const server = await plainServer({ answers: { [name]: { status: 404 } } });
    try {
      const text = await notice(server.url);
      assert.match(text, /did not start/);
      assert.ok(text.includes(path.basename(name)), text);
    } finally {
      await server.stop();
    }
  }
});
