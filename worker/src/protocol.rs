//! What a page and an engine say to each other.
//!
//! A page sends [`Request`]s, an engine [`Message`]s, each as one encoded message ([`encode`], [`decode`]). A request is
//! carried out in the order in which it came, looks too; [`Command::Cancel`] overtakes, and ends what is under way
//! between two slices of it, and so does what a gdb sends, and its end. Every request is answered by exactly one [`Message::Done`] or [`Message::Failed`] with its
//! number, after everything else that belongs to it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

/// Bytes of one message at the most: an image, with room.
pub const MESSAGE_BYTES_MAX: u64 = 1 << 30;

/// What somebody is told who wants to move while a gdb is attached.
pub const GDB_HAS_POSITION: &str =
    "gdb has the position: `detach` in gdb, or disconnect here, to move";

/// Bytes for gdb in one message at the most.
pub const GDB_BYTES_MAX: usize = 64 << 10;

/// The bytes are no message of this version.
#[derive(Debug, Error)]
#[error("the page and its worker are of different versions: load the page anew")]
pub struct DecodeError;

/// A message as bytes.
#[must_use]
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Plain values in memory always have an encoding.
    bincode::serialize(message).unwrap_or_default()
}

/// A message from bytes.
///
/// # Errors
/// [`DecodeError`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() as u64 > MESSAGE_BYTES_MAX {
        return Err(DecodeError);
    }
    bincode::deserialize(bytes).map_err(|_| DecodeError)
}

/// Number of a request, unique in a page.
pub type RequestId = u32;

/// Something that the page wants.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Its number.
    pub id: RequestId,
    /// What is to be done.
    pub command: Command,
}

/// What can be asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Boots a machine and records it. Afterwards [`Message::Opened`], with `is_live`.
    Boot(Boot),
    /// Opens a trace, packed or not, at its start. Afterwards [`Message::Opened`]: of one that is fetched, as soon as
    /// something of it can be replayed.
    Open(TraceSource),
    /// Closes what is open and frees its memory.
    Close,
    /// Types at the live machine's console.
    Type(Vec<u8>),
    /// The terminal of the live machine has another size.
    Resize(TerminalSize),
    /// Cuts the live machine's power.
    PowerOff,
    /// Halts the recording and makes its past visitable, at its end; a live machine that halts does so by itself.
    Pause,
    /// Goes on recording after [`Command::Pause`]; the position is the present again.
    Resume,
    /// Goes to a place.
    Seek(Target),
    /// Goes a step.
    Step {
        /// How far.
        unit: StepUnit,
        /// Which way.
        direction: Direction,
        /// Whose step it is. For [`StepUnit::Cpu`] and [`StepUnit::ContextSwitch`] of no account.
        thread: Thread,
    },
    /// Runs to the next of the stops, or to the end.
    Run {
        /// Which way.
        direction: Direction,
    },
    /// Sets what runs stop at, in place of what was set before.
    SetStops(Vec<StopPoint>),
    /// Everything that a stop would stop at, over the whole recording: [`Message::Hits`].
    FindHits(StopPoint),
    /// Goes through the whole recording and tells what is in it: [`Message::Console`] and [`Message::Indexed`], then
    /// [`Message::Verified`]. The position is lost.
    Index,
    /// Looks at something at the position: [`Message::Seen`].
    Look(Look),
    /// The trace as a file: [`Message::Trace`].
    Save {
        /// Whether kernel and initrd go in.
        embeds_images: bool,
    },
    /// What the guest has made or changed in its workspace, at the position, as an archive: [`Message::Files`]. A live machine must
    /// be paused.
    SaveFiles,
    /// Ends what is under way, and what has been asked for before and takes long. It is answered as interrupted; the position is
    /// where it had got to. A run of gdb's stops as by Ctrl-C.
    Cancel,
    /// A gdb debugs what is open from now on, where it stands; other travels end. Until [`Command::DetachGdb`] or
    /// [`Message::GdbGone`], whatever would move the position is refused: it is gdb's.
    AttachGdb,
    /// What that gdb has sent, in order. It overtakes.
    GdbBytes(Vec<u8>),
    /// That gdb has gone. The position stays, or is where gdb's diversion began. It overtakes.
    DetachGdb,
    /// [`Command::FindHits`] in a part of the recording, by an engine through which nobody looks: it stands anywhere then. What begins in
    /// the part and is told behind it, as a new program's first instruction is, is found as well, and may be found in the next
    /// part again.
    FindHitsIn {
        /// What is looked for.
        stop: StopPoint,
        /// Position at which it is understood: a function's name is one of the process that is executed there.
        at: u64,
        /// First position of the part.
        from: u64,
        /// Its last position.
        to: u64,
    },
    /// The next bytes of the trace that [`TraceSource::Parts`] opens. It overtakes.
    TracePart {
        /// The bytes.
        bytes: Vec<u8>,
        /// No more will come.
        is_last: bool,
    },
}

