// Servers: the program's own, and one that does wrong what a test wants done wrong.

import { spawn, execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import path from 'node:path';

export const SITE_FOLDER = process.env.REPRISE_SITE_FOLDER;
const PROGRAM = process.env.REPRISE_BIN;

/// Runs the program to its end.
export async function reprise(...words) {
  try {
    return { status: 0, ...(await promisify(execFile)(PROGRAM, words, { maxBuffer: 1 << 26 })) };
  } catch (error) {
    return { status: error.code, stdout: error.stdout, stderr: error.stderr };
  }
}

/// Where a replay ends: what `reprise replay` prints last.
export async function replayed(trace) {
  const { status, stderr } = await reprise('replay', '--quiet', trace);
  if (status !== 0) {
    throw new Error(`${trace} does not replay: ${stderr}`);
  }
  const [, icount, hash] = stderr.trim().split('\n').at(-1).match(/^icount=(\d+) hash=(\S+)$/);
  return { icount: Number(icount), hash };
}

/// Writes the trace that a link carries to a file.
export async function saveShared(link, file) {
  const { status, stderr } = await reprise('save', link, '-o', file);
  if (status !== 0) {
    throw new Error(`the link cannot be saved: ${stderr}`);
  }
}

/// The folder of the newest build, relative to the site.
export async function build() {
  const site = JSON.parse(await readFile(path.join(SITE_FOLDER, 'site.json'), 'utf8'));
  return site.builds[site.newest];
}

/// Address of a demo's trace, relative to the site.
export async function demo(name) {
  const text = await readFile(path.join(SITE_FOLDER, await build(), 'demos.json'), 'utf8');
  return JSON.parse(text).find((demo) => demo.name === name).file;
}

/// `reprise serve` with these arguments; `link` is what it printed.
export function serve(...words) {
  return serveSite(SITE_FOLDER, ...words);
}

/// The same of another site.
export async function serveSite(site, ...words) {
  const process = spawn(PROGRAM, ['serve', '--port', '0', '--site', site, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => process.on('exit', (status) => resolve(status)));
  const link = await new Promise((resolve, reject) => {
    createInterface({ input: process.stdout }).once('line', resolve);
    process.on('exit', (status) => reject(new Error(`reprise serve ended with ${status}`)));
  });
  return {
    link,
    url: link.split('#')[0],
    /// Ends it as Ctrl-C does, and tells its exit status.
    stop: () => {
      process.kill('SIGINT');
      return ended;
    },
  };
}

/// `reprise bridge` at free ports.
export async function bridge(...words) {
  const process = spawn(PROGRAM, ['bridge', '--gdb-port', '0', '--port', '0', ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise((resolve) => process.on('exit', (status) => resolve(status)));
  let said = '';
  process.stderr.on('data', (bytes) => (said += bytes));
  const codes = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  return {
    /// The next code that it prints.
    code: async () => (await codes.next()).value,
    /// What it has told the person.
    said: () => said,
    /// What gdb connects to.
    target: () => /target remote (\S+)/.exec(said)[1],
    /// Ends it as Ctrl-C does, and tells its exit status.
    stop: () => {
      process.kill('SIGINT');
      return ended;
    },
  };
}

const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/// A plain server of the site below `prefix`, as a static host is one: no ranges, no headers of ours. `answers` maps a
/// path below the prefix to what is answered instead: `{ status, headers, bytes }`, `{ breaksOff: true }`, or `{ answer }`, a
/// function that is given the response.
export async function plainServer({ prefix = '/', answers = {} } = {}) {
  const server = createServer(async (request, response) => {
    const name = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    const below = name.startsWith(prefix) ? name.slice(prefix.length) : undefined;
    const found = Object.keys(answers).find((pattern) => below !== undefined && below.startsWith(pattern));
    const answer = answers[found] ?? (await fileAnswer(below));
    if (answer.breaksOff) {
      response.writeHead(200, { 'Content-Length': '1000000' });
      response.write('the beginning', () => response.destroy());
      return;
    }
    if (answer.answer) {
      answer.answer(response);
      return;
    }
    response.writeHead(answer.status ?? 200, answer.headers ?? {});
    response.end(answer.bytes ?? '');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}${prefix}`,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

async function fileAnswer(below) {
  const name = below === '' ? 'index.html' : below;
  try {
    const bytes = await readFile(path.join(SITE_FOLDER, name));
    const type = TYPES[path.extname(name)] ?? 'application/octet-stream';
    return { headers: { 'Content-Type': type, 'Content-Length': bytes.length }, bytes };
  } catch {
    return { status: 404, bytes: 'nothing here' };
  }
}
