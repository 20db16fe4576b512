//! The app in a browser: the page's script hands in what comes, and does what needs a browser.
//!
//! # Test hook
//! A canvas has no elements that a test could find. What it needs instead is exported: [`test_state`] tells what the app
//! knows, [`test_nodes`] what it shows and where, [`test_char_rect`] where a character of the terminal is,
//! [`test_timeline_point`] where a position is. Tests look there
//! and click with a real mouse. Bounds are in CSS pixels from the canvas's corner.

use crate::app::App;
use crate::bridge::BridgeEvent;
use crate::host::{Capacity, File, FolderEvent, Host, PickedFolder};
use crate::link::Link;
use eframe::wasm_bindgen::JsCast;
use eframe::{WebOptions, WebRunner};
use egui::accesskit::{NodeId, TreeUpdate};
use reprise_worker::protocol::{Message, Request, decode, encode};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = repriseHost, js_name = postEngine)]
    fn post_engine(which: u8, bytes: &[u8]);
    #[wasm_bindgen(js_namespace = repriseHost, js_name = stopEngine)]
    fn stop_engine(which: u8);
    #[wasm_bindgen(js_namespace = repriseHost, js_name = processorCount)]
    fn processor_count() -> usize;
    /// In GiB.
    #[wasm_bindgen(js_namespace = repriseHost, js_name = memorySize)]
    fn memory_size() -> f64;
    #[wasm_bindgen(js_namespace = repriseHost, js_name = saveFile)]
    fn save_file(name: &str, bytes: &[u8]);
    #[wasm_bindgen(js_namespace = repriseHost, js_name = pickFile)]
    fn pick_file();
    #[wasm_bindgen(js_namespace = repriseHost, js_name = pickFolder)]
    fn pick_folder();
    #[wasm_bindgen(js_namespace = repriseHost, js_name = forgetFolder)]
    fn forget_folder(number: Option<u32>);
    #[wasm_bindgen(js_namespace = repriseHost, js_name = demosJson)]
    fn demos_json() -> String;
    #[wasm_bindgen(js_namespace = repriseHost, js_name = containersJson)]
    fn containers_json() -> String;
    #[wasm_bindgen(js_namespace = repriseHost, js_name = siteUrl)]
    fn site_url() -> String;
    #[wasm_bindgen(js_namespace = repriseHost, js_name = bridgeOpen)]
    fn bridge_open(address: &str);
    #[wasm_bindgen(js_namespace = repriseHost, js_name = bridgeSend)]
    fn bridge_send(bytes: &[u8]);
    #[wasm_bindgen(js_namespace = repriseHost, js_name = bridgeSay)]
    fn bridge_say(text: &str);
    #[wasm_bindgen(js_namespace = repriseHost, js_name = bridgeClose)]
    fn bridge_close();
    /// Web Cryptography, `getRandomValues`: fills an array.
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]);
}

/// What has come in and nobody has taken yet.
#[derive(Default)]
struct Inbox {
    /// Of each engine.
    messages: BTreeMap<u8, Vec<Message>>,
    /// Why engines have ended without which the app goes on.
    ends: BTreeMap<u8, String>,
    files: VecDeque<File>,
    folder: Option<FolderEvent>,
    fragment: Option<String>,
    context: Option<egui::Context>,
    nodes: Option<TreeUpdate>,
}

thread_local! {
    static INBOX: RefCell<Inbox> = RefCell::default();
    static RUNNER: RefCell<Option<WebRunner>> = const { RefCell::new(None) };
}

fn with<T>(action: impl FnOnce(&mut Inbox) -> T) -> T {
    INBOX.with_borrow_mut(action)
}

fn repaint() {
    repaint_after(Duration::ZERO);
}

fn repaint_after(soon: Duration) {
    if let Some(context) = with(|inbox| inbox.context.clone()) {
        context.request_repaint_after(soon);
    }
}