/// A machine to boot.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Boot {
    /// The command and its arguments; none is an interactive shell.
    pub command: Vec<String>,
    /// RAM in MiB, 64 to 1024.
    pub ram_mebibytes: u32,
    /// Fresh random bytes.
    pub seed: [u8; 32],
    /// Wall clock, in nanoseconds since 1970-01-01 UTC.
    pub clock_unix_nanoseconds: u64,
    /// Size of the terminal.
    pub terminal: TerminalSize,
    /// The container of the site that it runs in, by the address of its JSON relative to the site; none is the default guest
    /// alone. There, no command is the container's own.
    pub container: Option<String>,
    /// The folder that it works in, by the number that it got when it was picked. What of it the guest wants is fetched from where it
    /// is.
    pub folder: Option<u32>,
    /// The guest has a network, and whoever hosts the engine fetches for it what it asks for.
    pub network: bool,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// Where a trace comes from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum TraceSource {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// A place from which whoever hosts the engine fetches it. The page has asked the person where it is not its own site.
    Url(String),
    /// It comes by [`Command::TracePart`], as another engine gets it.
    Parts,
}

/// What an engine needs from outside to go on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Want {
    /// An image, by its hash in hexadecimal.
    Image {
        /// BLAKE3 of its bytes.
        hash: String,
        /// What it is called.
        name: String,
        /// Length in bytes.
        byte_len: u64,
    },
    /// The hashes of the parts of a large disk image; see [`reprise_recorder::images::tree`]. Where there are none, the whole
    /// image is wanted next.
    ImageTree {
        /// BLAKE3 of the image's bytes.
        hash: String,
        /// What the image is called.
        name: String,
        /// Length of the tree in bytes.
        byte_len: u64,
    },
    /// A part of a disk image. The whole image is taken as well, from where no parts can be had.
    ImagePart {
        /// BLAKE3 of the image's bytes.
        hash: String,
        /// What the image is called.
        name: String,
        /// Length of the image in bytes.
        byte_len: u64,
        /// Where the part begins.
        offset: u64,
        /// Length of the part in bytes.
        length: u64,
    },
    /// The kernel and initrd that [`Command::Boot`] boots: the site's `guest.json`.
    Guest,
    /// A trace. It may be handed in as it comes.
    Trace {
        /// Where.
        url: String,
        /// Tells two fetches of it apart.
        number: u32,
    },
    /// A container of the site: the JSON that says how it is run.
    Container {
        /// Address relative to the site.
        file: String,
    },
    /// What is in a folder that the person has picked: a JSON list of `reprise_host::workspace::PickedEntry`s.
    Folder {
        /// The number that it got then.
        number: u32,
    },
    /// Bytes of a file of such a folder.
    FilePart {
        /// The number of the folder.
        folder: u32,
        /// The file's number in the list of what is in the folder, from 0.
        file: u32,
        /// Where they begin.
        offset: u64,
        /// How many they are.
        length: u64,
    },
}

/// The answer to a [`Want`].
pub type Supply = Result<Vec<u8>, String>;

