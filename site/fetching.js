// What an engine needs from outside: the guest, images and traces. Each failure is an Error whose message is one sentence for the
// person.

/// Of an image or trace, compressed or not: more than any engine in a browser could hold.
const BYTES_MAX = 1 << 30;
/// Of an image that comes as a whole because a server has no ranges; the engine holds no more.
const WHOLE_BYTES_MAX = 512 << 20;
/// A part that takes longer than this, in milliseconds, has broken off.
const PART_PATIENCE_MS = 60_000;
/// Images are kept here under their hash, as they are on the site. They never change, so nothing is ever stale.
const CACHE_NAME = 'reprise-images';

/// What `guest.json` of this build says.
export async function fetchGuest(want, siteUrl, progress) {
  return download(new URL('guest.json', import.meta.url), 'the default guest', progress);
}

/// How a container of the site is run.
export async function fetchContainer(want, siteUrl, progress) {
  if (!/^containers\/[\w.-]+\.json$/.test(want.file)) {
    throw new Error(`“${want.file}” is no container of this site`);
  }
  return download(new URL(want.file, siteUrl), 'the container', progress);
}

/// A trace: relative to the site, or anywhere. What comes of it is handed to `part` as it comes, until that says no.
export async function fetchTrace(want, siteUrl, progress, part) {
  let url;
  try {
    url = new URL(want.url, siteUrl);
  } catch {
    throw new Error(`“${want.url}” is no address of a trace`);
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new Error(`a trace can be fetched by http and https, not from ${url.protocol}`);
  }
  return download(url, 'the trace', progress, { part });
}

/// An image by its hash: from the cache, else from the site.
export async function fetchImage(want, siteUrl, progress) {
  if (!/^[0-9a-f]{64}$/.test(want.hash)) {
    throw new Error(`“${want.hash}” is no hash of an image`);
  }
  // Two engines that want the same image fetch it once.
  return locked(`${CACHE_NAME} ${want.hash}`, async () => {
    const cache = await openCache();
    const url = imageUrl(want, siteUrl);
    const kept = await cache?.match(url);
    if (kept !== undefined) {
      try {
        return await unpacked(new Uint8Array(await kept.arrayBuffer()), want);
      } catch {
        await cache.delete(url);
      }
    }
    return downloadImage(want, url, cache, progress, 'default');
  });
}

/// The image anew, past every cache: what was had before was not it.
export async function refetchImage(want, siteUrl, progress) {
  const cache = await openCache();
  const url = imageUrl(want, siteUrl);
  await cache?.delete(url);
  return downloadImage(want, url, undefined, progress, 'reload');
}

function imageUrl(want, siteUrl) {
  return new URL(`images/${want.hash}.gz`, siteUrl);
}

/// The hashes of a disk image's parts, from the site. Where there are none the engine wants the whole image next.
export async function fetchTree(want, siteUrl, progress) {
  return download(rawUrl(want, siteUrl, '.tree'), 'it', progress, { bytes: want.byte_len });
}

/// A part of a disk image: from the cache, else from the site. Where that has no ranges, the whole image.
export async function fetchPart(want, siteUrl, progress) {
  const key = partKey(want, siteUrl);
  // Two engines that want the same part fetch it once.
  return locked(`${CACHE_NAME} ${key.search} ${want.hash}`, async () => {
    const cache = await openCache();
    const kept = await cache?.match(key);
    return kept === undefined
      ? downloadPart(want, siteUrl, cache, key, progress, 'default')
      : new Uint8Array(await kept.arrayBuffer());
  });
}

/// The part anew, past every cache: what was had before was not it.
export async function refetchPart(want, siteUrl, progress) {
  const key = partKey(want, siteUrl);
  await (await openCache())?.delete(key);
  return downloadPart(want, siteUrl, undefined, key, progress, 'reload');
}

function rawUrl({ hash }, siteUrl, ending = '') {
  if (!/^[0-9a-f]{64}$/.test(hash)) {
    throw new Error(`“${hash}” is no hash of an image`);
  }
  return new URL(`images/${hash}${ending}`, siteUrl);
}

/// Under what a part is kept: no address of the site's.
function partKey(want, siteUrl) {
  const url = rawUrl(want, siteUrl);
  url.search = `part=${want.offset}-${want.offset + want.length}`;
  return url;
}

/// HTTP ranges (RFC 9110, 14).
async function downloadPart(want, siteUrl, cache, key, progress, mode) {
  const url = rawUrl(want, siteUrl);
  const last = want.offset + want.length - 1;
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), PART_PATIENCE_MS);
  try {
    const range = { headers: { Range: `bytes=${want.offset}-${last}` }, signal: late.signal };
    const response = await respond(url, 'it', { mode, range });
    if (response.status !== 206) {
      // All of it takes as long as it takes.
      clearTimeout(timer);
    }
    return await readPart(response, url, want, cache, key, progress);
  } finally {
    clearTimeout(timer);
  }
}

