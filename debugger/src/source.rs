//! What a program's author sees: lines, functions, variables and steps from line to line.
//!
//! All of it comes out of the program files of a process (ELF, DWARF, symbol tables), as the guest's kernel holds them in
//! memory. No file of the host's is asked.
//!
//! # Code map
//! - `cache`: the files of processes, parsed; [`SymbolCache`].
//! - `program`: one ELF file: segments, sections, symbols.
//! - `dwarf`, `lines`, `functions`: its debug information, indexed unit by unit when somebody asks.
//! - `frames`, `prologue`, `backtrace`: from one frame to its caller.
//! - `evaluate`, `scope`, `types`, `value`: variables, where they are and what is in them.
//! - `resolve`, `text`: from what people type to addresses, and the sources themselves.
//! - `step`: steps from line to line, forwards and backwards.
//!
//! # Invariants
//! - The files are a stranger's: every number that comes out of one is checked, and all work on it is bounded by the
//!   constants of these modules. What is beyond them is left out, as if the file did not say it.
//! - Addresses inside of a file are the file's own; those of a process differ by a bias ([`cache`](self)).

mod backtrace;
mod cache;
mod dwarf;
mod evaluate;
mod expression;
mod frames;
mod functions;
mod lines;
mod program;
mod prologue;
mod resolve;
mod scope;
mod step;
mod text;
mod types;
mod value;

pub use backtrace::FrameRegisters;
pub use cache::SymbolCache;
pub use step::StepUnit;
pub(crate) use step::UnfinishedLine;

/// A place in a source text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceLocation {
    /// The file as the program's debug information names it, normally an absolute path.
    pub path: String,
    /// From 1 on.
    pub line: u32,
    /// From 1 on; 0 when only the line is known.
    pub column: u32,
}

/// The function in which an address lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// Its name, with the modules around it where there are any.
    pub name: String,
    /// Bytes from its first instruction on.
    pub offset: u64,
}

/// A function that has been called and has not returned.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceFrame {
    /// Where it goes on. For all but the innermost frames that is the instruction behind the call.
    pub pc: u64,
    /// Its name, if anything tells it.
    pub function: Option<String>,
    /// What it executes: the line of the call, for all but the innermost frame.
    pub location: Option<SourceLocation>,
    /// Whether the compiler has put it into its caller, which is the next frame and has the same registers.
    pub is_inlined: bool,
    /// Whether it is the kernel's.
    pub is_kernel: bool,
    /// What its registers hold, as far as that is known.
    pub registers: FrameRegisters,
}

/// A variable of a function, or a part of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceVariable {
    /// Its name; of a part the member's name, `[3]`, or `*` for what a pointer leads to.
    pub name: String,
    /// Its type as the language writes it.
    pub type_name: String,
    /// What is in it, in one line. `<optimised out>` and the like where that cannot be told.
    pub value: String,
    /// Whether the caller passed it.
    pub is_argument: bool,
    /// Where it lies, if it is in memory.
    pub address: Option<u64>,
    /// DWARF's number of the register of its call that holds it, if one does.
    pub register: Option<u16>,
    /// Its size; 0 when the debug information does not say.
    pub byte_len: u64,
    /// Its members, elements, or what it points to.
    pub parts: Vec<SourceVariable>,
}