/// Draws the app on the canvas with this id from now on.
///
/// # Errors
/// When there is no such canvas, or the browser cannot draw on it.
#[wasm_bindgen]
pub async fn start(canvas_id: String) -> Result<(), JsValue> {
    console_error_panic_hook::set_once();
    let document = web_sys::window().and_then(|window| window.document());
    let canvas = document
        .and_then(|document| document.get_element_by_id(&canvas_id))
        .and_then(|element| element.dyn_into::<web_sys::HtmlCanvasElement>().ok())
        .ok_or_else(|| JsValue::from(JsError::new("there is no canvas to draw on")))?;
    with(|inbox| inbox.fragment = own_fragment());
    let runner = WebRunner::new();
    RUNNER.set(Some(runner.clone()));
    runner
        .start(
            canvas,
            WebOptions::default(),
            Box::new(|creation| {
                creation.egui_ctx.add_plugin(NodeKeeper);
                with(|inbox| inbox.context = Some(creation.egui_ctx.clone()));
                let link = |which| Box::new(WorkerLink::new(which));
                let app = App::new(link(MAIN), link(READER), Box::new(Browser));
                Ok(Box::new(Shown(app)))
            }),
        )
        .await
}

/// Takes what an engine says: the main one is 0, the one that reads recordings through is 1, others have other numbers.
///
/// # Errors
/// When it is no message of this version: a sentence for the person.
#[wasm_bindgen]
pub fn deliver(which: u8, bytes: &[u8]) -> Result<(), JsError> {
    let message = decode(bytes)?;
    with(|inbox| {
        if let Some(messages) = inbox.messages.get_mut(&which) {
            messages.push(message);
        }
    });
    // A page in the background draws nothing, and gdb waits for its answers; one that draws slowly draws as little as it can.
    let heard = with_app(|app| app.is_bridged().then(|| app.hear())).flatten();
    if let Some(soon) = heard.unwrap_or(Some(Duration::ZERO)) {
        repaint_after(soon);
    }
    Ok(())
}

/// An engine has ended by itself without which the app goes on: any but the first two. Why, in words for the person.
#[wasm_bindgen]
pub fn engine_ended(which: u8, reason: String) {
    with(|inbox| inbox.ends.insert(which, reason));
    repaint();
}

fn heard_bridge(event: BridgeEvent) {
    let is_seen = !matches!(event, BridgeEvent::Bytes(_));
    with_app(|app| app.heard_bridge(event));
    if is_seen {
        repaint();
    }
}

/// The connection to a bridge is there.
#[wasm_bindgen]
pub fn bridge_opened() {
    heard_bridge(BridgeEvent::Opened);
}

/// The bridge has said something.
#[wasm_bindgen]
pub fn bridge_text(text: String) {
    heard_bridge(BridgeEvent::Text(text));
}

/// gdb has said something.
#[wasm_bindgen]
pub fn bridge_bytes(bytes: Vec<u8>) {
    heard_bridge(BridgeEvent::Bytes(bytes));
}

/// The connection has ended, or could not be made; why, in a sentence for the person.
#[wasm_bindgen]
pub fn bridge_closed(reason: String) {
    heard_bridge(BridgeEvent::Closed(reason));
}

/// Takes a file that the person has chosen.
#[wasm_bindgen]
pub fn opened_file(name: String, bytes: Vec<u8>) {
    let bytes = Ok(bytes);
    with(|inbox| inbox.files.push_back(File { name, bytes }));
    repaint();
}

fn heard_folder(event: FolderEvent) {
    with(|inbox| inbox.folder = Some(event));
    repaint();
}

/// A folder that the person has chosen or dropped is being gone through; so many files were found.
#[wasm_bindgen]
pub fn folder_looked(file_count: f64) {
    let file_count = file_count as u64;
    heard_folder(FolderEvent::Looking { file_count });
}

/// A folder can be worked in; the main engine asks for it by its number.
#[wasm_bindgen]
pub fn folder_picked(number: u32, name: String, file_count: f64, byte_len: f64) {
    heard_folder(FolderEvent::Picked(PickedFolder {
        number,
        name,
        file_count: file_count as u64,
        byte_len: byte_len as u64,
    }));
}

