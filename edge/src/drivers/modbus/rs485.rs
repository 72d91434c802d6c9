//! Who turns the direction of a two-wire line, decided without touching it.
//!
//! A transceiver that hears and drives the same two wires must be told when to drive. Most USB
//! adapters know by themselves. A UART on a board leaves it to its RTS line, and the kernel turns
//! that in time if it is asked to (TIOCSRS485); from here it would always be too late.

use crate::config::Rs485;

/// What the kernel says of a port (TIOCGRS485).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// The driver knows nothing of RS-485.
    Unsupported,
    /// It could turn the direction and does not.
    Plain,
    /// It does so, because the device tree or somebody else has asked for it.
    Turning,
}

/// What to do with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing: the adapter turns by itself, or the kernel does already.
    Leave,
    /// Ask the kernel, and do without if it refuses.
    Try,
    /// Ask the kernel, and do not use the port if it refuses.
    Insist,
}

/// What to do with a port that was configured as `wanted`.
pub(super) const fn plan(wanted: Rs485, reported: Reported) -> Plan {
    match (wanted, reported) {
        (Rs485::Off, _)
        | (Rs485::Auto, Reported::Unsupported)
        // Its delays and levels come from whoever knows the board.
        | (Rs485::Auto | Rs485::Kernel, Reported::Turning) => Plan::Leave,
        (Rs485::Auto, Reported::Plain) => Plan::Try,
        (Rs485::Kernel, Reported::Unsupported | Reported::Plain) => Plan::Insist,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_where_it_can_and_has_not_been() {
        for (wanted, reported, expected) in [
            (Rs485::Auto, Reported::Unsupported, Plan::Leave),
            (Rs485::Auto, Reported::Plain, Plan::Try),
            (Rs485::Auto, Reported::Turning, Plan::Leave),
            (Rs485::Kernel, Reported::Unsupported, Plan::Insist),
            (Rs485::Kernel, Reported::Plain, Plan::Insist),
            (Rs485::Kernel, Reported::Turning, Plan::Leave),
            (Rs485::Off, Reported::Unsupported, Plan::Leave),
            (Rs485::Off, Reported::Plain, Plan::Leave),
            (Rs485::Off, Reported::Turning, Plan::Leave),
        ] {
            assert_eq!(plan(wanted, reported), expected, "{wanted:?} {reported:?}");
        }
    }
}
