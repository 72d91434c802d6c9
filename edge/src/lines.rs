//! Which line of a text a byte stands in.

/// Where the lines of a text end. Counting them anew for each of thousands of fields would take
/// time by the square of the text's length.
#[derive(Debug)]
pub(crate) struct Lines {
    ends: Vec<usize>,
}

impl Lines {
    /// The lines of a text.
    pub(crate) fn of(text: &str) -> Self {
        Self { ends: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// The line of a byte, from 1; the last one of what lies behind the text.
    pub(crate) fn at(&self, offset: usize) -> usize {
        1 + self.ends.partition_point(|end| *end < offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_stands_in_the_line_that_its_line_feed_ends() {
        let lines = Lines::of("ab\n\nc");
        let found: Vec<usize> = [0, 2, 3, 4, 9].map(|offset| lines.at(offset)).into();
        assert_eq!(found, [1, 1, 2, 3, 3]);
    }
}
