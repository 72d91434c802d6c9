//! A disk that refuses: an fsync that fails once or for a while, whether or not it had happened.

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It has not happened.
    Undone,
    /// It has happened all the same.
    Done,
}

/// The faults that wait for the next commits of one file.
#[derive(Debug, Default)]
pub(crate) struct Faulty(Option<(Fault, usize)>);

impl Faulty {
    /// The next `commits` fail.
    pub(crate) fn set(&mut self, fault: Fault, commits: usize) {
        self.0 = Some((fault, commits));
    }

    pub(crate) fn heal(&mut self) {
        self.0 = None;
    }

    /// How the commit that is tried fails, if it does.
    pub(crate) fn take(&mut self) -> Option<Fault> {
        let (fault, left) = self.0.as_mut()?;
        let fault = *fault;
        *left -= 1;
        if *left == 0 {
            self.0 = None;
        }
        Some(fault)
    }
}