/// What an answer to a request for a part holds: that, or the whole image.
async function readPart(response, url, want, cache, key, progress) {
  const isPart = response.status === 206;
  if (!isPart && want.byte_len > WHOLE_BYTES_MAX) {
    await response.body.cancel();
    throw new Error(`the server of ${whose(url)} has no ranges, and the whole of it is too large for a page`);
  }
  const length = isPart ? want.length : want.byte_len;
  const bytes = await readResponse(response, url, 'it', length, progress, length);
  if (isPart) {
    await keep(cache, key, bytes);
  }
  return bytes;
}

/// A full disk or a private window keeps nothing: it is fetched again next time.
async function keep(cache, key, bytes) {
  try {
    await cache?.put(key, new Response(bytes));
  } catch {
    // As said.
  }
}

async function downloadImage(want, url, cache, progress, mode) {
  // The engine says which image it is about.
  const what = 'it';
  const help = 'record with --embed to put a guest of your own into the trace';
  const packed = await download(url, what, progress, { mode, help, bytes: want.byte_len });
  const bytes = await unpacked(packed, want).catch(() => {
    throw new Error(`${what} arrived damaged: try again`);
  });
  await keep(cache, url, packed);
  return bytes;
}

/// Decompresses an image. A server may have done so already, or have it as it is.
async function unpacked(bytes, want) {
  const isPacked = bytes.length !== want.byte_len && bytes[0] === 0x1f && bytes[1] === 0x8b;
  if (!isPacked) {
    return bytes;
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return readAll(stream.getReader(), BYTES_MAX, () => {});
}

const whose = (url) => (url.origin === self.location.origin ? 'this site' : url.host);

/// All bytes at an address, or none where they are handed to `part` as they come.
async function download(url, what, progress, { mode = 'default', help, bytes = 0, part } = {}) {
  const response = await respond(url, what, { mode, help });
  // A length that is of compressed bytes says nothing about those that arrive here.
  const length = response.headers.has('Content-Encoding') ? bytes : Number(response.headers.get('Content-Length') ?? bytes);
  return readResponse(response, url, what, length, progress, BYTES_MAX, part);
}

/// What an address answers, if it has what is asked for.
async function respond(url, what, { mode, help, range }) {
  const from = whose(url);
  let response;
  try {
    response = await fetch(url, { cache: mode, credentials: 'omit', referrerPolicy: 'no-referrer', ...range });
  } catch {
    throw new Error(unreachable(url, what, from));
  }
  if (response.status === 404) {
    throw new Error(`${from} has nothing at ${url.pathname}${help ? `; ${help}` : ''}`);
  }
  if (!response.ok) {
    throw new Error(`${what} cannot be had: ${from} answered ${response.status} for ${url.pathname}`);
  }
  return response;
}

/// The body of an answer, of about `length` bytes and `bytesMax` at most.
async function readResponse(response, url, what, length, progress, bytesMax, part) {
  if (length > bytesMax) {
    throw new Error(`${what} is too large for a page: ${length} bytes`);
  }
  try {
    return await readAll(response.body.getReader(), bytesMax, (done) => progress(done, length), part);
  } catch (error) {
    throw error instanceof RangeError
      ? new Error(`${what} is too large for a page`)
      : new Error(`${what} broke off while it was fetched from ${whose(url)}: try again`);
  }
}

function unreachable(url, what, from) {
  if (self.location.protocol === 'https:' && url.protocol === 'http:') {
    return `${what} cannot be had from ${from}: a page that came by https may not fetch by http`;
  }
  if (url.origin === self.location.origin) {
    return `${what} cannot be had: ${from} does not answer; is the network there?`;
  }
  return `${what} cannot be had from ${from}: it does not answer, or it does not let other sites’ pages read it (its \
server would have to send Access-Control-Allow-Origin); download the file and open it here`;
}

async function readAll(reader, bytesMax, tell, part) {
  const pieces = [];
  const take = part ?? ((piece) => pieces.push(piece) > 0);
  let length = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    length += next.value.length;
    if (length > bytesMax) {
      await reader.cancel();
      throw new RangeError('too large');
    }
    if (!take(next.value)) {
      await reader.cancel();
      break;
    }
    tell(length);
  }
  const all = new Uint8Array(part === undefined ? length : 0);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/// The cache, or nothing where the browser has none for this page: by http from elsewhere, in some private windows.
async function openCache() {
  try {
    return await caches.open(CACHE_NAME);
  } catch {
    return undefined;
  }
}

function locked(name, action) {
  return navigator.locks === undefined ? action() : navigator.locks.request(name, action);
}
