// What a person does with the page: boots a machine, types, goes back, shares, and opens what others have shared.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { using as useApp } from './support/app.mjs';
import { launch, open } from './support/browser.mjs';
import { SITE_FOLDER, demo, plainServer, replayed, reprise, saveShared, serve } from './support/server.mjs';

/// What the app's buttons are called.
const PAUSE = 'Pause';
const SHARE = 'Share';
const STEP_BACK = 'Step back';
const RUN_BACK = 'Run back';

let browser;
let server;
let folder;
before(async () => {
  browser = await launch();
  server = await serve();
  folder = await mkdtemp(path.join(tmpdir(), 'reprise-web-'));
});
after(async () => {
  await browser.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

/// Opens the page and lets `action` use it.
async function using(url, action, options) {
  await useApp(await open(browser, url), action, options);
}

test('boot, type, pause, go back, share, open the link elsewhere', async () => {
  let link;
  let hash;
  await using(server.url, async (app) => {
    await app.boot();
    await app.page.keyboard.type('echo $((6 * 7)) times\n');
    await app.until('the answer', (state) => /^42 times\s*$/m.test(state.screen));
    await app.click(PAUSE);
    const paused = await app.until('a pause', (state) => state.mode === 'paused');
    await app.shot('paused');

    const row = paused.screen.split('\n').findIndex((line) => line.startsWith('42 times'));
    await app.clickCharacter(row, 0);
    const printed = await app.until('the output’s position', (state) => state.icount < paused.icount && !state.is_busy);
    // There, the character is about to be printed.
    assert.doesNotMatch(printed.screen, /^42 times/m);
    assert.match(printed.screen, /echo \$\(\(6 \* 7\)\) times/);
    await app.shot('clicked');
    await app.click(STEP_BACK);
    await app.until('a step back', (state) => state.icount < printed.icount && !state.is_busy);

    await app.click(SHARE);
    link = (await app.until('a link', (state) => state.link?.includes('#t='))).link;
    await app.shot('share');
    hash = (await app.whole()).verified_hash;
  });
  const trace = path.join(folder, 'shared.rpt');
  await saveShared(link, trace);
  assert.equal(hash, (await replayed(trace)).hash);
  await using(link, async (app) => {
    assert.equal((await app.whole()).verified_hash, hash);
    assert.match((await app.state()).whole_screen, /42 times/);
    await app.shot('opened-link');
  });
});

for (const name of ['race', 'uaf', 'parser']) {
  test(`the demo ${name} opens and is the recorded execution`, async () => {
    const file = await demo(name);
    const native = await replayed(path.join(SITE_FOLDER, file));
    await using(`${server.url}#trace=${file}`, async (app) => {
      const state = await app.whole();
      assert.equal(state.verified_hash, native.hash);
      assert.equal(state.end, native.icount);
      await app.shot(`demo-${name}`);
    });
  });
}

for (const [name, typed] of [
  ['race', ''],
  ['uaf', ''],
  ['parser', '1 + 2\n2^-1\n'],
]) {
  test(`the demo ${name} recorded in the page replays natively`, async () => {
    const trace = path.join(folder, `${name}.rpt`);
    await using(server.url, async (app) => {
      await app.click('command to run');
      await app.page.keyboard.type(`/demos/${name}`);
      await app.click('Boot Linux');
      if (typed !== '') {
        await app.until('the program', (state) => state.screen?.includes('> '));
        await app.page.keyboard.type(typed);
      }
      await app.until('the end', (state) => state.mode === 'halted');
      const hash = (await app.whole()).verified_hash;
      await app.click(SHARE);
      const { link } = await app.until('a link', (state) => state.link?.includes('#t='));
      await saveShared(link, trace);
      const native = await replayed(trace);
      assert.equal(native.hash, hash);
      await app.shot(`recorded-${name}`);
    });
  });
}

test('a position in the link is where it opens', async () => {
  await using(`${server.url}#trace=${await demo('race')}&at=60000000`, async (app) => {
    await app.until('the position', (state) => state.icount === 60_000_000 && !state.is_busy);
    await app.click(RUN_BACK);
    await app.until('the start', (state) => state.icount === 0 && !state.is_busy);
  });
});

/// A trace from `url` does not open: the page says why, and then opens another.
async function fails(url, why) {
  await using(
    url,
    async (app) => {
      const state = await app.until('a failure', (state) => state.failure);
      assert.match(state.failure, why);
      await app.shot(`failure-${why.source.replaceAll(/[^a-z]+/gi, '-')}`);
      const good = await demo('uaf');
      await app.page.evaluate((good) => (location.hash = `#trace=${good}`), good);
      await app.until('another trace', (state) => state.end > 0 && !state.failure);
    },
    { complaints: [/Failed to load resource/] },
  );
}

test('a trace that is not there', async () => {
  await fails(`${server.url}#trace=traces/none.rpt`, /this site has nothing at .*traces\/none\.rpt/);
});

test('a file that is no trace, and a damaged trace', async () => {
  const whole = await readFile(path.join(SITE_FOLDER, await demo('race')));
  const damaged = Buffer.from(whole);
  damaged[40] ^= 0xff;
  const answers = {
    'traces/no.rpt': { bytes: 'not a trace at all, but long enough for one' },
    'traces/damaged.rpt': { bytes: damaged },
    'traces/short.rpt': { breaksOff: true },
  };
  const other = await plainServer({ answers });
  try {
    await fails(`${other.url}#trace=traces/no.rpt`, /not a Reprise trace/);
    await fails(`${other.url}#trace=traces/damaged.rpt`, /damaged/);
    await fails(`${other.url}#trace=traces/short.rpt`, /broke off/);
  } finally {
    await other.stop();
  }
});

test('a machine that is too large for a page', async () => {
  const large = path.join(folder, 'large.rpt');
  const recorded = await reprise('record', '--quiet', '--ram', '2048', '-o', large, '--', '/bin/true');
  assert.equal(recorded.status, 0, recorded.stderr);
  const other = await plainServer({ answers: { 'traces/large.rpt': { bytes: await readFile(large) } } });
  try {
    await fails(`${other.url}#trace=traces/large.rpt`, /2048 MiB of RAM/);
  } finally {
    await other.stop();
  }
});

test('below a folder, from a server without ranges', async () => {
  const other = await plainServer({ prefix: '/some/where/' });
  try {
    await using(`${other.url}#trace=${await demo('uaf')}`, async (app) => {
      const { verified_hash } = await app.whole();
      // What this computer alone can fetch is put into the link.
      await app.click(SHARE);
      const { link } = await app.until('a link', (state) => state.link);
      assert.match(link, /#t=/);
      const saved = path.join(folder, 'of-a-link.rpt');
      await saveShared(link, saved);
      assert.equal((await replayed(saved)).hash, verified_hash);
    });
  } finally {
    await other.stop();
  }
});

test('a trace is replayed while the rest of it is coming', async () => {
  const plain = path.join(folder, 'coming-plain.rpt');
  const trace = path.join(folder, 'coming.rpt');
  const script = 'echo the first line; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo the last line';
  const recorded = await reprise('record', '--quiet', '-o', plain, '--', '/bin/sh', '-c', script);
  assert.equal(recorded.status, 0, recorded.stderr);
  // With snapshots there are bytes between its events.
  const indexed = await reprise('index', plain, '-o', trace, '--every', '2097152');
  assert.equal(indexed.status, 0, indexed.stderr);
  const { icount, hash } = await replayed(trace);
  const bytes = await readFile(trace);
  const held = bytes.length - 200_000;
  let response;
  const headers = { 'Content-Length': bytes.length };
  const slowly = (other) => {
    response = other;
    response.writeHead(200, headers);
    response.write(bytes.subarray(0, held));
  };
  const other = await plainServer({ answers: { 'traces/coming.rpt': { answer: slowly } } });
  const opened = async (app, how) => {
    const { end } = await app.until('what is there', (state) => state.arriving?.[0] === held && state.whole_screen.includes('first'));
    assert.ok(end > 0 && end < icount, `${end} of ${icount}`);
    const there = await app.until('the end of it', (state) => state.icount === end);
    assert.doesNotMatch(there.whole_screen, /the last line/);
    await app.shot(`coming-${how}`);
    // The person goes where they like in it.
    await app.click(STEP_BACK);
    await app.until('a step back', (state) => state.icount < end);
    return end;
  };
  try {
    await using(`${other.url}#trace=traces/coming.rpt`, async (app) => {
      await opened(app, 'whole');
      response.end(bytes.subarray(held));
      const whole = await app.whole();
      assert.deepEqual([whole.verified_icount, whole.verified_hash], [icount, hash]);
      assert.match(whole.whole_screen, /the last line/);
      assert.equal(whole.arriving, null);
      assert.ok(whole.icount < whole.end, 'it has stayed where the person went');
    });
    await using(
      `${other.url}#trace=traces/coming.rpt`,
      async (app) => {
        const end = await opened(app, 'broken-off');
        response.destroy();
        const { failure } = await app.until('why it ends there', (state) => state.failure);
        assert.match(failure, /the rest of the recording is missing, what is here replays: .*broke off/);
        const whole = await app.whole();
        assert.deepEqual([whole.end, whole.verified_icount], [end, end]);
        await app.shot('broken-off');
      },
      { complaints: [/Failed to load resource|net::ERR/] },
    );
  } finally {
    await other.stop();
  }
});

test('a disk is read in parts, and each part once', async () => {
  const disk = path.join(folder, 'disk.img');
  await writeFile(disk, randomBytes(24 << 20));
  const trace = path.join(folder, 'disk.rpt');
  const script = 'for at in 3 20 7; do dd if=/dev/vda bs=1M skip=$at count=1 2>/dev/null | md5sum; done';
  const recorded = await reprise('record', '--quiet', '--disk', disk, '-o', trace, '--', '/bin/sh', '-c', script);
  assert.equal(recorded.status, 0, recorded.stderr);
  const { hash } = await replayed(trace);
  const own = await serve(trace);
  let address;
  let tree;
  try {
    const app = await open(browser, own.link);
    await useApp(app, async () => {
      // What the disk's parts took, in the page's two engines.
      const went = async (page) => {
        const answers = [];
        const note = (response) => /images\/[0-9a-f]{64}$/.test(response.url()) && answers.push(response);
        page.context().on('response', note);
        assert.equal((await app.whole()).verified_hash, hash);
        await app.atRest();
        page.context().off('response', note);
        return answers;
      };
      const first = await went(app.page);
      assert.ok(first.length >= 3 && first.length < 12, `${first.length} parts`);
      assert.ok(first.every((response) => response.status() === 206));
      const offsets = first.map((response) => response.request().headers().range);
      assert.equal(new Set(offsets).size, offsets.length, String(offsets));
      address = first[0].url();
      // The page is left, and everything is there at once.
      await app.page.reload();
      assert.deepEqual(await went(app.page), []);
    });
    tree = Buffer.from(await (await fetch(`${address}.tree`)).arrayBuffer());
  } finally {
    await own.stop();
  }

  // Without ranges it comes whole; without a tree, too, as other images do.
  const name = new URL(address).pathname.slice(1);
  const whole = await readFile(disk);
  const bytes = await readFile(trace);
  for (const answers of [
    { [`${name}.tree`]: { bytes: tree }, [name]: { bytes: whole } },
    { [`${name}.gz`]: { bytes: gzipSync(whole) } },
  ]) {
    const other = await plainServer({ answers: { ...answers, 'traces/disk.rpt': { bytes } } });
    try {
      await using(
        `${other.url}#trace=traces/disk.rpt`,
        async (app) => assert.equal((await app.whole()).verified_hash, hash),
        { complaints: [/Failed to load resource.*404/] },
      );
    } finally {
      await other.stop();
    }
  }
});

test('a search is divided over workers where the trace has snapshots', async () => {
  const trace = path.join(folder, 'race.rpt');
  await copyFile(path.join(SITE_FOLDER, await demo('race')), trace);
  const indexed = await reprise('index', '--every', '60000000', trace);
  assert.equal(indexed.status, 0, indexed.stderr);
  const own = await serve(trace);
  try {
    const counts = [];
    for (const processors of [2, 4]) {
      const pretend = { hardwareConcurrency: processors, deviceMemory: 8 };
      const app = await open(browser, own.link, { pretend });
      await useApp(app, async () => {
        await app.whole();
        const { icount } = await app.atRest();
        await app.click('Stops');
        await app.click('add a stop: fork');
        await app.click('find all hits of stop 1');
        const found = await app.node('hits', (node) => /^[\d ]+ hits of stop 1$/.test(node.label ?? ''));
        counts.push(found.label);
        const state = await app.atRest();
        assert.equal(state.searched_by, processors - 1);
        // The page has stayed where it was.
        assert.equal(state.icount, icount);
        // A worker for each engine, until the recording is left.
        assert.equal(app.page.workers().length, processors);
        await app.click('Start page');
        await app.until('the start page', (state) => state.mode === 'start');
        assert.equal(app.page.workers().length, 2);
      });
    }
    assert.equal(counts[0], counts[1]);
  } finally {
    await own.stop();
  }
});

test('an image that is missing, and one that is another', async () => {
  for (const [answer, why] of [
    [{ status: 404 }, /this site has nothing at .*images/],
    [{ bytes: 'another kernel' }, /this site has another one under its hash/],
  ]) {
    const answers = Object.fromEntries(
      (await readdir(path.join(SITE_FOLDER, 'images'))).map((name) => [`images/${name}`, answer]),
    );
    const other = await plainServer({ answers });
    try {
      await using(
        `${other.url}#trace=${await demo('uaf')}`,
        async (app) => {
          const state = await app.until('a failure', (state) => state.failure);
          assert.match(state.failure, why);
          // It is there again, and nothing wrong was kept.
          for (const name of Object.keys(answers)) {
            delete answers[name];
          }
          await app.page.reload();
          await app.whole();
        },
        { complaints: [/Failed to load resource/] },
      );
    } finally {
      await other.stop();
    }
  }
});
