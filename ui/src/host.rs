//! What the app needs of the browser, or of the system: files, address, clock, randomness, engines.

use crate::link::Link;

/// Whoever shows the page.
pub trait Host {
    /// Offers bytes as a file to keep.
    fn save_file(&mut self, name: &str, bytes: &[u8]);

    /// Lets the person choose a file; it arrives later by [`Host::take_file`].
    fn pick_file(&mut self);

    /// Whether a person can pick a folder here, for a machine to work in.
    fn can_pick_folder(&self) -> bool {
        false
    }

    /// Lets the person choose a folder; what comes of it arrives by [`Host::take_folder`], as what comes of one that is dropped.
    fn pick_folder(&mut self) {}

    /// What has become of a folder that the person has chosen or dropped.
    fn take_folder(&mut self) -> Option<FolderEvent> {
        None
    }

    /// A folder is not wanted any more: one that was picked, by its number, or the one that is being gone through.
    fn forget_folder(&mut self, _number: Option<u32>) {}

    /// Reads a file that was dropped; it arrives by [`Host::take_file`] as well.
    fn read_dropped(&mut self, file: egui::DroppedFileHandle);

    /// A file that the person has chosen or dropped.
    fn take_file(&mut self) -> Option<File>;

    /// The site's `demos.json`; empty while there is none.
    fn demos_json(&mut self) -> String;

    /// The site's `containers.json`; empty while there is none.
    fn containers_json(&mut self) -> String {
        String::new()
    }

    /// Address of the page without its fragment; empty where there is none.
    fn site_url(&mut self) -> String;

    /// A fragment to open, without `#`: at the start and whenever the person changes it.
    fn take_fragment(&mut self) -> Option<String>;

    /// The address bar shows this fragment from now on.
    fn replace_fragment(&mut self, fragment: &str);

    /// Connects to a bridge, whose address begins with `ws://127.0.0.1:`, in place of another. What comes is handed to
    /// [`App::heard_bridge`](crate::app::App::heard_bridge).
    fn bridge_open(&mut self, address: &str);

    /// Sends bytes for gdb over that connection.
    fn bridge_send(&mut self, bytes: &[u8]);

    /// Sends a text for the bridge itself.
    fn bridge_say(&mut self, text: &str);

    /// Ends that connection, if there is one; nothing more comes from it.
    fn bridge_close(&mut self);

    /// Fresh random bytes.
    fn seed(&mut self) -> [u8; 32];

    /// Wall clock in nanoseconds since 1970-01-01 UTC.
    fn unix_nanoseconds(&mut self) -> u64;

    /// What there is for engines.
    fn capacity(&mut self) -> Capacity {
        Capacity::default()
    }

    /// Starts one more engine; it ends when its link goes. None where that cannot be done.
    fn start_engine(&mut self) -> Option<Box<dyn Link>> {
        None
    }

    /// What was remembered under a name, on this computer; none where nothing was, or cannot be.
    fn remembered(&mut self, _name: &str) -> Option<String> {
        None
    }

    /// Remembers something under a name for the next time, where that can be done.
    fn remember(&mut self, _name: &str, _value: &str) {}

    /// Where the app is, in a word.
    fn surroundings(&self) -> &'static str {
        "tab"
    }

    /// Whether machines can have a network: whoever runs engines fetches what their guests ask for.
    fn has_network(&self) -> bool {
        true
    }

    /// Reads what was typed where a link or an address is asked for, if it can only be a file's path; the file arrives by
    /// [`Host::take_file`]. False if it is no path, as everywhere in a browser.
    fn open_path(&mut self, _text: &str) -> bool {
        false
    }

    /// Why no trace can be fetched by its address, in a sentence for the person; none where it can.
    fn fetch_refusal(&self) -> Option<String> {
        None
    }
}

/// What a computer has for engines.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Capacity {
    /// Processors.
    pub processors: usize,
    /// Memory in MiB, as far as that is known.
    pub memory_mebibytes: u64,
}

/// A folder that the person has picked, or is about to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FolderEvent {
    /// It is being gone through; so many files were found.
    Looking {
        /// How many.
        file_count: u64,
    },
    /// It can be worked in.
    Picked(PickedFolder),
    /// It cannot be had; why, in a sentence for the person.
    Failed(String),
}

