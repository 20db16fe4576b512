// A screen in memory, and pictures of it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { deflateSync } from 'node:zlib';
import { PATIENCE_MS, atMost } from './app.mjs';

/// How long the end of a program may take before it is killed.
export const GRACE_MS = 10_000;

/// Starts an X server that draws into memory. `display` names it; `picture` is what it shows.
export async function startScreen({ width, height }) {
  const folder = await mkdtemp(path.join(tmpdir(), 'reprise-screen-'));
  // Killed with this process, however that ends; a program in it ends when its screen does.
  const server = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'Xvfb', '-displayfd', '3', '-screen', '0', `${width}x${height}x24`],
      ...['-fbdir', folder, '-nolisten', 'tcp'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  server.stderr.on('data', (bytes) => (said += bytes));
  const ended = new Promise((resolve) => {
    server.on('error', resolve);
    server.on('exit', (status, signal) => resolve(new Error(`Xvfb ended with ${signal ?? status}: ${said}`)));
  });
  const stop = async () => {
    server.kill();
    await atMost(GRACE_MS, ended).catch(() => server.kill('SIGKILL'));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const failed = ended.then((error) => Promise.reject(error));
    const [number] = await atMost(PATIENCE_MS, Promise.race([once(createInterface(server.stdio[3]), 'line'), failed]));
    const picture = async () => pictureFromDump(await readFile(path.join(folder, 'Xvfb_screen0')));
    return { display: `:${number}`, picture, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/// The variables with which a program draws there, without a graphics card.
export function environment(screen) {
  const env = { ...process.env, DISPLAY: screen.display, LIBGL_ALWAYS_SOFTWARE: '1' };
  // It would open its window there instead.
  delete env.WAYLAND_DISPLAY;
  delete env.WAYLAND_SOCKET;
  return env;
}

/// What an X window dump (XWDFile.h, version 7) holds, three bytes a pixel.
function pictureFromDump(dump) {
  const word = (at) => dump.readUInt32BE(4 * at);
  const [headerBytes, width, height, isBigEndian] = [word(0), word(4), word(5), word(7)];
  const [pixelBits, rowBytes, colors] = [word(11), word(12), word(19)];
  if (word(1) !== 7 || pixelBits !== 32 || isBigEndian !== 0) {
    throw new Error(`the screen has ${pixelBits} bits a pixel, in an order that is not known here`);
  }
  const COLOR_BYTES = 12;
  const pixels = dump.subarray(headerBytes + colors * COLOR_BYTES);
  const bytes = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [from, to] = [y * rowBytes + 4 * x, 3 * (y * width + x)];
      bytes[to] = pixels[from + 2];
      bytes[to + 1] = pixels[from + 1];
      bytes[to + 2] = pixels[from];
    }
  }
  return { width, height, bytes };
}

/// How many colors a picture has.
export function colorCount({ bytes }) {
  const colors = new Set();
  for (let at = 0; at < bytes.length; at += 3) {
    colors.add(bytes.readUIntBE(at, 3));
  }
  return colors.size;
}

/// Writes a picture as PNG (PNG 1.2).
export async function savePicture({ width, height, bytes }, file) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // Eight bits, red, green and blue.
  header.set([8, 2, 0, 0, 0], 8);
  const rows = Buffer.alloc(height * (1 + 3 * width));
  for (let y = 0; y < height; y++) {
    bytes.copy(rows, y * (1 + 3 * width) + 1, 3 * width * y, 3 * width * (y + 1));
  }
  const chunks = [chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))];
  await writeFile(file, Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...chunks]));
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}

/// The checksum of a chunk (PNG 1.2, 3.4).
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
  }
  return ~crc >>> 0;
}
