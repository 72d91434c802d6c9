//! The power: a fuse burns with every write and every effect, and a process dies when it is out.

/// The process is gone; nothing after this point has happened.
#[derive(Debug)]
pub(crate) struct PowerCut;

/// How many writes and effects a process still has, if its end is fixed.
#[derive(Debug, Default)]
pub(crate) struct Fuse(Option<usize>);

impl Fuse {
    /// The process will die between two of its next `steps` writes or effects.
    pub(crate) fn arm(&mut self, steps: usize) {
        self.0 = Some(steps);
    }

    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }

    pub(crate) fn burn(&mut self) -> Result<(), PowerCut> {
        match &mut self.0 {
            None => Ok(()),
            Some(0) => {
                self.0 = None;
                Err(PowerCut)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}
