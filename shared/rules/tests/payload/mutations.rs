//! The same on a bounded number of mutations of good documents. A seed replays a case.

use super::any_bytes::{any_cbor, any_json, any_pointer, any_senml};

/// Cases a run; `tests/fuzz/run` goes on for as long as one likes.
const CASES: u64 = 20_000;

/// Numbers from a seed (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a size")
    }
}

/// Good documents and pointers to start from: mutations of them get further than noise does.
const GOOD: [&[u8]; 8] = [
    br#"[{"bn":"urn:dev:a:","bt":1.276020076001e+09,"bu":"A","n":"v","u":"V","v":120.1},{"n":"c","t":-5,"s":1}]"#,
    br#"{"a":{"b":[1,2.5,null,true,"x"]},"~/":-9223372036854775808}"#,
    b"/a/1/b~1c",
    b"/~0/",
    &[
        0x82, 0xa3, 0x21, 0x61, b'a', 0x00, 0x61, b'b', 0x02, 0xf9, 0x3c, 0x00, 0xa2, 0x00, 0x60,
        0x04, 0xf5,
    ],
    &[
        0xbf, 0x01, 0x9f, 0x20, 0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a, 0xff, 0xff,
    ],
    &[0xc4, 0x82, 0x21, 0x19, 0x6a, 0xb3],
    &[0x9f, 0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0x61, b'a', 0xff, 0xff],
];

fn mutated(chance: &mut Chance) -> Vec<u8> {
    let mut bytes = GOOD[chance.below(GOOD.len())].to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len());
        let byte = u8::try_from(chance.below(256)).expect("a byte");
        match chance.below(4) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 if bytes.len() > 1 => {
                bytes.remove(at);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

#[test]
fn any_bytes_end_in_a_document_of_bounded_size_or_an_error() {
    for seed in 0..CASES {
        let bytes = mutated(&mut Chance(seed));
        let shown = std::panic::catch_unwind(|| {
            any_json(&bytes);
            any_cbor(&bytes);
            any_senml(&bytes);
            any_pointer(&bytes);
        });
        assert!(shown.is_ok(), "seed {seed}: {bytes:02x?}");
    }
}
