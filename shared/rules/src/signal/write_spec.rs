//! How a signal is written.

use fieldgate_model::Millis;

/// How a signal is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WriteSpec {
    /// Which function code carries it.
    pub function: WriteFunction,
    /// How a part of a register is written; the rest of the register must stay.
    pub bit_write: BitWrite,
    /// What carries a payload.
    pub payload_method: PayloadMethod,
    /// Whether it is read back, unless whoever writes asks not to. Off for what cannot be read.
    pub verify: bool,
    /// Engineering distance by which the value read back may differ.
    pub tolerance: f64,
    /// How long the device needs until it shows what was written.
    pub settle: Millis,
}

/// Which function code carries a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteFunction {
    /// FC 6 for one register, FC 16 for more, FC 5 for a coil. A device that refuses FC 6 or FC 5
    /// by exception 1 or 2 is asked by FC 16 or FC 15, and the other way round.
    #[default]
    Auto,
    /// FC 6 or FC 5; a value of several registers cannot be written this way.
    Single,
    /// FC 16 or FC 15, even for one; some devices have nothing else.
    Multiple,
}

/// How a part of a register is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BitWrite {
    /// FC 22, and if the device refuses that by exception 1 or 2, reading and writing.
    #[default]
    Auto,
    /// FC 22 alone: the device changes the bits itself, so that no other write comes between.
    Mask,
    /// The register is read, changed and written by [`WriteFunction`]. What another master writes
    /// in between is lost; our own writes to a device wait for each other.
    ReadModifyWrite,
}

/// What carries a payload to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PayloadMethod {
    /// The resource is to be like this.
    #[default]
    Put,
    /// The device does something with it.
    Post,
}

impl Default for WriteSpec {
    fn default() -> Self {
        Self {
            function: WriteFunction::Auto,
            bit_write: BitWrite::Auto,
            payload_method: PayloadMethod::Put,
            verify: true,
            tolerance: 0.0,
            settle: Millis(0),
        }
    }
}
