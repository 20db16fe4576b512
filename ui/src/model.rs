//! What views draw: what is open, where it stands, and what a person has put into it.

use crate::action::Action;
use crate::looks::Looks;
use reprise_worker::protocol::{
    FetchNews, FetchStage, IndexPart, Position, Recording, StopPoint, Switch, SystemCall, Thread,
    ThreadName,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that a panel may see and do. Panels change nothing themselves but [`Shown`]; they push what they want done.
#[derive(Debug)]
pub struct PanelModel<'a> {
    /// What is open.
    pub recording: &'a Recording,
    /// Where it stands.
    pub position: &'a Position,
    /// A machine runs, and there is no position to look at before it is paused.
    pub is_running: bool,
    /// What is known of the whole recording.
    pub index: &'a Index,
    /// What the guest has fetched.
    pub fetches: &'a [Fetched],
    /// Breakpoints, watchpoints and catches.
    pub stops: &'a [Stop],
    /// Places to come back to.
    pub marks: &'a [Mark],
    /// Through whose eyes panels look.
    pub thread: Thread,
    /// Which of its calls is selected, the innermost being 0.
    pub frame: u32,
    /// Source texts that the person has given, by the last part of their paths.
    pub texts: &'a BTreeMap<String, Arc<str>>,
    /// Answers of the engine.
    pub looks: &'a mut Looks,
    /// What panels show; part of a shared view.
    pub shown: &'a mut Shown,
    /// What the person wants done.
    pub actions: &'a mut Vec<Action>,
}

/// A stop with what is known of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Stop {
    /// What it is, with its number.
    pub point: StopPoint,
    /// Runs stop at it.
    pub is_enabled: bool,
    /// Where it would be met over the whole recording, once somebody asked.
    pub hits: Option<Hits>,
}

/// Where a stop is met.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hits {
    /// Positions, ascending.
    pub icounts: Vec<u64>,
    /// There are more.
    pub is_capped: bool,
}

/// A place to come back to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Position.
    pub icount: u64,
    /// What the person wrote to it.
    pub note: String,
}

/// Fetches that are listed.
pub const FETCHES_MAX: usize = 10_000;

/// Something that the guest has fetched, or is fetching.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// Its number.
    pub number: u32,
    /// Position at which the guest had asked.
    pub icount: u64,
    /// Guest time there.
    pub nanoseconds: u64,
    /// The method.
    pub method: String,
    /// What was asked for.
    pub url: String,
    /// Status of the answer, once it has begun.
    pub status: Option<u16>,
    /// How it ended, once it has.
    pub end: Option<FetchEnd>,
}

/// How a fetch ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchEnd {
    /// Where.
    pub icount: u64,
    /// Guest time there.
    pub nanoseconds: u64,
    /// Bytes that came.
    pub byte_len: u64,
    /// Why it is not whole.
    pub failure: Option<String>,
}

impl Fetched {
    /// Takes news in to a list, which ascends.
    pub fn take_in(fetches: &mut Vec<Fetched>, news: FetchNews) {
        let FetchNews {
            number,
            icount,
            nanoseconds,
            stage,
        } = news;
        let has_room = fetches.len() < FETCHES_MAX;
        let found = fetches.iter_mut().rev().find(|it| it.number == number);
        match (stage, found) {
            (FetchStage::Begun { method, url }, None) if has_room => {
                fetches.push(Fetched {
                    number,
                    icount,
                    nanoseconds,
                    method,
                    url,
                    status: None,
                    end: None,
                });
            }
            (FetchStage::Answered { status }, Some(fetched)) => fetched.status = Some(status),
            (FetchStage::Ended { byte_len, failure }, Some(fetched)) => {
                fetched.end = Some(FetchEnd {
                    icount,
                    nanoseconds,
                    byte_len,
                    failure,
                });
            }
            _ => {}
        }
    }
}

/// So many expressions are shown, each of which the engine looks up anew at each position.
pub const EXPRESSIONS_MAX: usize = 32;
/// Bytes of an expression.
pub const EXPRESSION_BYTES_MAX: usize = 200;

/// What panels show besides the position.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Shown {
    /// First address of the memory panel.
    pub memory: u64,
    /// Address of the disassembly panel; none follows the position.
    pub code: Option<u64>,
    /// Path and line of the source panel; none follows the selected call.
    pub source: Option<(String, u32)>,
    /// Filter of the system calls.
    pub calls_filter: String,
    /// Filter of the threads.
    pub threads_filter: String,
    /// Expressions that the variables panel shows.
    #[serde(default)]
    pub expressions: Vec<String>,
}

/// What is known of the whole recording, as it comes in.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Index {
    /// Up to where.
    pub upto: u64,
    /// System calls, ascending.
    pub calls: Vec<SystemCall>,
    /// Names of threads, ascending.
    pub names: Vec<ThreadName>,
    /// Where user mode of another thread begins, ascending.
    pub switches: Vec<Switch>,
    /// Not everything is in it: there was too much.
    pub is_capped: bool,
}

impl Index {
    /// Takes in a part.
    pub fn add(&mut self, part: IndexPart) {
        self.upto = self.upto.max(part.upto);
        self.calls.extend(part.calls);
        for returned in part.returns {
            let found = (self.calls).binary_search_by_key(&returned.call, |call| call.icount);
            if let Some(call) = found.ok().and_then(|index| self.calls.get_mut(index)) {
                call.result = Some((returned.icount, returned.value));
            }
        }
        self.names.extend(part.names);
        self.switches.extend(part.switches);
        self.is_capped |= part.is_capped;
    }

    /// The name that a thread bears at a position.
    #[must_use]
    pub fn name_at(&self, tid: u32, icount: u64) -> Option<&str> {
        let upto = self.names.partition_point(|name| name.icount <= icount);
        let known = self.names.get(..upto)?;
        let name = known.iter().rev().find(|name| name.tid == tid)?;
        Some(&name.name)
    }
}