/// A place in a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Target {
    /// Power-on.
    Start,
    /// Where the recorded program begins.
    Program,
    /// The end.
    End,
    /// A position.
    Icount(u64),
    /// Guest time in nanoseconds since power-on.
    Time(u64),
    /// Just before an input event, by its number from 0.
    Event(u32),
}

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Direction {
    /// As time goes.
    Forward,
    /// Back.
    Backward,
}

/// How far a step goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StepUnit {
    /// One step of the machine: an instruction, a trap, an event, an idle jump.
    Cpu,
    /// One instruction of the thread.
    Instruction,
    /// To another source line, into calls.
    LineInto,
    /// To another source line of the function or its caller, over calls.
    LineOver,
    /// Out of the function; backwards to its call.
    Out,
    /// To the next system call's entry.
    SystemCall,
    /// To where another thread is executed.
    ContextSwitch,
}

/// Whose view of the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Thread {
    /// The CPU, whatever it executes.
    Cpu,
    /// The thread that the CPU executes for, as its program sees itself; the CPU when Linux is not up.
    Current,
    /// The thread with this number.
    Task(u32),
}

/// What a run stops at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StopPoint {
    /// Number that the page gave it.
    pub id: u32,
    /// The process, by its number, or none for whatever is executed.
    pub process: Option<u32>,
    /// What it is.
    pub kind: StopKind,
    /// What the person calls a watchpoint, as `cache->slots[3]`: it is told by that.
    pub name: Option<String>,
}

/// The kinds of stop.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StopKind {
    /// An instruction is about to be executed: `0x1234`, `function`, `file.c:12`, understood for the process, or for the
    /// current one.
    Breakpoint(String),
    /// Memory is accessed.
    Watchpoint {
        /// First byte, a virtual address.
        address: u64,
        /// Bytes.
        byte_len: u64,
        /// Stops at loads.
        reads: bool,
        /// Stops at stores.
        writes: bool,
    },
    /// A system call is entered: its name, or any.
    SystemCall(Option<String>),
    /// A program is executed.
    Exec,
    /// A thread or process is made.
    Fork,
    /// A thread ends.
    Exit,
    /// A signal arrives.
    Signal,
}

/// What can be looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Look {
    /// Registers of a thread: [`View::Registers`].
    Registers(Thread),
    /// Memory as a thread sees it: [`View::Memory`].
    Memory {
        /// Who looks.
        thread: Thread,
        /// First byte.
        address: u64,
        /// Bytes, at most 64 KiB.
        byte_len: u32,
    },
    /// Instructions: [`View::Disassembly`].
    Disassembly {
        /// Who looks.
        thread: Thread,
        /// An instruction's address; none is that of the thread's next instruction.
        address: Option<u64>,
        /// Instructions before it, as far as they can be told.
        before: u32,
        /// It and how many behind it.
        after: u32,
    },
    /// Processes and threads: [`View::Threads`].
    Threads,
    /// Calls: [`View::Stack`].
    Stack(Thread),
    /// Variables and arguments: [`View::Variables`].
    Variables {
        /// Who looks.
        thread: Thread,
        /// Number of the frame in the stack.
        frame: u32,
    },
    /// What an expression names, as `cache->slots[3]` or `next_tile`: [`View::Expression`].
    Expression {
        /// Who looks.
        thread: Thread,
        /// Number of the frame in the stack.
        frame: u32,
        /// The expression.
        text: String,
    },
    /// A source text: [`View::Source`].
    Source {
        /// Who looks.
        thread: Thread,
        /// Its path, as a frame's location says it.
        path: String,
    },
    /// Hash of the state: [`View::Hash`].
    Hash,
}

