// One build of the page: loads the app (ui.js, made by wasm-bindgen from the crate `ui`), runs its engines in workers, and does for
// it what needs a browser. The app finds all that as `repriseHost`.

import initApp, * as app from './ui.js';
import { chooseFolder, droppedFolder, folderFromFiles, walkFolder } from './folder.js';

/// A file that a person picks is at most this large; the engine would refuse a larger one.
const FILE_BYTES_MAX = 1 << 30;
const CANVAS_ID = 'reprise';

/// What this browser lacks to run the app, in a sentence, or nothing.
function missingFeature() {
  if (typeof WebAssembly !== 'object' || typeof WebAssembly.instantiateStreaming !== 'function') {
    return 'this browser has no WebAssembly, or it is switched off.';
  }
  // The canvas that the app gets must not have a context yet, so another one is tried.
  if (!document.createElement('canvas').getContext('webgl2')) {
    return 'this browser has no WebGL 2, or it is switched off.';
  }
  return undefined;
}

/// Fetches a file, telling how much of it is there, as a response that can be compiled while it comes in.
async function fetchWithProgress(url, tell) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`${new URL(url).pathname}: the server answered ${response.status}`);
  }
  // A length that is of the compressed bytes says nothing about those that arrive here.
  const isEncoded = response.headers.has('Content-Encoding');
  const total = isEncoded ? 0 : Number(response.headers.get('Content-Length') ?? 0);
  let done = 0;
  const counter = new TransformStream({
    transform(chunk, controller) {
      done += chunk.byteLength;
      tell(done, total);
      controller.enqueue(chunk);
    },
  });
  // The server may not know the type; what it is is known here.
  return new Response(response.body.pipeThrough(counter), { headers: { 'Content-Type': 'application/wasm' } });
}

/// What waits to be sent to gdb at the most, which waits for its answers; more is a gdb that reads nothing.
const BRIDGE_WAITING_BYTES_MAX = 16 << 20;

/// The connection to `reprise bridge` on this computer, which a person makes with a code.
class Bridge {
  #socket;

  open(address) {
    this.close();
    let socket;
    try {
      socket = new WebSocket(address);
    } catch (error) {
      // Later, since the app is in the middle of asking for it.
      setTimeout(() => app.bridge_closed(`this browser does not connect: ${error.message}`));
      return;
    }
    socket.binaryType = 'arraybuffer';
    let wasOpen = false;
    const ifCurrent = (action) => (event) => this.#socket === socket && action(event);
    socket.onopen = ifCurrent(() => {
      wasOpen = true;
      app.bridge_opened();
    });
    socket.onmessage = ifCurrent(({ data }) => {
      if (typeof data === 'string') {
        app.bridge_text(data);
      } else {
        app.bridge_bytes(new Uint8Array(data));
      }
    });
    // A browser does not tell a page what the other side has answered.
    socket.onclose = ifCurrent(() => {
      this.#socket = undefined;
      app.bridge_closed(
        wasOpen
          ? 'The bridge has ended the connection: look at its terminal.'
          : 'No connection: is `reprise bridge` running, and is this the code that it printed last? Its terminal says whom it refused.',
      );
    });
    this.#socket = socket;
  }

  send(data) {
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      return;
    }
    this.#socket.send(data);
    if (this.#socket.bufferedAmount > BRIDGE_WAITING_BYTES_MAX) {
      // Not from within the app's own call.
      setTimeout(() => {
        this.close();
        app.bridge_closed('gdb asks for more than it reads.');
      });
    }
  }

  close() {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }
}

/// The engines: the main one from the start, the others when they are first needed.
class Engines {
  #workers = new Map();
  #page;

  constructor(page) {
    this.#page = page;
  }

