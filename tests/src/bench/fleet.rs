//! Gateways that only seal and send: slowly varying signals, once a second each, as fast as asked.

use fieldgate_model::{
    Batch, BootId, Catalogue, CatalogueDevice, CatalogueId, CatalogueSignal, Content, DeviceName,
    Digest, Epoch, GatewayId, Head, Hello, IncarnationId, Millis, Position, Quality, Sample, Scale,
    SignalIndex, SignalName, Stream, UtcMillis, Value, ValueKind,
};
use fieldgate_pack::Zstd;
use fieldgate_wire::{
    catalogue_id, chain_start, chunk_catalogue, encode_batch_packed, encode_catalogue_chunk,
    encode_hello, leaf, link,
};

/// 2026-01-01, where all histories begin.
pub(super) const BEGIN: UtcMillis = UtcMillis(1_767_225_600_000);

/// Numbers that look random and are the same in every run (xorshift64).
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// One device of `signals` integers with a scale.
pub(super) fn catalogue(signals: u32) -> Catalogue {
    let signal = |number: u32| CatalogueSignal {
        name: SignalName::new(format!("s{number}")).expect("an id"),
        kind: ValueKind::Int,
        unit: "V".into(),
        scale: Scale::new(0.1, 0.0).expect("a scale"),
        writable: false,
    };
    let name = DeviceName::new("meter").expect("an id");
    let signals = (0..signals).map(signal).collect();
    Catalogue { devices: vec![CatalogueDevice { name, profile: "meter@1".into(), signals }] }
}

/// One gateway.
pub(super) struct Sealer {
    pub(super) id: GatewayId,
    catalogue: Catalogue,
    catalogue_id: CatalogueId,
    polls: u64,
    at: u64,
    levels: Vec<i64>,
    rng: Rng,
    /// After the last batch that was sealed.
    pub(super) next: Position,
    chain: Digest,
    codec: Zstd,
}

impl Sealer {
    /// Gateway `number`, whose batches hold `samples` of `signals` signals.
    pub(super) fn new(number: usize, signals: u32, samples: u32) -> Self {
        let id = GatewayId::new(format!("g{number}")).expect("an id");
        let catalogue = catalogue(signals);
        Self {
            catalogue_id: catalogue_id(&catalogue),
            catalogue,
            polls: u64::from((samples / signals).max(1)),
            at: 1_000,
            levels: (0..i64::from(signals)).map(|signal| 1_000 + 97 * signal).collect(),
            rng: Rng::new(number as u64 + 1),
            next: Position(0),
            chain: chain_start(&id, INCARNATION, Stream::Samples),
            codec: Zstd::new(),
            id,
        }
    }

    pub(super) fn hello(&self) -> Vec<u8> {
        let head = |stream| Head {
            incarnation: INCARNATION,
            stream,
            first: Position(0),
            next: Position(0),
            chain: chain_start(&self.id, INCARNATION, stream),
        };
        encode_hello(&Hello {
            gateway: self.id.clone(),
            boot: BOOT,
            owner: None,
            burned: Epoch(0),
            heads: Stream::ALL.map(head).into(),
            open_commands: 0,
            generation: 1,
            software: "bench".into(),
            at: Millis(1_000),
            utc: Some(BEGIN),
            doubt: None,
        })
    }

    pub(super) fn catalogue_chunks(&self) -> Vec<Vec<u8>> {
        chunk_catalogue(&self.catalogue).iter().map(encode_catalogue_chunk).collect()
    }

    /// The next batch, with its chain.
    pub(super) fn seal(&mut self) -> Batch {
        let (begin, rng) = (self.at, &mut self.rng);
        let times: Vec<u64> =
            (0..self.polls).map(|poll| begin + 1_000 * poll + rng.below(8)).collect();
        self.at += 1_000 * self.polls;
        let mut samples = Vec::with_capacity(times.len() * self.levels.len());
        for (signal, level) in (0_u32..).zip(&mut self.levels) {
            for at in &times {
                *level += rng.below(21).cast_signed() - 10;
                samples.push(Sample {
                    signal: SignalIndex(signal),
                    at: Millis(*at),
                    value: Some(Value::Int(*level)),
                    quality: Quality::Good,
                });
            }
        }
        let first = self.next;
        let mut batch = Batch {
            incarnation: INCARNATION,
            stream: Stream::Samples,
            first,
            next: Position(first.0 + samples.len() as u64),
            chain: self.chain,
            boot: BOOT,
            utc_offset: Some(BEGIN),
            content: Content::Samples { catalogue: self.catalogue_id, samples },
        };
        batch.chain = link(self.chain, leaf(&batch));
        (self.next, self.chain) = (batch.next, batch.chain);
        batch
    }

    /// The next batch as it is sent.
    pub(super) fn message(&mut self) -> Vec<u8> {
        let batch = self.seal();
        encode_batch_packed(&batch, &mut self.codec)
    }
}

const INCARNATION: IncarnationId = IncarnationId([7; 16]);
const BOOT: BootId = BootId([3; 16]);
