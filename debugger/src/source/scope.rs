//! The variables of a frame, and where each of them is.

use super::SourceVariable;
use super::backtrace::{Frame, ViewMemory};
use super::dwarf::{Attribute, DebugFile, Entry, EntryPlace, RANGES_MAX};
use super::evaluate::{Context, Place, place_of, value_of};
use super::types::{Types, attribute_of};
use super::value::{Show, ValueReader};
use crate::session::{DebugSession, ThreadView};
use gimli::AttributeValue;

/// Variables of a frame that are shown.
const VARIABLES_MAX: usize = 256;
/// Entries inside of a function that are passed on the way to its variables.
const ENTRIES_MAX: usize = 1 << 18;
/// Places of one variable, each for some instructions.
const LOCATIONS_MAX: usize = 1 << 12;

/// A variable that has been found.
struct Found {
    place: EntryPlace,
    is_argument: bool,
}

impl DebugSession {
    /// The arguments and variables of a frame of [`DebugSession::backtrace`], those of inner blocks last.
    pub fn variables(&mut self, view: &ThreadView, frame_number: usize) -> Vec<SourceVariable> {
        self.within_frame(view, frame_number, |scope, names| {
            let mut variables = Vec::new();
            for found in scope.variables() {
                let Some(name) = scope.name(found.place) else {
                    continue;
                };
                let (type_place, place) = scope.located(found.place);
                let mut reader = ValueReader::new(&scope.types, scope.context.machine, names);
                variables.push(reader.show(&Show {
                    name,
                    type_place,
                    place,
                    is_argument: found.is_argument,
                    depth: 0,
                }));
            }
            // Arguments first, as they are declared.
            variables.sort_by_key(|variable| !variable.is_argument);
            variables
        })
        .unwrap_or_default()
    }

    /// Lets `look` look at the scope of a frame; none if the frame or its debug information is not there.
    pub(super) fn within_frame<T>(
        &mut self,
        view: &ThreadView,
        frame_number: usize,
        look: impl FnOnce(&FrameScope<'_>, &dyn Fn(u64) -> Option<super::Symbol>) -> T,
    ) -> Option<T> {
        let objects = self.objects(view);
        let frames = self.frames(view, &objects);
        let frame = frames.get(frame_number)?;
        let view = match &objects.task {
            Some(task) => ThreadView::Task(task.clone()),
            None => view.clone(),
        };
        let memory = ViewMemory {
            session: self,
            view: &view,
        };
        let names = |address: u64| super::backtrace::symbol_in(&objects, address);
        Some(look(&FrameScope::new(frame, &memory)?, &names))
    }
}

/// What names mean in a frame.
pub(super) struct FrameScope<'a> {
    pub(super) types: Types<'a>,
    pub(super) context: Context<'a>,
    /// The unit of the frame's function.
    pub(super) unit: usize,
    function: EntryPlace,
    /// Where the frame's code is, as the file counts.
    own: u64,
}

impl<'a> FrameScope<'a> {
    fn new(frame: &'a Frame, memory: &'a ViewMemory<'a>) -> Option<Self> {
        let debug = frame.debug()?;
        let (unit, number) = frame.function?;
        let own = frame.own_lookup()?;
        let mut context = Context {
            registers: &frame.registers,
            machine: memory,
            unit: Some(debug.unit(unit)),
            frame_base: None,
            frame_address: frame.registers.frame_address,
            bias: frame.object.as_ref()?.bias,
        };
        context.frame_base = frame_base(debug, unit, own, &context);
        Some(Self {
            types: Types::new(debug),
            context,
            unit,
            function: debug.functions(unit).get(number).place,
            own,
        })
    }

    /// The variables of the function that exist here, those of inner blocks last.
    fn variables(&self) -> Vec<Found> {
        variables_in(self.types.debug, self.function, self.own).unwrap_or_default()
    }

    /// The innermost variable of the function with this name.
    pub(super) fn variable_named(&self, name: &str) -> Option<EntryPlace> {
        let variables = self.variables().into_iter().rev();
        let mut places = variables.map(|found| found.place);
        places.find(|place| self.name(*place).as_deref() == Some(name))
    }

    pub(super) fn name(&self, variable: EntryPlace) -> Option<String> {
        let (unit, value) = attribute_of(self.types.debug, variable, gimli::DW_AT_name)?;
        self.types.debug.text(unit, Some(value))
    }

    /// Type of a variable, and where it is.
    pub(super) fn located(&self, variable: EntryPlace) -> (Option<EntryPlace>, Place) {
        let debug = self.types.debug;
        let type_place = attribute_of(debug, variable, gimli::DW_AT_type);
        let type_place = type_place.and_then(|(unit, value)| debug.referred(unit, Some(value)));
        let byte_len = type_place
            .and_then(|place| self.types.byte_len(place))
            .unwrap_or(0);
        let place = location(debug, variable, self.own, byte_len, &self.context);
        (type_place, place)
    }
}