  #worker(which) {
    let worker = this.#workers.get(which);
    if (worker === undefined) {
      worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
      // What one that was stopped has said before is about nothing any more.
      const ifThere = (action) => (event) => this.#workers.get(which) === worker && action(event);
      worker.onmessage = ifThere(({ data }) => {
        if (data.failure === undefined) {
          app.deliver(which, data.bytes);
        } else {
          this.#failed(which, data.failure);
        }
      });
      worker.onerror = ifThere((event) => this.#failed(which, event.message ?? 'its program could not be loaded'));
      worker.postMessage({ siteUrl: this.#page.siteUrl });
      this.#workers.set(which, worker);
    }
    return worker;
  }

  start(which) {
    this.#worker(which);
  }

  post(which, bytes) {
    // What is a view of the app's memory cannot be given away.
    const own = bytes.slice();
    this.#worker(which).postMessage({ bytes: own }, [own.buffer]);
  }

  /// Files of a folder are read where they are wanted: by the engine that records.
  giveFolder(folder) {
    this.#worker(0).postMessage({ folder });
  }

  forgetFolder(number) {
    this.#worker(0).postMessage({ forgotten: number });
  }

  stop(which) {
    this.#workers.get(which)?.terminate();
    this.#workers.delete(which);
  }

  #failed(which, reason) {
    // The first two are what the app works with; others only make searches quicker.
    if (which > 1) {
      app.engine_ended(which, `an engine has stopped: ${reason}`);
      return;
    }
    this.#page.fail(
      `The engine has stopped: ${reason}`,
      'Load the page again. A recording that was not saved is lost; one that came from a file or link is not.',
    );
  }
}

/// The folders that a person gives machines to work in, one at a time.
class Folders {
  #engines;
  /// Of the one that was picked last.
  #number = 0;

  constructor(engines) {
    this.#engines = engines;
  }

  choose() {
    chooseFolder((files) => {
      if (files.length === 0) {
        app.folder_failed('The folder is empty, or the browser does not tell what is in it: drop it here instead.');
        return;
      }
      const { name, entries } = folderFromFiles(files);
      this.#take(++this.#number, name, entries);
    });
  }

  async #walk(folder) {
    const number = ++this.#number;
    const isWanted = () => this.#number === number;
    app.folder_looked(0);
    try {
      const entries = await walkFolder(folder, (count) => {
        if (isWanted()) {
          app.folder_looked(count);
        }
        return isWanted();
      });
      if (isWanted()) {
        this.#take(number, folder.name, entries);
      }
    } catch (error) {
      if (isWanted()) {
        app.folder_failed(`${folder.name} cannot be read: ${error.message}`);
      }
    }
  }

  #take(number, name, entries) {
    const files = entries.map(([, file]) => file).filter((file) => file !== undefined && file !== null);
    const byteCount = files.reduce((sum, file) => sum + file.size, 0);
    this.#engines.giveFolder({ number, entries });
    app.folder_picked(number, name, files.length, byteCount);
  }

  /// Forgets a folder, or the one that is being gone through.
  forget(number) {
    if (number === undefined) {
      this.#number += 1;
    } else {
      this.#engines.forgetFolder(number);
    }
  }

  /// Takes a folder that is dropped anywhere, before the app takes it for a file.
  dropped(event) {
    const folder = droppedFolder(event.dataTransfer);
    if (folder === undefined) {
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    // The app has seen something come, and is to see it go.
    event.target.dispatchEvent(new DragEvent('dragleave', { bubbles: true }));
    this.#walk(folder);
  }
}

