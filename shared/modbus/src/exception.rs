//! Exception codes: their names, and what each one says about request, device and path.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, section 7.

use core::fmt;

/// Why a device, or the gateway before it, refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exception {
    /// 1: the device does not know this function.
    IllegalFunction,
    /// 2: an address of the request is not there.
    IllegalDataAddress,
    /// 3: a count or value of the request is not allowed.
    IllegalDataValue,
    /// 4: the device failed while it did what was asked.
    DeviceFailure,
    /// 5: the device has accepted and will take long.
    Acknowledge,
    /// 6: the device is busy with something long.
    Busy,
    /// 8: a parity error in the device's extended memory.
    MemoryParityError,
    /// 0x0A: the gateway has no way to the unit.
    GatewayPathUnavailable,
    /// 0x0B: the unit behind the gateway did not answer.
    GatewayTargetSilent,
    /// A code that the specification does not name.
    Other(u8),
}

/// What to do after an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// Asked again in the same words it will refuse again: the request is at fault.
    ChangeRequest,
    /// The device has accepted; its outcome is to be read back later. A write is not sent twice.
    AwaitCompletion,
    /// The device will take the same request after a pause.
    RetryLater,
    /// The unit is as good as silent, although the link brought an answer.
    TreatAsSilent,
    /// The device could not do it: a failure of its own.
    ReportFailure,
}

impl Exception {
    /// By its code.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::IllegalFunction,
            2 => Self::IllegalDataAddress,
            3 => Self::IllegalDataValue,
            4 => Self::DeviceFailure,
            5 => Self::Acknowledge,
            6 => Self::Busy,
            8 => Self::MemoryParityError,
            0x0A => Self::GatewayPathUnavailable,
            0x0B => Self::GatewayTargetSilent,
            other => Self::Other(other),
        }
    }

    /// Its code.
    pub const fn code(self) -> u8 {
        match self {
            Self::IllegalFunction => 1,
            Self::IllegalDataAddress => 2,
            Self::IllegalDataValue => 3,
            Self::DeviceFailure => 4,
            Self::Acknowledge => 5,
            Self::Busy => 6,
            Self::MemoryParityError => 8,
            Self::GatewayPathUnavailable => 0x0A,
            Self::GatewayTargetSilent => 0x0B,
            Self::Other(code) => code,
        }
    }

    /// Its name in the specification, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IllegalFunction => "illegal function",
            Self::IllegalDataAddress => "illegal data address",
            Self::IllegalDataValue => "illegal data value",
            Self::DeviceFailure => "server device failure",
            Self::Acknowledge => "acknowledge",
            Self::Busy => "server device busy",
            Self::MemoryParityError => "memory parity error",
            Self::GatewayPathUnavailable => "gateway path unavailable",
            Self::GatewayTargetSilent => "gateway target device failed to respond",
            Self::Other(_) => "not in the specification",
        }
    }

    /// What to do after it.
    pub const fn policy(self) -> Policy {
        match self {
            Self::IllegalFunction | Self::IllegalDataAddress | Self::IllegalDataValue => {
                Policy::ChangeRequest
            }
            Self::Acknowledge => Policy::AwaitCompletion,
            Self::Busy => Policy::RetryLater,
            Self::GatewayPathUnavailable | Self::GatewayTargetSilent => Policy::TreatAsSilent,
            Self::DeviceFailure | Self::MemoryParityError | Self::Other(_) => Policy::ReportFailure,
        }
    }
}

/// `2 (illegal data address)`; gateway codes as `0x0B`, as manuals print them.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code();
        if code < 10 {
            write!(f, "{code} ({})", self.name())
        } else {
            write!(f, "0x{code:02X} ({})", self.name())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_keeps_its_number_and_has_its_own_policy() {
        for code in 0..=255 {
            assert_eq!(Exception::from_code(code).code(), code);
        }
        for (code, shown, policy) in [
            (1, "1 (illegal function)", Policy::ChangeRequest),
            (2, "2 (illegal data address)", Policy::ChangeRequest),
            (3, "3 (illegal data value)", Policy::ChangeRequest),
            (4, "4 (server device failure)", Policy::ReportFailure),
            (5, "5 (acknowledge)", Policy::AwaitCompletion),
            (6, "6 (server device busy)", Policy::RetryLater),
            (8, "8 (memory parity error)", Policy::ReportFailure),
            (0x0A, "0x0A (gateway path unavailable)", Policy::TreatAsSilent),
            (0x0B, "0x0B (gateway target device failed to respond)", Policy::TreatAsSilent),
            (0xFF, "0xFF (not in the specification)", Policy::ReportFailure),
        ] {
            let exception = Exception::from_code(code);
            assert_eq!((exception.to_string().as_str(), exception.policy()), (shown, policy));
        }
    }
}
