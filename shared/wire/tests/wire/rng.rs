//! Numbers that look random and are the same in every run (xorshift64*).

pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from((self.next() >> 16) % end as u64).expect("below a usize")
    }

    pub(crate) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// Often small, sometimes anything up to 63 bits.
    pub(crate) fn number(&mut self) -> u64 {
        let bits = self.below(63);
        (self.next() >> 1) >> bits
    }

    pub(crate) fn signed(&mut self) -> i64 {
        let number = self.number().cast_signed();
        if self.chance(2) { -number } else { number }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.next().to_be_bytes()[0])
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(crate) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.chance(3) { None } else { Some(make(self)) }
    }

    pub(crate) fn list<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    /// 1 to 64 characters of an id.
    pub(crate) fn id(&mut self) -> String {
        let length = 1 + self.below(64);
        (0..length).map(|_| char::from(self.pick(b"abcXYZ019_-"))).collect()
    }

    /// Up to `most` characters, some of several bytes.
    pub(crate) fn text(&mut self, most: usize) -> String {
        self.list(most, |rng| rng.pick(&['a', ' ', '"', '\0', 'ü', '→', '🛢'])).into_iter().collect()
    }
}
