//! The numbers that stand for choices, in messages and in leaves. None ever changes its meaning.

use fieldgate_model::{
    AlarmState, CommandStep, DoubtCause, FailureKind, GapReason, ResetCause, Severity, Stream,
    TimeSource, ValueKind,
};

use crate::error::{Fault, Wrong};
use crate::{DownKind, PauseReason};

macro_rules! codes {
    ($noun:ident, $of:ident, $to:ident, { $($code:literal = $variant:ident),+ }) => {
        pub(crate) const fn $of(noun: $noun) -> u8 {
            match noun {
                $($noun::$variant => $code),+
            }
        }

        pub(crate) fn $to(field: &'static str, code: u8) -> Result<$noun, Wrong> {
            match code {
                $($code => Ok($noun::$variant),)+
                unknown => Err(Wrong::new(field, Fault::UnknownCode(u64::from(unknown)))),
            }
        }
    };
}

codes!(Severity, of_severity, to_severity, { 0 = Low, 1 = Medium, 2 = High, 3 = Urgent });
codes!(AlarmState, of_alarm_state, to_alarm_state, { 0 = Normal, 1 = Active });
codes!(TimeSource, of_time_source, to_time_source, { 0 = System, 1 = Cloud });
codes!(GapReason, of_gap_reason, to_gap_reason, { 0 = BufferFull, 1 = Damaged, 2 = Refused });
codes!(ResetCause, of_reset_cause, to_reset_cause, {
    0 = Damaged, 1 = WentBack, 2 = Missing, 3 = Copied
});
codes!(CommandStep, of_command_step, to_command_step, { 0 = Received, 1 = Started });
codes!(DoubtCause, of_doubt_cause, to_doubt_cause, { 0 = JournalLost, 1 = Forked });
codes!(FailureKind, of_failure_kind, to_failure_kind, {
    0 = Refused, 1 = Exception, 2 = NoAnswer, 3 = VerifyMismatch
});
codes!(ValueKind, of_value_kind, to_value_kind, {
    1 = Bool, 2 = Int, 3 = Unsigned, 4 = Float32, 5 = Float64, 6 = Text
});
codes!(PauseReason, of_pause_reason, to_pause_reason, {
    0 = Suspended, 1 = Quota, 2 = Full, 3 = NotReady
});
codes!(DownKind, of_down_kind, to_down_kind, {
    0 = Welcome, 1 = Ack, 2 = Need, 3 = Pause, 4 = Command, 5 = Watch, 6 = Refuse
});

pub(crate) fn to_stream(code: u8) -> Result<Stream, Wrong> {
    Stream::from_code(code).ok_or_else(|| Wrong::new("stream", Fault::UnknownCode(u64::from(code))))
}
