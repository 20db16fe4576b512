//! The engine as a wasm module. A worker's script hands in what comes and fetches what is wanted.

use crate::engine::{Engine, Next};
use crate::protocol::{Want, decode, encode};
use reprise_host::network::web::FetchId;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use wasm_bindgen::prelude::wasm_bindgen;

/// The engine for a worker's script.
#[wasm_bindgen]
pub struct EngineWorker {
    engine: Engine,
    /// What the script was asked to fetch, by the key that it was told.
    wanted: BTreeMap<String, Want>,
    want_count: u64,
    /// The body of the fetch that was told last.
    fetch_body: Vec<u8>,
}

impl Default for EngineWorker {
    fn default() -> Self {
        Self::new()
    }
}

#[wasm_bindgen]
impl EngineWorker {
    /// An engine with nothing open.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        console_error_panic_hook::set_once();
        Self {
            engine: Engine::new(),
            wanted: BTreeMap::new(),
            want_count: 0,
            fetch_body: Vec::new(),
        }
    }

    /// Takes a request of the page.
    ///
    /// # Errors
    /// When it is none of this version: a sentence for the person.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), String> {
        let request = decode(bytes).map_err(|error| error.to_string())?;
        self.engine.receive(request);
        Ok(())
    }

    /// Works for some ten milliseconds. Returns after how many milliseconds to call it again: 0 is at once, -1 is when there
    /// is a request or a supply.
    pub fn turn(&mut self) -> f64 {
        match self.engine.turn(&mut now) {
            Next::Now => 0.0,
            Next::At(at) => at.saturating_sub(now()).as_secs_f64() * 1e3,
            Next::Later => -1.0,
        }
    }

    /// What the engine has to say next.
    pub fn take_message(&mut self) -> Option<Vec<u8>> {
        self.engine.take_message().map(|message| encode(&message))
    }

    /// The next thing to fetch, as JSON: `key`, by which to hand it in; `kind`: `image` (with `hash`, `name` and
    /// `byte_len`), `tree` (with the same of an image's tree), `part` (of an image, with its `hash`, `name`, `byte_len`, and
    /// the part's `offset` and `length`), `guest`, `container` (with `file`), `folder` (with its `number`), `file` (a part of a file, with
    /// the `folder`'s number, the `file`'s number in it, `offset` and `length`), or `trace` (with `url`).
    pub fn take_want(&mut self) -> Option<String> {
        let want = self.engine.take_want()?;
        let key = format!("want-{}", self.want_count);
        self.want_count += 1;
        let told = match &want {
            Want::Image {
                hash,
                name,
                byte_len,
            } => {
                json!({ "key": key, "kind": "image", "hash": hash, "name": name, "byte_len": byte_len })
            }
            Want::ImageTree {
                hash,
                name,
                byte_len,
            } => {
                json!({ "key": key, "kind": "tree", "hash": hash, "name": name, "byte_len": byte_len })
            }
            Want::ImagePart {
                hash,
                name,
                byte_len,
                offset,
                length,
            } => json!({
                "key": key, "kind": "part", "hash": hash, "name": name, "byte_len": byte_len,
                "offset": offset, "length": length,
            }),
            Want::Guest => json!({ "key": key, "kind": "guest" }),
            Want::Container { file } => {
                json!({ "key": key, "kind": "container", "file": file })
            }
            Want::Folder { number } => {
                json!({ "key": key, "kind": "folder", "number": number })
            }
            Want::FilePart {
                folder,
                file,
                offset,
                length,
            } => json!({
                "key": key, "kind": "file", "folder": folder, "file": file, "offset": offset, "length": length,
            }),
            Want::Trace { url, .. } => {
                json!({ "key": key, "kind": "trace", "url": url })
            }
        };
        self.wanted.insert(key, want);
        Some(told.to_string())
    }

    /// Hands in what was wanted, or what is left of it. False if it is of another image than it should be; the right one is still wanted then.
    pub fn supply(&mut self, key: &str, bytes: Vec<u8>) -> bool {
        let want = self.wanted.get(key);
        if want.is_some_and(|want| !self.engine.admits(want, &bytes)) {
            return false;
        }
        if let Some(want) = self.wanted.remove(key) {
            self.engine.supply(&want, Ok(bytes));
        }
        true
    }

    /// Hands in the next bytes of a trace that was wanted; more follow. False if nobody wants it any more.
    pub fn supply_part(&mut self, key: &str, bytes: &[u8]) -> bool {
        let want = self.wanted.get(key);
        want.is_some_and(|want| self.engine.supply_part(want, bytes))
    }

    /// Says why what was wanted cannot be had.
    pub fn lacks(&mut self, key: &str, reason: String) {
        if let Some(want) = self.wanted.remove(key) {
            self.engine.supply(&want, Err(reason));
        }
    }

    /// The next thing that the guest wants to have fetched, as JSON: `id`, by which to hand in the answer; `method`; `url`; `headers`, as pairs of name
    /// and value. The body is taken at once, by [`EngineWorker::take_fetch_body`].
    pub fn take_fetch(&mut self) -> Option<String> {
        let fetch = self.engine.take_fetch()?;
        self.fetch_body = fetch.body;
        let told = json!({
            "id": fetch.id.0, "method": fetch.method, "url": fetch.url, "headers": fetch.headers,
            "follows_redirects": fetch.follows_redirects,
        });
        Some(told.to_string())
    }

    /// The body of what [`EngineWorker::take_fetch`] has told last.
    pub fn take_fetch_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.fetch_body)
    }

    /// An answer to the guest begins; `headers` are pairs of name and value, as JSON. Whether anybody wants it.
    pub fn fetch_head(&mut self, id: u32, status: u16, reason: &str, headers: &str) -> bool {
        let headers: Vec<(String, String)> = serde_json::from_str(headers).unwrap_or_default();
        self.engine
            .fetch_head(FetchId(id), status, reason, &headers)
    }

    /// How many bytes of an answer are wanted now; it may be more after a turn.
    pub fn fetch_room(&mut self, id: u32) -> usize {
        self.engine.fetch_room(FetchId(id))
    }

    /// The next bytes of an answer. Whether anybody wants them.
    pub fn fetch_body(&mut self, id: u32, bytes: &[u8]) -> bool {
        self.engine.fetch_body(FetchId(id), bytes)
    }

    /// An answer is whole.
    pub fn fetch_end(&mut self, id: u32) {
        self.engine.fetch_end(FetchId(id));
    }

    /// A fetch failed, for a reason in a sentence.
    pub fn fetch_failed(&mut self, id: u32, sentence: &str) {
        self.engine.fetch_failed(FetchId(id), sentence);
    }

    /// The next fetch that nobody wants any more.
    pub fn take_abort(&mut self) -> Option<u32> {
        self.engine.take_abort().map(|id| id.0)
    }

    /// Says how far a fetch is, in bytes; a total that is not known is 0.
    pub fn progress(&mut self, key: &str, done: f64, total: f64) {
        if let Some(want) = self.wanted.get(key) {
            self.engine.fetched(want, done as u64, total as u64);
        }
    }
}

#[wasm_bindgen]
extern "C" {
    /// High Resolution Time 3, `performance.now()`: milliseconds; it never goes back.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// Wall time since the worker began.
fn now() -> Duration {
    Duration::try_from_secs_f64(performance_now().max(0.0) / 1e3).unwrap_or_default()
}
