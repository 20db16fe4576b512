// People's own programs in the page: Debian's compiler and Python in containers, on a folder of this computer's, with a network by
// fetch; recorded, and replayed and debugged when folder and servers are gone.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PATIENCE_MS, using } from './support/app.mjs';
import { launch, open } from './support/browser.mjs';
import { SITE_FOLDER, replayed, reprise, serveSite } from './support/server.mjs';

const FILES = fileURLToPath(new URL('../debian/', import.meta.url));
/// Several waits, each with its own limit.
const LIMIT = { timeout: 4 * PATIENCE_MS };

let browser;
let folder;
let site;
before(async () => {
  browser = await launch();
  folder = await mkdtemp(path.join(tmpdir(), 'reprise-debian-'));
  site = path.join(folder, 'site');
  for (const name of ['gcc', 'python']) {
    const image = `oci:${path.join(process.env.REPRISE_TEST_IMAGES, name)}:latest`;
    const made = await reprise('convert', image, '-o', site, '--site', SITE_FOLDER, '--title', `Debian with ${name}`);
    assert.equal(made.status, 0, made.stderr);
  }
}, LIMIT);
after(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
}, LIMIT);

/// Records what is typed into a container that works in a folder with these files of `tests/debian`; where the trace is, when folder
/// and page are gone. `isDone` says of what is on the screen whether that was all.
async function recorded(name, files, { hasNetwork, typed, isDone, endsItself }) {
  const project = path.join(folder, `${name}-project`);
  await mkdir(project);
  for (const file of files) {
    await copyFile(path.join(FILES, file), path.join(project, file));
  }
  await writeFile(path.join(project, 'served.txt'), 'a file of the folder\n');
  const trace = path.join(folder, `${name}.rpt`);
  const server = await serveSite(site);
  let end;
  let screen;
  try {
    // What the test's own server shows for a certificate is none that a browser knows.
    const page = await open(browser, server.url, { ignoreHTTPSErrors: true });
    await using(page, async (app) => {
      await app.clickNode('a choice of containers', (node) => node.role === 'ComboBox');
      await app.click(`Debian with ${name}`);
      const chooser = app.page.waitForEvent('filechooser');
      await app.click('Pick a folder…');
      await (await chooser).setFiles(project);
      await app.node('the folder', (node) => node.value === path.basename(project));
      if (hasNetwork) {
        await app.click('Network');
      }
      await app.shot(`debian-${name}-start`);
      await app.click('Boot Linux');
      await app.until('a prompt', (state) => state.mode === 'running' && /# $/.test(`${state.screen.trimEnd()} `));
      await app.page.keyboard.type(`${typed}\n`);
      ({ screen } = await app.until('the end of what was typed', (state) => isDone(state.screen)));
      await app.shot(`debian-${name}-done`);
      if (!endsItself) {
        await app.click('Pause');
      }
      const mode = endsItself ? 'halted' : 'paused';
      await app.until('a rest', (state) => state.mode === mode && !state.is_busy);
      ({ end } = await app.state());
      await app.click('Share');
      const begun = app.page.waitForEvent('download');
      await app.click('Save file');
      await (await begun).saveAs(trace);
    });
  } finally {
    await server.stop();
    await rm(project, { recursive: true });
  }
  return { trace, end, screen };
}

/// What gdb says to commands, on a recording, then what Reprise says meanwhile.
async function gdb(trace, ...commands) {
  const words = commands.flatMap((command) => ['-ex', command]);
  const { status, stdout, stderr } = await reprise('gdb', trace, '--', '-batch', ...words);
  assert.equal(status, 0, stderr);
  return stdout + stderr;
}

/// Whether texts stand in another in this order.
function assertOrder(said, texts) {
  let rest = said;
  for (const text of texts) {
    const at = rest.indexOf(text);
    assert.notEqual(at, -1, `“${text}” is missing, in this order, from:\n${said}`);
    rest = rest.slice(at + text.length);
  }
}

test('a C program of a picked folder is compiled, run and debugged', LIMIT, async () => {
  const { trace, end, screen } = await recorded('gcc', ['sum.c', 'Makefile'], {
    typed: 'make && gdb -q -batch -ex "break sum.c:9" -ex run -ex "print total" ./sum && exec ./sum',
    isDone: (screen) => /the sum is 1010/.test(screen),
    endsItself: true,
  });
  assertOrder(screen, ['cc -g -O0 -o sum sum.c', 'Breakpoint 1, sum (numbers=', '$1 = 1010', 'the sum is 1010']);
  assert.equal((await replayed(trace)).icount, end);
  // From the wrong sum back to the element too many. The third of the programs that gdb meets is the one of the shell's process.
  const continues = Array.from({ length: 3 }, () => 'continue');
  const toTheSum = ['catch exec', ...continues, 'delete', 'break sum.c:9', 'continue', 'print total'];
  const said = await gdb(trace, ...toTheSum, 'watch total', 'reverse-continue', 'print i', 'print count');
  assertOrder(said, ['executing new program: /workspace/sum', '$1 = 1010', 'New value = 10', '$2 = 4', '$3 = 4']);
});

/// Servers over HTTP and HTTPS that any page may read.
async function webServers() {
  const [certificate, key] = ['server.pem', 'key.pem'].map((name) => path.join(folder, name));
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'],
    ...['-subj', '/CN=a server of the tests', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate],
  ]);
  const child = spawn('python3', [path.join(FILES, 'server.py'), certificate, key], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const line = await new Promise((resolve) => createInterface({ input: child.stdout }).once('line', resolve));
  return {
    ports: line.split(' '),
    stop: () => {
      child.stdin.end();
      return ended;
    },
  };
}

test('Python serves, and fetches over HTTP and HTTPS', LIMIT, async () => {
  const servers = await webServers();
  const [plain, secure] = servers.ports;
  const typed = `exec python3 client.py http://10.0.2.2:${plain} https://10.0.2.2:${secure}`;
  let recording;
  try {
    recording = await recorded('python', ['client.py'], {
      hasNetwork: true,
      typed,
      isDone: (screen) => /^https:.*^bytes:/ms.test(screen),
      endsItself: true,
    });
  } finally {
    await servers.stop();
  }
  const { trace, end, screen } = recording;
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => Number((BigInt(at) * BigInt(at)) % 251n)));
  const hash = createHash('sha256').update(bytes).digest('hex');
  const fetched = ['200 hello from outside', 'echoed: posted bytes', `bytes: ${hash}`];
  const expected = ['served: a file of the folder', 'http:', ...fetched, 'https:', ...fetched];
  assertOrder(screen, expected);
  assert.equal((await replayed(trace)).icount, end);
  const told = await reprise('scrub', trace);
  assertOrder(told.stdout, ['fetched', `http://127.0.0.1:${plain}/hello`, `https://127.0.0.1:${secure}/hello`]);
  const said = await gdb(trace, 'monitor catch syscall connect', 'monitor end', 'reverse-continue', 'reverse-continue');
  assertOrder(said, ['connect returns', 'calls connect(']);
});
