// An engine (engine.js, made by wasm-bindgen from the crate `worker`) in a worker of its own. It is given turns, and what it wants
// from outside is fetched and kept here.

import initEngine, { EngineWorker } from './engine.js';
import { fetchContainer, fetchGuest, fetchImage, fetchPart, fetchTrace, fetchTree, refetchImage, refetchPart } from './fetching.js';
import { listFolder, readFilePart } from './folder.js';
import { serveGuest } from './guest-fetch.js';

let engine;
let siteUrl;
/// Folders that the person has picked, by their numbers: their entries as folder.js has them.
const folders = new Map();
/// Messages that came before the engine was there.
const early = [];

/// Wakes up at once, where a timer of 0 would be held back to some milliseconds.
const wake = new MessageChannel();
let isAwake = false;
let timer;

function schedule() {
  clearTimeout(timer);
  if (!isAwake && engine !== undefined) {
    isAwake = true;
    wake.port2.postMessage(undefined);
  }
}

wake.port1.onmessage = () => {
  isAwake = false;
  guarded(turn);
};

function turn() {
  const wait = engine.turn();
  for (let bytes = engine.take_message(); bytes !== undefined; bytes = engine.take_message()) {
    postMessage({ bytes }, [bytes.buffer]);
  }
  for (let want = engine.take_want(); want !== undefined; want = engine.take_want()) {
    supply(JSON.parse(want));
  }
  serveGuest(engine, tell);
  if (wait === 0) {
    schedule();
  } else if (wait > 0) {
    timer = setTimeout(schedule, wait);
  }
}

/// Runs something of the engine's; what goes wrong inside it ends it, and the page is told.
function guarded(action) {
  try {
    action();
  } catch (error) {
    die(error, String(error?.message ?? error));
  }
}

function die(error, failure) {
  console.error(error);
  postMessage({ failure });
  engine = undefined;
  close();
}

/// Tells the engine something, if it still lives, and gives it a turn.
function tell(action) {
  if (engine !== undefined) {
    guarded(() => action(engine));
    schedule();
  }
}

const FETCHERS = {
  image: fetchImage,
  tree: fetchTree,
  part: fetchPart,
  guest: fetchGuest,
  container: fetchContainer,
  trace: fetchTrace,
  folder: (want, siteUrl, progress) => listFolder(entriesOf(want.number), progress),
  file: (want) => readFilePart(entriesOf(want.folder)[want.file]?.[1], want.offset, want.length),
};
const REFETCHERS = { image: refetchImage, part: refetchPart };

/// What is in a folder, if it is still there.
function entriesOf(number) {
  const entries = folders.get(number);
  if (entries === undefined) {
    throw new Error('the folder is no longer there: pick it again');
  }
  return entries;
}

/// Fetches what the engine wants; a failure is one sentence for the person.
async function supply(want) {
  const progress = (done, total) => tell((engine) => engine.progress(want.key, done, total));
  const part = (bytes) => {
    let isWanted = false;
    tell((engine) => (isWanted = engine.supply_part(want.key, bytes)));
    return isWanted;
  };
  const hand = (bytes) => {
    let isTaken = true;
    // It answers false where the bytes have another hash than it wants.
    tell((engine) => (isTaken = engine.supply(want.key, bytes) !== false));
    return isTaken;
  };
  try {
    const isTaken = hand(await FETCHERS[want.kind](want, siteUrl, progress, part));
    if (!isTaken && !hand(await REFETCHERS[want.kind](want, siteUrl, progress))) {
      throw new Error('this site has another one under its hash: tell whoever hosts it');
    }
  } catch (error) {
    tell((engine) => engine.lacks(want.key, error.message));
  }
}

onmessage = ({ data }) => {
  if (data.siteUrl !== undefined) {
    siteUrl = data.siteUrl;
    start();
  } else if (data.folder !== undefined) {
    folders.set(data.folder.number, data.folder.entries);
  } else if (data.forgotten !== undefined) {
    folders.delete(data.forgotten);
  } else if (engine === undefined) {
    early.push(data.bytes);
  } else {
    tell((engine) => engine.receive(data.bytes));
  }
};

async function start() {
  try {
    await initEngine({ module_or_path: new URL('engine_bg.wasm', import.meta.url) });
    engine = new EngineWorker();
  } catch (error) {
    die(error, `its program could not be loaded (${error?.message ?? error})`);
    return;
  }
  for (const bytes of early.splice(0)) {
    tell((engine) => engine.receive(bytes));
  }
  schedule();
}
