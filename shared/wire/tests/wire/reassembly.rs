//! A catalogue arrives whole, whatever happens to its chunks.

use fieldgate_model::{Catalogue, CatalogueDevice, CatalogueId, DeviceName};
use fieldgate_wire::{
    CatalogueChunk, MESSAGE_BYTES_MAX, Reassembly, ReassemblyError, catalogue_id, chunk_catalogue,
    v1,
};

use crate::rng::Rng;
use crate::round_trip;

/// A catalogue of several chunks.
fn large() -> Catalogue {
    let mut rng = Rng::new(7);
    let mut catalogue = Catalogue::default();
    while v1::encode_catalogue(&catalogue).len() < 200_000 {
        for _ in 0..50 {
            catalogue.devices.extend(round_trip::catalogue(&mut rng).devices);
        }
    }
    catalogue
}

#[test]
fn chunks_in_any_order_and_number_give_the_catalogue() {
    let catalogue = large();
    let chunks = chunk_catalogue(&catalogue);
    assert!(chunks.len() > 3);
    for chunk in &chunks {
        let bytes = v1::encode_catalogue_chunk(chunk);
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        assert_eq!(v1::decode_catalogue_chunk(&bytes).as_ref(), Ok(chunk));
    }
    let mut reassembly = Reassembly::new(catalogue_id(&catalogue));
    let (last, others) = chunks.split_last().expect("several chunks");
    for chunk in others.iter().rev().chain(others) {
        assert_eq!(reassembly.handle_chunk(chunk.clone()), Ok(None));
    }
    let bytes = reassembly.handle_chunk(last.clone()).expect("its own").expect("the last");
    assert_eq!(v1::decode_catalogue(&bytes), Ok(catalogue));
}

#[test]
fn an_empty_catalogue_is_one_chunk() {
    let chunks = chunk_catalogue(&Catalogue::default());
    assert_eq!(chunks.len(), 1);
    let mut reassembly = Reassembly::new(chunks[0].catalogue);
    assert!(reassembly.handle_chunk(chunks[0].clone()).expect("its own").is_some());
}

#[test]
fn a_forged_chunk_is_found_and_the_catalogue_can_still_arrive() {
    let name = DeviceName::new("pump").expect("an id");
    let device = CatalogueDevice { name, profile: "pump@1".into(), signals: vec![] };
    let catalogue = Catalogue { devices: vec![device] };
    let chunk = chunk_catalogue(&catalogue).remove(0);
    let mut reassembly = Reassembly::new(chunk.catalogue);

    let foreign = CatalogueChunk { catalogue: CatalogueId([9; 32]), ..chunk.clone() };
    let refused = Err(ReassemblyError::Foreign(CatalogueId([9; 32])));
    assert_eq!(reassembly.handle_chunk(foreign), refused);
    let forged = CatalogueChunk { bytes: vec![0xa0], ..chunk.clone() };
    assert!(matches!(reassembly.handle_chunk(forged), Err(ReassemblyError::Hash(_))));
    let recut = CatalogueChunk { count: 2, ..chunk.clone() };
    assert_eq!(reassembly.handle_chunk(recut), Ok(None));
    assert!(reassembly.handle_chunk(chunk).expect("its own").is_some());
}

#[test]
fn a_chunk_that_cannot_belong_to_a_catalogue_is_refused() {
    let chunk = |index, count, length| CatalogueChunk {
        catalogue: CatalogueId([0; 32]),
        index,
        count,
        bytes: vec![0; length],
    };
    for (chunk, fits) in [
        (chunk(68, 69, 60 * 1024), true),
        (chunk(0, 0, 0), false),
        (chunk(1, 1, 1), false),
        (chunk(0, 70, 1), false),
        (chunk(0, 1, 60 * 1024 + 1), false),
    ] {
        let bytes = v1::encode_catalogue_chunk(&chunk);
        assert_eq!(
            v1::decode_catalogue_chunk(&bytes).is_ok(),
            fits,
            "{} {}",
            chunk.index,
            chunk.count
        );
    }
}
