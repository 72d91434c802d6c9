//! What must hold for any bytes: an answer of bounded size, and never a panic. A seed replays a case.

use fieldgate_rules::payload::{Node, Pointer, cbor, json, senml};

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

/// Good documents to start from: mutations of them get further than noise does.
const GOOD: [&[u8]; 6] = [
    br#"[{"bn":"urn:dev:a:","bt":1.276020076001e+09,"bu":"A","n":"v","u":"V","v":120.1},{"n":"c","t":-5,"s":1}]"#,
    br#"{"a":{"b":[1,2.5,null,true,"x"]},"~/":-9223372036854775808}"#,
    &[0x82, 0xa3, 0x21, 0x61, b'a', 0x00, 0x61, b'b', 0x02, 0xf9, 0x3c, 0x00, 0xa2, 0x00, 0x60, 0x04, 0xf5],
    &[0xbf, 0x01, 0x9f, 0x20, 0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a, 0xff, 0xff],
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

fn nodes(node: &Node) -> usize {
    1 + match node {
        Node::List(items) => items.iter().map(nodes).sum::<usize>(),
        Node::Map(map) => map.values().map(nodes).sum(),
        Node::Null
        | Node::Bool(_)
        | Node::Int(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Bytes(_) => 0,
    }
}

#[test]
fn any_bytes_are_a_document_of_bounded_size_or_an_error() {
    for seed in 0..CASES {
        let mut chance = Chance(seed);
        let bytes = mutated(&mut chance);
        for document in [json::parse(&bytes), cbor::parse(&bytes)].into_iter().flatten() {
            // A value takes at least one byte, so that no length that is only claimed is believed.
            assert!(nodes(&document) <= bytes.len(), "seed {seed}: {bytes:02x?}");
            let records = senml::resolve(&document).unwrap_or_default();
            assert!(records.len() <= bytes.len(), "seed {seed}: {bytes:02x?}");
        }
    }
}

#[test]
fn every_value_of_a_document_is_found_by_its_own_pointer() {
    for seed in 0..CASES / 10 {
        let mut chance = Chance(seed);
        let bytes = mutated(&mut chance);
        let Ok(document) = json::parse(&bytes) else { continue };
        find_all(&document, &document, &mut Vec::new());
    }
}

fn find_all(document: &Node, node: &Node, way: &mut Vec<String>) {
    let escaped = way.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")));
    let text: String = escaped.collect();
    let pointer: Pointer = text.parse().expect("a pointer");
    assert_eq!(pointer.find(document), Some(node), "{text}");
    assert_eq!(pointer.to_string(), text);
    match node {
        Node::List(items) => {
            for (place, item) in items.iter().enumerate() {
                way.push(place.to_string());
                find_all(document, item, way);
                way.pop();
            }
        }
        Node::Map(map) => {
            for (key, item) in map {
                way.push(key.to_string());
                find_all(document, item, way);
                way.pop();
            }
        }
        Node::Null
        | Node::Bool(_)
        | Node::Int(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Bytes(_) => {}
    }
}
