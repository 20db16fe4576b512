// Takes the place of the app (ui.js) in tests of what stands between it and the engine: it says to the engine what a test says, and
// keeps what it hears. Messages are encoded as `worker/src/protocol.rs` lists them: numbers in little-endian, a variant as its
// number in 4 bytes, a length in 8 bytes.

const COMMANDS = { boot: 0, open: 1, type: 3, pause: 6, index: 13, save: 15 };
const MESSAGES = [
  'opened', 'grown', 'halted', 'console', 'position', 'progress', 'seen', 'indexed', 'verified', 'hits', 'trace', 'files', 'notice',
  'done', 'failed', 'gdb-bytes', 'gdb-runs', 'gdb-gone', 'arriving', 'trace-part', 'arrived', 'fatal-signal', 'fetch',
];
const FETCH_STAGES = ['begun', 'answered', 'ended'];

/// What was heard. Requests are answered by number: true, or why not.
const heard = { console: '', counts: {}, answers: {}, progress: [], fragments: [], fetches: [] };
let lastRequest = 0;

class Encoder {
  #bytes = [];

  number(value, byteCount) {
    for (let rest = BigInt(value), left = byteCount; left > 0; left -= 1, rest >>= 8n) {
      this.#bytes.push(Number(rest & 0xffn));
    }
    return this;
  }

  text(text) {
    const bytes = new TextEncoder().encode(text);
    this.number(bytes.length, 8);
    this.#bytes.push(...bytes);
    return this;
  }

  finish() {
    return new Uint8Array(this.#bytes);
  }
}

class Decoder {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  number(byteCount) {
    let value = 0n;
    for (let index = byteCount - 1; index >= 0; index -= 1) {
      value = (value << 8n) | BigInt(this.#bytes[this.#at + index]);
    }
    this.#at += byteCount;
    return Number(value);
  }

  bytes() {
    const length = this.number(8);
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }

  text() {
    return new TextDecoder().decode(this.bytes());
  }
}

function send(command, fill = () => {}) {
  lastRequest += 1;
  const message = new Encoder().number(lastRequest, 4).number(COMMANDS[command], 4);
  fill(message);
  repriseHost.postEngine(0, message.finish());
  return lastRequest;
}

/// What a test can say; each answers the request's number.
globalThis.say = {
  boot: (hasNetwork = false) =>
    send('boot', (message) => {
      message.number(0, 8).number(256, 4);
      for (let index = 0; index < 32; index += 1) {
        message.number(index, 1);
      }
      message.number(1_767_225_600_000_000_000n, 8).number(80, 2).number(24, 2).number(0, 1).number(0, 1).number(hasNetwork ? 1 : 0, 1);
    }),
  open: (url) => send('open', (message) => message.number(1, 4).text(url)),
  type: (text) => send('type', (message) => message.text(text)),
  pause: () => send('pause'),
  index: () => send('index'),
  save: () => send('save', (message) => message.number(0, 1)),
};

export default async function init({ module_or_path }) {
  await (await module_or_path).arrayBuffer();
}

export function start() {}

export function deliver(which, bytes) {
  const message = new Decoder(bytes);
  const kind = MESSAGES[message.number(4)];
  heard.counts[kind] = (heard.counts[kind] ?? 0) + 1;
  if (kind === 'console') {
    for (let left = message.number(8); left > 0; left -= 1) {
      message.number(8);
      heard.console += message.text();
    }
  } else if (kind === 'progress') {
    message.number(4);
    heard.progress.push(message.text());
  } else if (kind === 'verified') {
    heard.verified = { icount: message.number(8), hash: message.text() };
  } else if (kind === 'trace') {
    message.number(4);
    globalThis.savedTrace = message.bytes();
  } else if (kind === 'fetch') {
    const [number, icount] = [message.number(4), message.number(8)];
    message.number(8);
    const stage = FETCH_STAGES[message.number(4)];
    const told = { number, icount, stage };
    if (stage === 'begun') {
      Object.assign(told, { method: message.text(), url: message.text() });
    } else if (stage === 'answered') {
      told.status = message.number(2);
    } else {
      told.byteLength = message.number(8);
      told.failure = message.number(1) === 1 ? message.text() : undefined;
    }
    heard.fetches.push(told);
  } else if (kind === 'done') {
    heard.answers[message.number(4)] = true;
  } else if (kind === 'failed') {
    heard.answers[message.number(4)] = message.text();
  }
}

export function opened_file() {}

export function hash_changed(fragment) {
  heard.fragments.push(fragment);
}

export function test_state() {
  return JSON.stringify(heard);
}

export function test_nodes() {
  return '[]';
}
