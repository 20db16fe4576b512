//! Micro-operations: what a block holds of an instruction.

use super::area::CpuArea;
use super::isa::{Inst, Op, for_each_instruction};

/// Index in [`CpuArea::x`] that takes writes to `x0`.
const SINK: u8 = 32;
const _: () = assert!(std::mem::offset_of!(CpuArea, x) == 0);

macro_rules! define_code {
    ($(($variant:ident, $mnemonic:expr, $match:expr, $mask:expr, $format:ident)),* $(,)?) => {
        /// What a micro-operation does: an instruction, or one of our own.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub(crate) enum Code {
            $($variant,)*
            /// Raises an illegal-instruction exception; `imm` holds the instruction.
            Illegal,
            /// A breakpoint may stand here: the run looks up before the instruction.
            Probe,
            /// Loads `imm` into `rd`.
            LoadImmediate,
            /// Copies `rs1` into `rd`.
            Move,
        }

        impl From<Op> for Code {
            fn from(op: Op) -> Self {
                match op {
                    $(Op::$variant => Self::$variant,)*
                }
            }
        }
    };
}
for_each_instruction! { define_code }

/// One micro-operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct Uop {
    pub(crate) code: Code,
    /// Destination; for integer results [`SINK`] stands for `x0`.
    pub(crate) rd: u8,
    pub(crate) rs1: u8,
    pub(crate) rs2: u8,
    /// The immediate; for CSR, system and floating-point arithmetic the instruction word.
    pub(crate) imm: i32,
    /// Bytes from the block's start.
    pub(crate) offset: u16,
    /// Length of the instruction in bytes, 2 or 4.
    pub(crate) len: u8,
    /// Rounding mode in bits 7:5, `rs3` in bits 4:0.
    pub(crate) extra: u8,
}

impl Uop {
    pub(crate) const ILLEGAL: Self = Self {
        code: Code::Illegal,
        rd: SINK,
        rs1: 0,
        rs2: 0,
        imm: 0,
        offset: 0,
        len: 2,
        extra: 0,
    };

    /// The micro-operation for an instruction at `offset` from the block's start.
    pub(crate) fn new(inst: Option<&Inst>, raw: u32, offset: u16, floating_point: bool) -> Self {
        let len = if raw & 3 == 3 { 4 } else { 2 };
        let illegal = Self {
            imm: raw as i32,
            offset,
            len,
            ..Self::ILLEGAL
        };
        let Some(inst) = inst else { return illegal };
        let mut code = Code::from(inst.op);
        let kind = code.kind();
        if kind != Kind::Integer && !floating_point {
            return illegal;
        }
        let rd = if kind == Kind::FloatResult || inst.rd != 0 {
            inst.rd
        } else {
            SINK
        };
        let mut rs1 = inst.rs1;
        match code {
            Code::Lui => code = Code::LoadImmediate,
            Code::Addi if rs1 == 0 => code = Code::LoadImmediate,
            Code::Addi if inst.imm == 0 => code = Code::Move,
            // A copy of x0 would need a register read for a constant.
            Code::Add if rs1 == 0 && inst.rs2 != 0 => {
                code = Code::Move;
                rs1 = inst.rs2;
            }
            _ => {}
        }
        Self {
            code,
            rd,
            rs1,
            rs2: inst.rs2,
            imm: if code.wants_word() {
                raw as i32
            } else {
                inst.imm
            },
            offset,
            len,
            extra: inst.rm << 5 | inst.rs3 & 31,
        }
    }
}

/// Where an instruction's result goes, and whether it needs the floating-point unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Integer,
    /// Uses the floating-point unit, writes an integer register or none.
    FloatToInteger,
    /// Writes a floating-point register.
    FloatResult,
}

impl Code {
    fn kind(self) -> Kind {
        use Code as C;
        match self {
            C::Flw | C::Fld => Kind::FloatResult,
            C::Fsw | C::Fsd => Kind::FloatToInteger,
            _ if self.is_float_to_integer() => Kind::FloatToInteger,
            _ if self.is_float_arithmetic() => Kind::FloatResult,
            _ => Kind::Integer,
        }
    }

    fn is_float_to_integer(self) -> bool {
        use Code as C;
        matches!(
            self,
            C::FeqS
                | C::FltS
                | C::FleS
                | C::FclassS
                | C::FmvXW
                | C::FcvtWS
                | C::FcvtWuS
                | C::FcvtLS
                | C::FcvtLuS
                | C::FeqD
                | C::FltD
                | C::FleD
                | C::FclassD
                | C::FmvXD
                | C::FcvtWD
                | C::FcvtWuD
                | C::FcvtLD
                | C::FcvtLuD
        )
    }

    fn is_float_arithmetic(self) -> bool {
        use Code as C;
        matches!(
            self,
            C::FaddS
                | C::FsubS
                | C::FmulS
                | C::FdivS
                | C::FsqrtS
                | C::FmaddS
                | C::FmsubS
                | C::FnmsubS
                | C::FnmaddS
                | C::FsgnjS
                | C::FsgnjnS
                | C::FsgnjxS
                | C::FminS
                | C::FmaxS
                | C::FcvtSW
                | C::FcvtSWu
                | C::FcvtSL
                | C::FcvtSLu
                | C::FmvWX
                | C::FcvtSD
                | C::FaddD
                | C::FsubD
                | C::FmulD
                | C::FdivD
                | C::FsqrtD
                | C::FmaddD
                | C::FmsubD
                | C::FnmsubD
                | C::FnmaddD
                | C::FsgnjD
                | C::FsgnjnD
                | C::FsgnjxD
                | C::FminD
                | C::FmaxD
                | C::FcvtDW
                | C::FcvtDWu
                | C::FcvtDL
                | C::FcvtDLu
                | C::FmvDX
                | C::FcvtDS
        )
    }

    /// Whether the operation keeps the instruction word in `imm`: it may prove illegal when executed.
    fn wants_word(self) -> bool {
        self.is_float_arithmetic() || self.is_float_to_integer() || self.is_system()
    }

    fn is_system(self) -> bool {
        use Code as C;
        matches!(
            self,
            C::Csrrw
                | C::Csrrs
                | C::Csrrc
                | C::Csrrwi
                | C::Csrrsi
                | C::Csrrci
                | C::Ecall
                | C::Ebreak
                | C::Mret
                | C::Sret
                | C::Wfi
                | C::SfenceVma
        )
    }

    /// Whether nothing may follow in the same block: a jump, or an effect on what comes next.
    pub(crate) fn ends_block(self) -> bool {
        self.is_system()
            || matches!(
                self,
                Self::Jal | Self::Jalr | Self::Illegal | Self::Probe | Self::FenceI
            )
    }
}
