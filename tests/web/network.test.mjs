// The network of a machine in the page: what its guest asks for is fetched by the browser.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { using as useApp } from './support/app.mjs';
import { launch, open } from './support/browser.mjs';
import { build, plainServer, replayed, serve } from './support/server.mjs';

let browser;
let folder;
before(async () => {
  browser = await launch();
  folder = await mkdtemp(path.join(tmpdir(), 'reprise-network-'));
});
after(async () => {
  await browser.close();
  await rm(folder, { recursive: true });
});

/// A server of this computer's that lets pages read it if it `isOpen`.
async function webServer(isOpen, answer) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push({ method: request.method, url: request.url, headers: request.headers });
    if (isOpen) {
      response.setHeader('Access-Control-Allow-Origin', '*');
      response.setHeader('Access-Control-Expose-Headers', '*');
    }
    answer(request, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    asked,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/// The page with a stand-in for the app, and a machine with a network in it, at its prompt.
async function booted(action) {
  const standIn = await readFile(new URL('support/stand-in.js', import.meta.url));
  const server = await plainServer({
    answers: { [`${await build()}/ui.js`]: { headers: { 'Content-Type': 'text/javascript' }, bytes: standIn } },
  });
  const app = await open(browser, server.url);
  try {
    await app.until('the page', () => true);
    await ask(app, 'boot', true);
    await app.until('a prompt', (state) => state.console.endsWith('# '));
    await action(app);
  } finally {
    await app.close();
    await server.stop();
  }
}

async function ask(app, command, argument) {
  const id = await app.page.evaluate(([command, argument]) => globalThis.say[command](argument), [command, argument]);
  const state = await app.until(`the answer to ${command}`, (state) => state.answers[id] !== undefined);
  assert.equal(state.answers[id], true);
}

/// Enters a command, and returns what it printed.
async function shell(app, command) {
  const before = (await app.state()).console.length;
  await ask(app, 'type', `${command}; echo "[$((40 + 2))]"\n`);
  const { console } = await app.until(command, (state) => state.console.slice(before).includes('[42]'));
  const [, printed] = console.slice(before).split(/"\r\n/);
  return printed.split('[42]')[0].replaceAll('\r\n', '\n');
}

test('a guest fetches over the network, is told what the browser refuses, and replays without it', async () => {
  const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, at) => at % 251));
  let hasGivenUp = false;
  const openServer = await webServer(true, (request, response) => {
    if (request.url === '/moved') {
      response.writeHead(302, { Location: '/hello' });
      response.end();
    } else if (request.url === '/large') {
      response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': bytes.length });
      response.end(bytes);
    } else if (request.url === '/slow') {
      response.writeHead(200);
      const timer = setInterval(() => response.write('some more '), 100);
      response.on('close', () => {
        hasGivenUp = true;
        clearInterval(timer);
      });
    } else if (request.method === 'POST') {
      let body = '';
      request.on('data', (data) => (body += data));
      request.on('end', () => response.end(`${body.toUpperCase()}\n`));
    } else {
      response.writeHead(200, { 'X-Own': 'yes' });
      response.end('hello from outside\n');
    }
  });
  const closedServer = await webServer(false, (request, response) => response.end('not for pages'));
  const trace = path.join(folder, 'network.rpt');
  try {
    await booted(async (app) => {
      const at = `http://10.0.2.2:${openServer.port}`;
      assert.equal(await shell(app, `wget -qO- ${at}/hello`), 'hello from outside\n');
      assert.equal(await shell(app, `wget -qO- ${at}/moved`), 'hello from outside\n');
      assert.equal(await shell(app, `wget -qO- --post-data 'some words' ${at}/post`), 'SOME WORDS\n');
      const headers = await shell(app, `wget -SqO- ${at}/hello`);
      assert.match(headers, /x-own: yes/i);

      const digest = createHash('md5').update(bytes).digest('hex');
      const began = Date.now();
      assert.equal(await shell(app, `wget -qO- ${at}/large | md5sum`), `${digest}  -\n`);
      globalThis.console.log(`3 MB in ${Date.now() - began} ms`);

      // What it gives up is given up, and the server hears of it.
      await shell(app, `timeout 1 wget -qO- ${at}/slow`);
      await app.until('an end', ({ fetches }) => fetches.some(({ failure }) => failure === 'the guest gave it up'));
      await app.until('an end at the server', () => hasGivenUp);

      // Neither cookies nor the page's path, and nothing that needs the server's leave.
      assert.ok(openServer.asked.every(({ method }) => method !== 'OPTIONS'));
      assert.ok(openServer.asked.every(({ headers }) => headers.cookie === undefined && headers.referer === undefined));

      const request = `printf 'GET /x HTTP/1.0\\r\\nHost: 10.0.2.2:${closedServer.port}\\r\\n\\r\\n'`;
      const page = await shell(app, `${request} | nc 10.0.2.2 ${closedServer.port}`);
      assert.match(page, /^HTTP\/1\.1 502 The browser refused/);
      assert.match(page, new RegExp(`did not hand over http://127.0.0.1:${closedServer.port}/x: `));
      assert.match(page, /Access-Control-Allow-Origin/);
      const refused = await shell(app, `wget -qO- ${at.replace(openServer.port, closedServer.port)}/y`);
      assert.match(refused, /502 The browser refused/);

      const { fetches } = await app.state();
      const large = fetches.find(({ url }) => url?.endsWith('/large'));
      assert.equal(large.method, 'GET');
      const ended = fetches.find(({ number, stage }) => number === large.number && stage === 'ended');
      assert.ok(ended.byteLength === bytes.length && ended.failure === undefined && ended.icount > large.icount);

      await ask(app, 'pause');
      await ask(app, 'save');
      const saved = await app.page.evaluate(() => {
        let text = '';
        for (const byte of globalThis.savedTrace) {
          text += String.fromCharCode(byte);
        }
        return btoa(text);
      });
      await writeFile(trace, Buffer.from(saved, 'base64'));
      // What the browser says of what it refuses is all that may be said.
      assert.ok(app.complaints.every((text) => /CORS|ERR_FAILED/.test(text)), app.complaints.join('\n'));
    });
  } finally {
    await openServer.stop();
    await closedServer.stop();
  }
  // Nobody is there any more.
  assert.ok((await replayed(trace)).icount > 0);
});