/// Something that the engine has to say.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// A recording is open.
    Opened(Recording),
    /// The live recording has grown.
    Grown {
        /// Its end.
        end: u64,
        /// Guest time there, in nanoseconds.
        nanoseconds: u64,
    },
    /// The live machine has stopped for good; its past can be visited.
    Halted {
        /// Exit status of the command, if it was reported.
        exit_status: Option<i32>,
    },
    /// The console printed. Ascending, from a live machine or from an index.
    Console(Vec<Printed>),
    /// The position is another, or the same after all.
    Position(Position),
    /// How far long work is.
    Progress {
        /// The request.
        id: RequestId,
        /// What is done, in one or two words.
        what: String,
        /// How much of it.
        done: u64,
        /// Of how much; 0 when it is not known.
        total: u64,
    },
    /// An answer to [`Command::Look`].
    Seen {
        /// The request.
        id: RequestId,
        /// Position at which it was so.
        icount: u64,
        /// What was asked for.
        look: Look,
        /// What was seen.
        view: View,
    },
    /// A part of an index; more may follow.
    Indexed(IndexPart),
    /// All of the recording has been executed and every state hash agreed.
    Verified {
        /// Where it ended.
        icount: u64,
        /// Hash of the state there.
        hash: String,
        /// How many recorded hashes agreed.
        hash_count: u64,
    },
    /// What [`Command::FindHits`] found, ascending; capped.
    Hits {
        /// The request.
        id: RequestId,
        /// Number of the stop.
        stop: u32,
        /// Where.
        icounts: Vec<u64>,
        /// There are more.
        is_capped: bool,
    },
    /// The trace as a file.
    Trace {
        /// The request.
        id: RequestId,
        /// Its bytes.
        bytes: Vec<u8>,
        /// The same for a link, in fewer bytes ([`reprise_traces::pack`]); none for a trace that is too long for one, or
        /// that breaks off.
        packed: Option<Vec<u8>>,
    },
    /// What the guest has made or changed in its workspace.
    Files {
        /// The request.
        id: RequestId,
        /// A tar archive; empty where there is nothing to be in it.
        bytes: Vec<u8>,
        /// What is in it and what is not, in a few words for the person.
        told: String,
    },
    /// Something that the person should know, in one sentence, while everything goes on.
    Notice(String),
    /// A request was carried out.
    Done {
        /// The request.
        id: RequestId,
    },
    /// A request could not be carried out, or was cancelled.
    Failed {
        /// The request.
        id: RequestId,
        /// Why, in one sentence for the person.
        message: String,
        /// It was cancelled.
        is_cancelled: bool,
    },
    /// What the gdb that is attached is to be sent, in order; at most [`GDB_BYTES_MAX`] at once.
    GdbBytes(Vec<u8>),
    /// A run of gdb's is under way. Where it stops comes as [`Message::Position`].
    GdbRuns {
        /// Where it has got to.
        icount: u64,
    },
    /// No gdb is attached any more, and nobody has asked for that by [`Command::DetachGdb`].
    GdbGone {
        /// Why, in one sentence for the person; none when gdb has said goodbye.
        reason: Option<String>,
    },
    /// More of the trace that is open has come: it goes on to here.
    Arriving {
        /// The last position so far.
        end: u64,
        /// The inputs that have come since it was told last.
        inputs: Vec<Input>,
        /// How many bytes have come.
        done: u64,
        /// Of how many; 0 when it is not known.
        total: u64,
    },
    /// Bytes of the trace that is fetched, once it is open: first all that have come until then, then what comes, for
    /// [`Command::TracePart`] of another engine.
    TracePart {
        /// The bytes.
        bytes: Vec<u8>,
        /// No more will come.
        is_last: bool,
    },
    /// All of the trace that is open has come.
    Arrived {
        /// What is known of it now.
        recording: Recording,
        /// Why it is not all of it, in one sentence for the person.
        failure: Option<String>,
    },
    /// A signal has ended a program, and the recorded command's exit status is that signal's. Told by [`Command::Index`], at
    /// its end.
    FatalSignal(FatalSignal),
    /// The guest of a live machine fetches something.
    Fetch(FetchNews),
}

/// What has become of something that a guest fetches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FetchNews {
    /// Tells fetches apart; in the order in which they began.
    pub number: u32,
    /// Position of the machine when it became so.
    pub icount: u64,
    /// Guest time there, in nanoseconds since power-on.
    pub nanoseconds: u64,
    /// What it is.
    pub stage: FetchStage,
}

