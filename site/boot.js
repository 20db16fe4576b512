// The one part of the site that is newer than the builds it starts. It picks the build that replays the trace which the
// address names, loads that build's main.js and hands it the page. What it hands over, and the layout of site.json, must stay
// what every build that was ever published knows.

/// First bytes of a trace, and how many bytes from there on tell its machine version (traces/FORMAT.md, Preamble).
const TRACE_MAGIC = [0x89, 0x52, 0x50, 0x52, 0x0d, 0x0a, 0x1a, 0x0a];
const VERSION_BYTES_END = 16;
/// First bytes of a packed trace, and below what the next one is its machine version (The packed form).
const PACKED_MAGIC = [0x89, 0x50];
const VERSION_BYTE_END = 251;

const siteUrl = new URL('.', import.meta.url).href;
const notice = document.getElementById('notice');
const noticeText = document.getElementById('notice-text');
const noticeHelp = document.getElementById('notice-help');
const noticeProgress = document.getElementById('notice-progress');

/// What has failed stays told, whatever else gets ready.
let hasFailed = false;

/// What a build gets: where the site is, where it may draw, and how to speak to the person before it can draw.
const page = {
  siteUrl,
  app: document.getElementById('app'),
  /// Called with each new fragment that this build is to follow.
  onFragment: () => {},

  /// Says what is being waited for, and how much of it is there; 0 of 0 where that is not known.
  progress(text, done, total) {
    if (hasFailed) {
      return;
    }
    noticeText.textContent = text;
    noticeProgress.hidden = false;
    if (total > 0) {
      noticeProgress.value = Math.min(done / total, 1);
    } else {
      noticeProgress.removeAttribute('value');
    }
  },

  /// The build draws by itself from now on.
  ready() {
    notice.hidden = !hasFailed;
  },

  /// It does not go on: why, and what the person can do.
  fail(text, help) {
    hasFailed = true;
    notice.hidden = false;
    notice.classList.add('failed');
    notice.setAttribute('role', 'alert');
    noticeProgress.hidden = true;
    noticeText.textContent = text;
    noticeHelp.textContent = help ?? '';
    noticeHelp.hidden = !help;
  },
};

function versionOf(bytes) {
  const startsWith = (magic) => magic.every((byte, index) => bytes[index] === byte);
  if (!startsWith(TRACE_MAGIC) && startsWith(PACKED_MAGIC)) {
    return bytes[PACKED_MAGIC.length] < VERSION_BYTE_END ? bytes[PACKED_MAGIC.length] : undefined;
  }
  const isTrace = bytes.length >= VERSION_BYTES_END && startsWith(TRACE_MAGIC);
  return isTrace ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(12, true) : undefined;
}

function bytesFromBase64Url(text) {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

async function firstBytes(url) {
  const abort = new AbortController();
  try {
    const response = await fetch(url, { headers: { Range: `bytes=0-${VERSION_BYTES_END - 1}` }, signal: abort.signal });
    const { value } = response.ok ? await response.body.getReader().read() : {};
    return value ?? new Uint8Array();
  } finally {
    // A server that ignores ranges would go on and send all of it.
    abort.abort();
  }
}

/// The machine version that the fragment's trace was recorded on, as far as it can be told without asking anybody else.
async function wantedVersion(fragment) {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ''));
  if (parameters.has('v')) {
    return Number(parameters.get('v'));
  }
  try {
    if (parameters.has('t')) {
      return versionOf(bytesFromBase64Url(parameters.get('t').slice(0, 24)));
    }
    const url = parameters.has('trace') ? new URL(parameters.get('trace'), siteUrl) : undefined;
    // Another server is asked only after the person has agreed, which is the build's business.
    if (url?.href.startsWith(siteUrl)) {
      return versionOf(await firstBytes(url));
    }
  } catch {
    // The build that opens the trace says what is wrong with it.
  }
  return undefined;
}

/// The version to start for a fragment: the newest, except for a trace of an older one that the site still has.
async function chosenVersion(site, fragment) {
  const newest = String(site.newest);
  if (Object.keys(site.builds).length < 2) {
    return newest;
  }
  const wanted = String(await wantedVersion(fragment));
  return Object.hasOwn(site.builds, wanted) ? wanted : newest;
}

async function readSite() {
  const response = await fetch(new URL('site.json', siteUrl), { cache: 'no-cache' });
  if (!response.ok) {
    throw new Error(`site.json: the server answered ${response.status}`);
  }
  return response.json();
}

async function boot() {
  const site = await readSite();
  const version = await chosenVersion(site, location.hash);
  addEventListener('hashchange', async () => {
    if ((await chosenVersion(site, location.hash)) === version) {
      page.onFragment(location.hash);
    } else {
      location.reload();
    }
  });
  const build = await import(new URL(`${site.builds[version]}/main.js`, siteUrl));
  await build.run(page);
}

boot().catch((error) => {
  console.error(error);
  page.fail(
    `Reprise did not start: ${error.message ?? error}`,
    'Load the page again. If that does not help, the site may be incomplete: tell whoever hosts it.',
  );
});
