//! PLIC: RISC-V Platform-Level Interrupt Controller 1.0.0, two contexts a hart (M, then S).

use crate::device::AccessSize;
use crate::state::{StateError, StateReader, StateWriter};

const SOURCES: usize = 64;
const PRIORITY_MAX: u32 = 7;
const PENDING: u64 = 0x1000;
const ENABLE: u64 = 0x2000;
const ENABLE_STRIDE: u64 = 0x80;
const CONTEXT: u64 = 0x20_0000;
const CONTEXT_STRIDE: u64 = 0x1000;

#[derive(Clone, Debug, Default)]
struct Context {
    enabled: u64,
    threshold: u32,
}

/// The PLIC. Its inputs are level-triggered.
#[derive(Clone, Debug)]
pub(crate) struct Plic {
    priority: [u32; SOURCES],
    levels: u64,
    pending: u64,
    /// Claimed and not yet completed; the gateway forwards nothing meanwhile.
    in_service: u64,
    contexts: Vec<Context>,
}

impl Plic {
    pub(crate) fn new(cpu_count: u32) -> Self {
        Self {
            priority: [0; SOURCES],
            levels: 0,
            pending: 0,
            in_service: 0,
            contexts: vec![Context::default(); cpu_count as usize * 2],
        }
    }

    /// Takes over the levels of the input lines, one bit a source.
    pub(crate) fn set_levels(&mut self, levels: u64) {
        self.levels = levels & !1;
        self.pending |= self.levels & !self.in_service;
    }

    /// The source that a claim would return, 0 for none.
    fn best(&self, context: usize) -> usize {
        let context = &self.contexts[context];
        let candidates = self.pending & context.enabled;
        let mut best = 0;
        let mut best_priority = 0;
        let mut rest = candidates;
        while rest != 0 {
            let source = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            // Ties go to the lowest source.
            if self.priority[source] > best_priority {
                best = source;
                best_priority = self.priority[source];
            }
        }
        best
    }

    /// Whether the context's interrupt line is high.
    pub(crate) fn is_pending(&self, context: usize) -> bool {
        if self.pending & self.contexts[context].enabled == 0 {
            return false;
        }
        self.priority[self.best(context)] > self.contexts[context].threshold
    }

    pub(crate) fn read(&mut self, offset: u64, size: AccessSize) -> u64 {
        if size != AccessSize::Word {
            return 0;
        }
        match offset {
            0..PENDING => self
                .priority
                .get((offset / 4) as usize)
                .copied()
                .unwrap_or(0)
                .into(),
            PENDING..ENABLE => half(self.pending, (offset - PENDING) / 4),
            ENABLE..CONTEXT => {
                let context = ((offset - ENABLE) / ENABLE_STRIDE) as usize;
                let word = (offset - ENABLE) % ENABLE_STRIDE / 4;
                self.contexts
                    .get(context)
                    .map_or(0, |context| half(context.enabled, word))
            }
            _ => {
                let context = ((offset - CONTEXT) / CONTEXT_STRIDE) as usize;
                if context >= self.contexts.len() {
                    return 0;
                }
                match (offset - CONTEXT) % CONTEXT_STRIDE {
                    0 => self.contexts[context].threshold.into(),
                    4 => self.claim(context),
                    _ => 0,
                }
            }
        }
    }

    fn claim(&mut self, context: usize) -> u64 {
        let source = self.best(context);
        if source != 0 {
            self.pending &= !(1 << source);
            self.in_service |= 1 << source;
        }
        source as u64
    }

    pub(crate) fn write(&mut self, offset: u64, size: AccessSize, value: u64) {
        if size != AccessSize::Word {
            return;
        }
        match offset {
            0..PENDING => {
                if let Some(priority) = self.priority.get_mut((offset / 4) as usize)
                    && offset >= 4
                {
                    *priority = value as u32 & PRIORITY_MAX;
                }
            }
            PENDING..ENABLE => {}
            ENABLE..CONTEXT => {
                let context = ((offset - ENABLE) / ENABLE_STRIDE) as usize;
                let word = (offset - ENABLE) % ENABLE_STRIDE / 4;
                if let Some(context) = self.contexts.get_mut(context)
                    && word < 2
                {
                    let shift = word * 32;
                    let mask = 0xffff_ffff << shift;
                    context.enabled = (context.enabled & !mask | value << shift & mask) & !1;
                }
            }
            _ => {
                let context = ((offset - CONTEXT) / CONTEXT_STRIDE) as usize;
                if context >= self.contexts.len() {
                    return;
                }
                match (offset - CONTEXT) % CONTEXT_STRIDE {
                    0 => self.contexts[context].threshold = value as u32 & PRIORITY_MAX,
                    // A completion counts only for a source that the context has enabled.
                    4 if (1..SOURCES as u64).contains(&value)
                        && self.contexts[context].enabled >> value & 1 != 0 =>
                    {
                        self.in_service &= !(1 << value);
                        self.pending |= self.levels & !self.in_service;
                    }
                    _ => {}
                }
            }
        }
    }

    pub(crate) fn save(&self, to: &mut StateWriter) {
        to.section(*b"PLIC", |to| {
            self.priority.iter().for_each(|priority| to.u32(*priority));
            to.u64(self.levels);
            to.u64(self.pending);
            to.u64(self.in_service);
            for context in &self.contexts {
                to.u64(context.enabled);
                to.u32(context.threshold);
            }
        });
    }

    pub(crate) fn restore(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut from = from.section(*b"PLIC")?;
        for priority in &mut self.priority {
            *priority = from.u32()? & PRIORITY_MAX;
        }
        self.levels = from.u64()? & !1;
        self.pending = from.u64()? & !1;
        self.in_service = from.u64()? & !1;
        for context in &mut self.contexts {
            context.enabled = from.u64()? & !1;
            context.threshold = from.u32()? & PRIORITY_MAX;
        }
        Ok(())
    }
}

fn half(value: u64, word: u64) -> u64 {
    match word {
        0 => value & 0xffff_ffff,
        1 => value >> 32,
        _ => 0,
    }
}