/// From what a function's variables on the stack are counted.
fn frame_base(debug: &DebugFile, unit: usize, own: u64, context: &Context<'_>) -> Option<u64> {
    let functions = debug.functions(unit);
    let outer = functions.get(*functions.chain_at(own).first()?);
    let entry = debug.entry(outer.place)?;
    let value = entry.attr_value(gimli::DW_AT_frame_base)?;
    let expression = expression_at(debug, unit, value, own)?;
    let encoding = debug.unit(unit).encoding();
    value_of(expression, encoding, None, context)
}

/// The expression of an attribute that holds at an address.
fn expression_at(
    debug: &DebugFile,
    unit: usize,
    value: Attribute,
    own: u64,
) -> Option<gimli::Expression<super::program::Bytes>> {
    if let AttributeValue::Exprloc(expression) = value {
        return Some(expression);
    }
    let mut locations = debug.unit(unit).attr_locations(value).ok()??;
    for _ in 0..LOCATIONS_MAX {
        let location = locations.next().ok()??;
        if (location.range.begin..location.range.end).contains(&own) {
            return Some(location.data);
        }
    }
    None
}

fn location(
    debug: &DebugFile,
    place: EntryPlace,
    own: u64,
    byte_len: u64,
    context: &Context<'_>,
) -> Place {
    let located = attribute_of(debug, place, gimli::DW_AT_location);
    if let Some((unit, value)) = located {
        let expression = expression_at(debug, unit, value, own);
        let encoding = debug.unit(unit).encoding();
        let found = expression.and_then(|it| place_of(it, encoding, byte_len, context));
        return found.unwrap_or(Place::Gone);
    }
    let constant = attribute_of(debug, place, gimli::DW_AT_const_value);
    constant.map_or(Place::Gone, |(_, value)| constant_place(&value, byte_len))
}

/// A variable that the compiler has replaced by its value.
fn constant_place(value: &Attribute, byte_len: u64) -> Place {
    let bytes: Vec<u8> = match value {
        AttributeValue::Block(bytes) => bytes.bytes().to_vec(),
        AttributeValue::Sdata(number) => number.to_le_bytes().to_vec(),
        other => match other.udata_value() {
            Some(number) => number.to_le_bytes().to_vec(),
            None => return Place::Gone,
        },
    };
    let byte_len = usize::try_from(byte_len).unwrap_or(usize::MAX);
    Place::Bytes(bytes.into_iter().take(byte_len).map(Some).collect())
}

/// The variables of a function that exist at an address.
fn variables_in(debug: &DebugFile, function: EntryPlace, own: u64) -> Option<Vec<Found>> {
    let unit = debug.unit(function.unit);
    let mut entries = unit
        .entries_raw(Some(gimli::UnitOffset(function.offset)))
        .ok()?;
    let mut entry = Entry::null();
    entries.read_entry(&mut entry).ok()?;
    let mut found = Vec::new();
    if !entry.has_children() {
        return Some(found);
    }
    // Depth of an entry whose insides are none of this.
    let mut passed: Option<isize> = None;
    for _ in 0..ENTRIES_MAX {
        if entries.is_empty() || found.len() >= VARIABLES_MAX {
            break;
        }
        let is_entry = entries.read_entry(&mut entry).ok()?;
        if entry.depth() <= 0 {
            break;
        }
        if !is_entry || passed.is_some_and(|depth| entry.depth() > depth) {
            continue;
        }
        // The null entry that ends a list of children stands among them.
        passed = None;
        let place = EntryPlace {
            unit: function.unit,
            offset: entry.offset().0,
        };
        match entry.tag() {
            gimli::DW_TAG_formal_parameter => found.push(Found {
                place,
                is_argument: true,
            }),
            gimli::DW_TAG_variable if entry.attr(gimli::DW_AT_declaration).is_none() => {
                found.push(Found {
                    place,
                    is_argument: false,
                });
            }
            gimli::DW_TAG_lexical_block if holds(debug, function.unit, &entry, own) => {}
            _ if entry.has_children() => passed = Some(entry.depth()),
            _ => {}
        }
    }
    Some(found)
}

/// Whether the code of a block holds an address.
fn holds(debug: &DebugFile, unit: usize, entry: &Entry, own: u64) -> bool {
    let Ok(mut ranges) = debug.unit(unit).die_ranges(entry) else {
        return false;
    };
    for _ in 0..RANGES_MAX {
        match ranges.next() {
            Ok(Some(range)) if (range.begin..range.end).contains(&own) => return true,
            Ok(Some(_)) => {}
            _ => return false,
        }
    }
    false
}