/// How far a fetch is. The first is told first; the last ends it, and may come without the second.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FetchStage {
    /// The guest has asked.
    Begun {
        /// The method.
        method: String,
        /// What it asks for.
        url: String,
    },
    /// The head of the answer is there.
    Answered {
        /// Status of HTTP.
        status: u16,
    },
    /// There is no more of it.
    Ended {
        /// Bytes of the answer that came, decoded.
        byte_len: u64,
        /// Why it is not whole, in a sentence.
        failure: Option<String>,
    },
}

/// The last signal of its kind that ended a program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FatalSignal {
    /// Position of the last instruction that its thread was at in the program: of one that is not allowed, of a call of
    /// the kernel's, or of what would have been executed next.
    pub icount: u64,
    /// Number of the thread.
    pub tid: u32,
    /// Its name.
    pub thread: String,
    /// Name of the signal, as `SIGSEGV`.
    pub signal: String,
}

/// What is open.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Recording {
    /// It is being made.
    pub is_live: bool,
    /// What the guest was told to do; empty is a shell.
    pub command: Vec<String>,
    /// Wall clock at the start, in seconds since 1970-01-01 UTC.
    pub clock_unix_seconds: u64,
    /// The last position.
    pub end: u64,
    /// Exit status of the command, if the trace says so.
    pub exit_status: Option<i32>,
    /// The recorder did not live to end it.
    pub is_incomplete: bool,
    /// Size of the trace in bytes; 0 of a live one.
    pub trace_byte_len: u64,
    /// RAM of the machine in MiB.
    pub ram_mebibytes: u32,
    /// Size of the terminal at the start.
    pub terminal: TerminalSize,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The images, as name and hash.
    pub images: Vec<(String, String)>,
    /// The guest works in a folder.
    pub has_workspace: bool,
    /// Positions of the snapshots in the trace, ascending.
    pub keyframes: Vec<u64>,
    /// More of the trace is still to come: [`Message::Arriving`] and [`Message::Arrived`]. The end is that of what is here.
    pub is_arriving: bool,
}

/// An input event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Input {
    /// Position.
    pub icount: u64,
    /// What it is.
    pub kind: InputKind,
}

/// The kinds of input.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum InputKind {
    /// The start.
    Start,
    /// Typed bytes.
    Typed(Vec<u8>),
    /// The terminal's size.
    Size(TerminalSize),
    /// The power button.
    PowerOff,
    /// A frame from the network.
    Frame {
        /// Its length.
        byte_len: u64,
    },
    /// Bytes of a file of the workspace.
    File {
        /// The file, from the workspace's root on.
        path: String,
        /// Where in the file they begin.
        offset: u64,
        /// How many they are; `None` where they could not be read.
        byte_len: Option<u64>,
    },
}

/// Something printed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Printed {
    /// Position of the step that sent it to the terminal.
    pub icount: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Where an engine stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The request that led here; 0 when it was gdb.
    pub id: RequestId,
    /// Position.
    pub icount: u64,
    /// Guest time in nanoseconds since power-on.
    pub nanoseconds: u64,
    /// Number and name of the thread that the CPU executes for, when Linux is up.
    pub thread: Option<(u32, String)>,
    /// Number of its process.
    pub process: Option<u32>,
    /// The CPU is in user mode.
    pub is_user: bool,
    /// Why it stands here, each in a few words for the person.
    pub reasons: Vec<String>,
    /// Numbers of the stops that were met.
    pub stops: Vec<u32>,
    /// It is at an end of the recording.
    pub is_at_edge: bool,
}

/// A part of an index. All positions ascend over all parts.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct IndexPart {
    /// Up to where the recording has been gone through.
    pub upto: u64,
    /// System calls.
    pub calls: Vec<SystemCall>,
    /// Returns of system calls, of this part or of those before.
    pub returns: Vec<Return>,
    /// Threads that came to be known, with their names from here on.
    pub names: Vec<ThreadName>,
    /// Where user mode of another thread begins.
    pub switches: Vec<Switch>,
    /// No more are collected: there are too many.
    pub is_capped: bool,
}