/// A folder cannot be had; why, in a sentence for the person.
#[wasm_bindgen]
pub fn folder_failed(reason: String) {
    heard_folder(FolderEvent::Failed(reason));
}

/// The person has changed the address; `fragment` is without `#`.
#[wasm_bindgen]
pub fn hash_changed(fragment: String) {
    with(|inbox| inbox.fragment = Some(fragment));
    repaint();
}

/// For tests: what the app knows, as JSON; see `App::test_state`.
#[wasm_bindgen]
pub fn test_state() -> String {
    with_app(|app| app.test_state()).unwrap_or_else(|| "{}".to_owned())
}

/// For tests: where a character of the terminal is, as JSON `[x0, y0, x1, y1]`, if it is shown.
#[wasm_bindgen]
pub fn test_char_rect(row: u16, column: u16) -> Option<String> {
    let rect = with_app(|app| app.cell_rect(row, column))??;
    Some(serde_json::json!([rect.min.x, rect.min.y, rect.max.x, rect.max.y]).to_string())
}

/// For tests: a point of the timeline at which a position is drawn, as JSON `[x, y]`, if the timeline is shown.
#[wasm_bindgen]
pub fn test_timeline_point(icount: f64) -> Option<String> {
    let point = with_app(|app| app.timeline_point(icount as u64))??;
    Some(serde_json::json!([point.x, point.y]).to_string())
}

/// For tests: what is shown, as a JSON list of `role`, `label`, `value`, `is_disabled`, `is_focused` and `bounds`
/// (`[x0, y0, x1, y1]`). The first call lets the app begin to keep that.
#[wasm_bindgen]
pub fn test_nodes() -> String {
    let nodes = with(|inbox| {
        if let (None, Some(context)) = (&inbox.nodes, &inbox.context) {
            context.enable_accesskit();
            context.request_repaint();
        }
        inbox.nodes.as_ref().map(nodes_from_update)
    });
    serde_json::Value::from(nodes.unwrap_or_default()).to_string()
}

fn nodes_from_update(update: &TreeUpdate) -> Vec<serde_json::Value> {
    let nodes = update.nodes.iter().map(|(id, node): &(NodeId, _)| {
        let bounds = node
            .bounds()
            .map(|rect| [rect.x0, rect.y0, rect.x1, rect.y1]);
        serde_json::json!({
            "role": format!("{:?}", node.role()),
            "label": node.label(),
            "value": node.value(),
            "is_disabled": node.is_disabled(),
            "is_focused": *id == update.focus,
            "bounds": bounds,
        })
    });
    nodes.collect()
}

fn with_app<T>(action: impl FnOnce(&mut App) -> T) -> Option<T> {
    let runner = RUNNER.with_borrow(Clone::clone)?;
    let mut app = runner.app_mut::<Shown>()?;
    Some(action(&mut app.0))
}

fn own_fragment() -> Option<String> {
    let hash = web_sys::window()?.location().hash().ok()?;
    Some(hash.trim_start_matches('#').to_owned())
}

/// The app, as eframe wants it.
struct Shown(App);

impl eframe::App for Shown {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.0.ui(ui);
    }

    fn as_any_mut(&mut self) -> Option<&mut dyn std::any::Any> {
        Some(self)
    }
}

/// Keeps what was shown, for [`test_nodes`].
struct NodeKeeper;

impl egui::Plugin for NodeKeeper {
    fn debug_name(&self) -> &'static str {
        "nodes for tests"
    }

    fn output_hook(&mut self, _context: &egui::Context, output: &mut egui::FullOutput) {
        if let Some(update) = &output.platform_output.accesskit_update {
            with(|inbox| inbox.nodes = Some(update.clone()));
        }
    }
}

/// Number of the main engine.
const MAIN: u8 = 0;
/// Number of the one that reads recordings through.
const READER: u8 = 1;

/// An engine in a worker.
struct WorkerLink(u8);