/// A folder that can be worked in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PickedFolder {
    /// By which engines ask for it.
    pub number: u32,
    /// What it is called.
    pub name: String,
    /// How many files are in it.
    pub file_count: u64,
    /// How many bytes they have.
    pub byte_len: u64,
}

/// A file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// What it is called.
    pub name: String,
    /// What is in it, or why it cannot be read.
    pub bytes: Result<Vec<u8>, String>,
}

/// A host with nothing in it, for tests.
#[derive(Clone, Default, Debug)]
pub struct Nowhere {
    /// The files saved.
    pub saved: std::rc::Rc<std::cell::RefCell<Vec<File>>>,
    /// A file to open.
    pub file: std::rc::Rc<std::cell::RefCell<Option<File>>>,
    /// A fragment to open; then the one shown.
    pub fragment: std::rc::Rc<std::cell::RefCell<Option<String>>>,
    /// The one shown.
    pub shown_fragment: std::rc::Rc<std::cell::RefCell<String>>,
    /// The demos.
    pub demos: String,
    /// The containers.
    pub containers: String,
    /// What there is for engines.
    pub capacity: std::rc::Rc<std::cell::Cell<Capacity>>,
    /// The engines that were started.
    pub engines: std::rc::Rc<std::cell::RefCell<Vec<crate::link::Scripted>>>,
    /// Whether a folder can be picked.
    pub picks_folders: bool,
    /// What has become of a folder.
    pub folder: std::rc::Rc<std::cell::RefCell<Option<FolderEvent>>>,
    /// What was asked about folders: `pick` and `forget`, the latter with its number.
    pub folder_asked: std::rc::Rc<std::cell::RefCell<Vec<String>>>,
    /// What a bridge was told: its address after `open`, texts after `say`, bytes after `send`, and `close`.
    pub bridge: std::rc::Rc<std::cell::RefCell<Vec<String>>>,
}

impl Host for Nowhere {
    fn save_file(&mut self, name: &str, bytes: &[u8]) {
        self.saved.borrow_mut().push(File {
            name: name.to_owned(),
            bytes: Ok(bytes.to_vec()),
        });
    }

    fn pick_file(&mut self) {}

    fn can_pick_folder(&self) -> bool {
        self.picks_folders
    }

    fn pick_folder(&mut self) {
        self.folder_asked.borrow_mut().push("pick".to_owned());
    }

    fn take_folder(&mut self) -> Option<FolderEvent> {
        self.folder.take()
    }

    fn forget_folder(&mut self, number: Option<u32>) {
        let asked = format!("forget {number:?}");
        self.folder_asked.borrow_mut().push(asked);
    }

    fn read_dropped(&mut self, _file: egui::DroppedFileHandle) {}

    fn take_file(&mut self) -> Option<File> {
        self.file.take()
    }

    fn demos_json(&mut self) -> String {
        self.demos.clone()
    }

    fn containers_json(&mut self) -> String {
        self.containers.clone()
    }

    fn site_url(&mut self) -> String {
        "https://here.example/reprise/".to_owned()
    }

    fn take_fragment(&mut self) -> Option<String> {
        self.fragment.take()
    }

    fn replace_fragment(&mut self, fragment: &str) {
        self.shown_fragment.replace(fragment.to_owned());
    }

    fn bridge_open(&mut self, address: &str) {
        self.bridge.borrow_mut().push(format!("open {address}"));
    }

    fn bridge_send(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.bridge.borrow_mut().push(format!("send {text}"));
    }

    fn bridge_say(&mut self, text: &str) {
        self.bridge.borrow_mut().push(format!("say {text}"));
    }

    fn bridge_close(&mut self) {
        self.bridge.borrow_mut().push("close".to_owned());
    }

    fn seed(&mut self) -> [u8; 32] {
        [7; 32]
    }

    fn unix_nanoseconds(&mut self) -> u64 {
        1_700_000_000_000_000_000
    }

    fn capacity(&mut self) -> Capacity {
        self.capacity.get()
    }

    fn start_engine(&mut self) -> Option<Box<dyn Link>> {
        let engine = crate::link::Scripted::default();
        self.engines.borrow_mut().push(engine.clone());
        Some(Box::new(engine))
    }
}