function saveFile(name, bytes) {
  const url = URL.createObjectURL(new Blob([bytes.slice()], { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads it after this function has returned.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function pickFile() {
  const input = document.createElement('input');
  input.type = 'file';
  input.id = 'reprise-file';
  input.hidden = true;
  input.addEventListener('change', async () => {
    const file = input.files[0];
    input.remove();
    if (!file) {
      return;
    }
    try {
      if (file.size > FILE_BYTES_MAX) {
        throw new Error('it is larger than 1 GiB');
      }
      app.opened_file(file.name, new Uint8Array(await file.arrayBuffer()));
    } catch (error) {
      alert(`${file.name} cannot be opened: ${error.message}`);
    }
  });
  input.addEventListener('cancel', () => input.remove());
  document.body.append(input);
  input.click();
}

/// A list of the site, as JSON; empty where there is none.
async function readList(url) {
  const response = await fetch(url);
  return response.ok ? response.text() : '[]';
}

/// Keys of the app and of shells that browsers would use for themselves: F5 would lose a recording. Copying, pasting, zooming and
/// whatever a browser does not give away stay as they are.
const FUNCTION_KEYS = new Set(['F5', 'F7', 'F8', 'F9', 'F10', 'F11']);
const SHELL_KEYS = new Set('abdefghijklmopru');
/// With Alt, the app goes back and forth, and a shell by words.
const ALT_KEYS = new Set(['ArrowLeft', 'ArrowRight', 'b', 'd', 'f']);

function keepKeys(event) {
  const isPlain = !event.metaKey && !event.shiftKey;
  const isPlainControl = isPlain && event.ctrlKey && !event.altKey;
  const isPlainAlt = isPlain && event.altKey && !event.ctrlKey;
  const isForApp =
    FUNCTION_KEYS.has(event.key) ||
    (isPlainAlt && ALT_KEYS.has(event.key)) ||
    (isPlainControl && SHELL_KEYS.has(event.key));
  if (isForApp) {
    event.preventDefault();
  }
}

/// Whether an error is one that the app cannot go on after: its memory may be in any state.
function isFatal(error) {
  return error instanceof WebAssembly.RuntimeError;
}

/// Called by boot.js, which explains `page`.
export async function run(page) {
  const missing = missingFeature();
  if (missing !== undefined) {
    page.fail(
      `Reprise cannot run here: ${missing}`,
      'It runs in current versions of Chromium, Chrome, Edge and Firefox, with hardware acceleration or without.',
    );
    return;
  }
  const engines = new Engines(page);
  const folders = new Folders(engines);
  const bridge = new Bridge();
  // The engine's program is on its way while the app's is.
  engines.start(0);
  const demos = readList(new URL('demos.json', import.meta.url));
  const containers = readList(new URL('containers.json', page.siteUrl));
  const program = await fetchWithProgress(new URL('ui_bg.wasm', import.meta.url), (done, total) => {
    page.progress('Loading the page…', done, total);
  });
  await initApp({ module_or_path: program });
  const demosText = await demos;
  const containersText = await containers;
  globalThis.repriseHost = {
    postEngine: (which, bytes) => engines.post(which, bytes),
    stopEngine: (which) => engines.stop(which),
    processorCount: () => navigator.hardwareConcurrency ?? 1,
    // Device Memory API: Chromium alone tells it, and never more than 8 GiB.
    memorySize: () => navigator.deviceMemory ?? 4,
    saveFile,
    pickFile,
    pickFolder: () => folders.choose(),
    forgetFolder: (number) => folders.forget(number),
    demosJson: () => demosText,
    containersJson: () => containersText,
    siteUrl: () => page.siteUrl,
    bridgeOpen: (address) => bridge.open(address),
    // A view of the app's memory is sent as it is now.
    bridgeSend: (bytes) => bridge.send(bytes.slice()),
    bridgeSay: (text) => bridge.send(text),
    bridgeClose: () => bridge.close(),
  };
  // For tests, and for whoever is curious in the console.
  globalThis.repriseApp = app;

  const stopped = (error) => {
    console.error(error);
    page.fail(
      `The page has stopped: ${error?.message ?? error}`,
      'Load it again. What the browser’s console says helps whoever mends it.',
    );
  };
  addEventListener('error', ({ error }) => isFatal(error) && stopped(error));
  addEventListener('unhandledrejection', ({ reason }) => isFatal(reason) && stopped(reason));

  const canvas = document.createElement('canvas');
  canvas.id = CANVAS_ID;
  page.app.append(canvas);
  page.onFragment = (fragment) => app.hash_changed(fragment.replace(/^#/, ''));
  addEventListener('keydown', keepKeys, { capture: true });
  addEventListener('drop', (event) => folders.dropped(event), { capture: true });
  await app.start(CANVAS_ID);
  page.ready();
  canvas.focus();
}