impl WorkerLink {
    fn new(which: u8) -> Self {
        with(|inbox| inbox.messages.insert(which, Vec::new()));
        Self(which)
    }
}

impl Drop for WorkerLink {
    fn drop(&mut self) {
        with(|inbox| {
            inbox.messages.remove(&self.0);
            inbox.ends.remove(&self.0);
        });
        stop_engine(self.0);
    }
}

impl Link for WorkerLink {
    fn send(&mut self, request: Request) {
        post_engine(self.0, &encode(&request));
    }

    fn poll(&mut self) -> Vec<Message> {
        with(|inbox| {
            let messages = inbox.messages.get_mut(&self.0);
            messages.map(std::mem::take).unwrap_or_default()
        })
    }

    fn end(&mut self) -> Option<String> {
        with(|inbox| inbox.ends.get(&self.0).cloned())
    }
}

/// What the page's script does.
struct Browser;

/// What the browser keeps for this site, where it does.
fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.local_storage().ok()?
}

impl Host for Browser {
    fn capacity(&mut self) -> Capacity {
        Capacity {
            processors: processor_count(),
            memory_mebibytes: (memory_size() * 1024.0) as u64,
        }
    }

    fn start_engine(&mut self) -> Option<Box<dyn Link>> {
        // What one that was stopped had said before does not arrive any more, so its number is free.
        let is_free = |which: &u8| with(|inbox| !inbox.messages.contains_key(which));
        let which = (READER + 1..u8::MAX).find(is_free)?;
        Some(Box::new(WorkerLink::new(which)))
    }

    fn save_file(&mut self, name: &str, bytes: &[u8]) {
        save_file(name, bytes);
    }

    fn pick_file(&mut self) {
        pick_file();
    }

    fn can_pick_folder(&self) -> bool {
        true
    }

    fn pick_folder(&mut self) {
        pick_folder();
    }

    fn take_folder(&mut self) -> Option<FolderEvent> {
        with(|inbox| inbox.folder.take())
    }

    fn forget_folder(&mut self, number: Option<u32>) {
        forget_folder(number);
    }

    fn read_dropped(&mut self, file: egui::DroppedFileHandle) {
        wasm_bindgen_futures::spawn_local(async move {
            let bytes = file.bytes_async().await;
            let name = file.path().display().to_string();
            with(|inbox| inbox.files.push_back(File { name, bytes }));
            repaint();
        });
    }

    fn take_file(&mut self) -> Option<File> {
        with(|inbox| inbox.files.pop_front())
    }

    fn demos_json(&mut self) -> String {
        demos_json()
    }

    fn containers_json(&mut self) -> String {
        containers_json()
    }

    fn site_url(&mut self) -> String {
        site_url()
    }

    fn remembered(&mut self, name: &str) -> Option<String> {
        storage()?.get_item(name).ok()?
    }

    fn remember(&mut self, name: &str, value: &str) {
        if let Some(storage) = storage() {
            // A browser that keeps nothing shows the usual the next time.
            let _ = storage.set_item(name, value);
        }
    }

    fn take_fragment(&mut self) -> Option<String> {
        with(|inbox| inbox.fragment.take())
    }

    fn replace_fragment(&mut self, fragment: &str) {
        let history = web_sys::window().and_then(|window| window.history().ok());
        let address = if fragment.is_empty() {
            " ".to_owned()
        } else {
            format!("#{fragment}")
        };
        if let Some(history) = history {
            // An address that cannot be shown is still in the dialog.
            let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(address.trim()));
        }
    }

    fn bridge_open(&mut self, address: &str) {
        bridge_open(address);
    }

    fn bridge_send(&mut self, bytes: &[u8]) {
        bridge_send(bytes);
    }

    fn bridge_say(&mut self, text: &str) {
        bridge_say(text);
    }

    fn bridge_close(&mut self) {
        bridge_close();
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        get_random_values(&mut seed);
        seed
    }

    fn unix_nanoseconds(&mut self) -> u64 {
        (js_sys::Date::now() * 1e6) as u64
    }
}