test('a person switches the network on, and goes to where something was fetched', async () => {
  const webSite = await webServer(true, (request, response) => response.end('hello from outside\n'));
  const server = await serve();
  try {
    await useApp(await open(browser, server.url), async (app) => {
      const at = `http://10.0.2.2:${webSite.port}/hello`;
      await app.click('Network');
      await app.boot('network-');
      await app.page.keyboard.type(`wget -qO- ${at}\n`);
      await app.until('an answer', (state) => /^hello from outside$/m.test(state.screen));
      await app.click('Pause');
      await app.until('a pause', (state) => state.mode === 'paused' && !state.is_busy);
      await app.click('Fetches');
      const label = await app.clickFitting(/^fetch at \d+: GET http:\/\/127\.0\.0\.1:\d+\/hello, 200, 19 bytes in /);
      const [, icount] = /^fetch at (\d+)/.exec(label);
      await app.until('the place', (state) => state.icount === Number(icount) && !state.is_busy);
      await app.shot('network-fetches');
    });
    // Nobody has a network who has not asked for it.
    await useApp(await open(browser, server.url), async (app) => {
      await app.boot();
      await app.page.keyboard.type('ifconfig eth0; echo $((6 * 7))\n');
      await app.until('an answer', (state) => /^42$/m.test(state.screen) && !/HWaddr/.test(state.screen));
    });
    assert.equal(webSite.asked.length, 1);
  } finally {
    await server.stop();
    await webSite.stop();
  }
});