/// A system call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SystemCall {
    /// Position of its `ecall`.
    pub icount: u64,
    /// The thread.
    pub tid: u32,
    /// `read(3, 0x7ff.., 12)`, decoded as far as it goes.
    pub text: String,
    /// What it returned, with its position, once that is known; see [`IndexPart::returns`].
    pub result: Option<(u64, i64)>,
}

/// The return of a system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Return {
    /// Position of the call's `ecall`.
    pub call: u64,
    /// Where it came back to the program.
    pub icount: u64,
    /// What it returned; negative is an error number.
    pub value: i64,
}

/// A thread's name from a position on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ThreadName {
    /// From where on.
    pub icount: u64,
    /// The thread.
    pub tid: u32,
    /// Its process.
    pub tgid: u32,
    /// Its name.
    pub name: String,
}

/// Another thread's user mode begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Switch {
    /// Where.
    pub icount: u64,
    /// The thread.
    pub tid: u32,
}

/// What was seen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum View {
    /// Registers.
    Registers(Vec<Register>),
    /// Memory that could be read, from the first byte on.
    Memory(Vec<u8>),
    /// Instructions in ascending order.
    Disassembly(Vec<Instruction>),
    /// Threads in ascending order of process and number.
    Threads(Vec<ThreadInfo>),
    /// Calls, the innermost first.
    Stack(Vec<Frame>),
    /// Variables.
    Variables(Vec<Variable>),
    /// What an expression names, or why it names nothing, in a sentence.
    Expression(Result<Variable, String>),
    /// A source text, if it is in the guest.
    Source(Option<String>),
    /// A hash in hexadecimal.
    Hash(String),
}

/// A register.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Register {
    /// Its name, as `a0`, `fa0`, `sstatus`.
    pub name: String,
    /// What it holds.
    pub value: u64,
    /// The group in which it is shown.
    pub group: RegisterGroup,
}

/// Groups of registers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum RegisterGroup {
    /// Integer registers and the program counter.
    Integer,
    /// Floating point.
    Float,
    /// Control and status registers.
    Csr,
}

/// An instruction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Instruction {
    /// Where it lies.
    pub address: u64,
    /// Its encoding, 2 or 4 bytes.
    pub bytes: Vec<u8>,
    /// In assembly.
    pub text: String,
    /// Function and offset, if known.
    pub symbol: Option<String>,
}

/// A thread.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ThreadInfo {
    /// Its number.
    pub tid: u32,
    /// Its process.
    pub tgid: u32,
    /// The process that made that.
    pub parent: u32,
    /// Its name.
    pub name: String,
    /// What it is about, as `ps` says it in words.
    pub state: String,
    /// The CPU executes for it.
    pub is_current: bool,
    /// It never leaves the kernel.
    pub is_kernel: bool,
}

/// A call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// Address of the instruction that is executed next, or after the call's return.
    pub pc: u64,
    /// The function, if known.
    pub function: Option<String>,
    /// Where that is in the source, if known.
    pub location: Option<Location>,
    /// It was inlined into the next one.
    pub is_inlined: bool,
    /// It is the kernel's.
    pub is_kernel: bool,
}

/// A place in a source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Location {
    /// Path of the source, as the program says it.
    pub path: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 when it is not known.
    pub column: u32,
}

/// A variable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its type, as the language writes it.
    pub type_name: String,
    /// Its value in a few words.
    pub value: String,
    /// It is a parameter.
    pub is_argument: bool,
    /// Where it lies, if in memory.
    pub address: Option<u64>,
    /// Length in bytes.
    pub byte_len: u64,
    /// What it is made of.
    pub parts: Vec<Variable>,
    /// Name of the register that holds it, as `s1`, if one does.
    pub register: Option<String>,
}
