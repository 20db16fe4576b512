// What an engine needs from outside: the guest, images and traces. Each failure is an Error whose message is one sentence for the
// person.

/// Of an image or trace, compressed or not: more than any engine in a browser could hold.
const BYTES_MAX = 1 << 30;
/// Images are kept here under their hash, as they are on the site. They never change, so nothing is ever stale.
const CACHE_NAME = 'reprise-images';

/// What `guest.json` of this build says.
export async function fetchGuest(want, siteUrl, progress) {
  return download(new URL('guest.json', import.meta.url), 'the default guest', progress);
}

/// A trace: relative to the site, or anywhere.
export async function fetchTrace(want, siteUrl, progress) {
  let url;
  try {
    url = new URL(want.url, siteUrl);
  } catch {
    throw new Error(`“${want.url}” is no address of a trace`);
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new Error(`a trace can be fetched by http and https, not from ${url.protocol}`);
  }
  return download(url, 'the trace', progress);
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

async function downloadImage(want, url, cache, progress, mode) {
  // The engine says which image it is about.
  const what = 'it';
  const help = 'record with --embed to put a guest of your own into the trace';
  const packed = await download(url, what, progress, { mode, help, bytes: want.byte_len });
  const bytes = await unpacked(packed, want).catch(() => {
    throw new Error(`${what} arrived damaged: try again`);
  });
  try {
    await cache?.put(url, new Response(packed));
  } catch {
    // A full disk or a private window: it is fetched again next time.
  }
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

/// All bytes at an address.
async function download(url, what, progress, { mode = 'default', help, bytes = 0 } = {}) {
  const from = url.origin === self.location.origin ? 'this site' : url.host;
  let response;
  try {
    response = await fetch(url, { cache: mode, credentials: 'omit', referrerPolicy: 'no-referrer' });
  } catch {
    throw new Error(unreachable(url, what, from));
  }
  if (response.status === 404) {
    throw new Error(`${from} has nothing at ${url.pathname}${help ? `; ${help}` : ''}`);
  }
  if (!response.ok) {
    throw new Error(`${what} cannot be had: ${from} answered ${response.status} for ${url.pathname}`);
  }
  // A length that is of compressed bytes says nothing about those that arrive here.
  const length = response.headers.has('Content-Encoding') ? bytes : Number(response.headers.get('Content-Length') ?? bytes);
  if (length > BYTES_MAX) {
    throw new Error(`${what} is too large for a page: ${length} bytes`);
  }
  try {
    return await readAll(response.body.getReader(), BYTES_MAX, (done) => progress(done, length));
  } catch (error) {
    throw error instanceof RangeError
      ? new Error(`${what} is too large for a page`)
      : new Error(`${what} broke off while it was fetched from ${from}: try again`);
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

async function readAll(reader, bytesMax, tell) {
  const pieces = [];
  let length = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    pieces.push(next.value);
    length += next.value.length;
    if (length > bytesMax) {
      await reader.cancel();
      throw new RangeError('too large');
    }
    tell(length);
  }
  const all = new Uint8Array(length);
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
