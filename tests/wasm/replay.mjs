// Replays a trace with the wasm module: node replay.mjs MODULE.wasm TRACE IMAGE...
// The last line on stderr is `icount=N hash=H`; exits 0 only when every hash of the trace agreed.
import { readFile } from 'node:fs/promises';

const [modulePath, tracePath, ...imagePaths] = process.argv.slice(2);
if (tracePath === undefined) {
  console.error('usage: node replay.mjs MODULE.wasm TRACE IMAGE...');
  process.exit(2);
}
const { instance } = await WebAssembly.instantiate(await readFile(modulePath), {});
const { memory, buffer, add_image, replay, message, message_len } = instance.exports;

async function hand(path) {
  const bytes = await readFile(path);
  const at = buffer(bytes.length) >>> 0;
  new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
}

for (const path of imagePaths) {
  await hand(path);
  add_image();
}
await hand(tracePath);
const status = replay();
const said = new Uint8Array(memory.buffer, message() >>> 0, message_len() >>> 0);
console.error(new TextDecoder().decode(said));
process.exit(status);
