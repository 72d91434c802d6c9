//! A naive model of what was sent, beside the store that has it in batches, blocks and rollups.

use std::collections::BTreeMap;

use fieldgate_cloud::store::query::{Readers, SamplePlace, SampleQuery, SignalId, SignalKey};
use fieldgate_cloud::store::{
    BatchState, BlockRules, Commit, RollupRules, SqliteStore, Store as _, Total,
};
use fieldgate_model::{
    Batch, BootId, Catalogue, CatalogueDevice, CatalogueId, CatalogueSignal, Cause, Content,
    DeviceName, Digest, Gap, GapReason, IncarnationId, Millis, Position, Quality, Sample, Scale,
    SignalIndex, SignalName, Stream, UtcMillis, Value, ValueKind,
};
use fieldgate_pack::Zstd;
use fieldgate_wire::{
    catalogue_id, chain_start, encode_batch, encode_batch_packed, encode_catalogue, leaf, link,
};

use super::support::{BEGIN, TempDir, gateway, populated, tenant};

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

    fn below_i64(&mut self, end: u64) -> i64 {
        i64::try_from(self.below(end)).expect("small")
    }
}

const KINDS: [ValueKind; 5] =
    [ValueKind::Int, ValueKind::Bool, ValueKind::Float32, ValueKind::Text, ValueKind::Float64];

/// A device with a signal of most kinds; another `version` scales them otherwise.
pub(super) fn catalogue(version: u8) -> Catalogue {
    let signal = |(number, kind): (usize, &ValueKind)| CatalogueSignal {
        name: SignalName::new(format!("s{number}")).expect("an id"),
        kind: *kind,
        unit: String::new(),
        scale: Scale::new(if version == 0 { 0.1 } else { -0.5 }, f64::from(version) * 3.0)
            .expect("a scale"),
        writable: false,
    };
    let signals = KINDS.iter().enumerate().map(signal).collect();
    let name = DeviceName::new("meter").expect("an id");
    Catalogue { devices: vec![CatalogueDevice { name, profile: "m@1".into(), signals }] }
}

/// What one signal said, as the model has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) place: SamplePlace,
    pub(super) value: Option<Value>,
    pub(super) quality: Quality,
    pub(super) scale: Scale,
}

/// One life of the buffer of `g1`.
struct Life {
    incarnation: IncarnationId,
    boot: u8,
    at: u64,
    next: Position,
    chain: Digest,
}

/// The store, its readers, and the model.
pub(super) struct History {
    pub(super) folder: TempDir,
    pub(super) store: SqliteStore,
    pub(super) readers: Readers,
    pub(super) said: BTreeMap<u32, Vec<Said>>,
    pub(super) now: UtcMillis,
    codec: Zstd,
    lives: Vec<Life>,
}

impl History {
    pub(super) fn new() -> Self {
        let folder = TempDir::new();
        let mut store = populated(&folder.database());
        for version in [0, 1] {
            let list = catalogue(version);
            let bytes = encode_catalogue(&list);
            store.save_catalogue(&gateway("g1"), &catalogue_id(&list), &bytes).expect("is kept");
        }
        let readers = Readers::open(&folder.database(), 1).expect("readers open");
        let life = |number: u8| {
            let incarnation = IncarnationId([number; 16]);
            let chain = chain_start(&gateway("g1"), incarnation, Stream::Samples);
            Life { incarnation, boot: number, at: 1_000, next: Position(0), chain }
        };
        let (said, lives) = (BTreeMap::new(), vec![life(1), life(2)]);
        Self { folder, store, readers, said, now: BEGIN, codec: Zstd::new(), lives }
    }

    pub(super) fn incarnations(&self) -> Vec<IncarnationId> {
        self.lives.iter().map(|life| life.incarnation).collect()
    }

    /// Commits a batch of any sort.
    pub(super) fn send(&mut self, rng: &mut Rng) {
        let number = usize::try_from(rng.below(8) / 7).expect("small");
        if rng.below(30) == 0 {
            self.lives[number].boot += 10;
        }
        let content = match rng.below(20) {
            0 => Content::Gap(Gap {
                reason: GapReason::BufferFull,
                from: Millis(self.lives[number].at),
                to: Millis(self.lives[number].at + 5_000),
                summary: None,
            }),
            sort => {
                let version = u8::from(rng.below(25) == 0);
                let polls = 1 + rng.below(60);
                // A clock of milliseconds, and now and then an hour of silence.
                let step = if sort == 1 { 3_600_000 } else { 900 + rng.below(200) };
                let samples = self.samples(number, polls, step, rng);
                Content::Samples { catalogue: catalogue_id(&catalogue(version)), samples }
            }
        };
        // Late data lies hours before, and some has no time of day.
        let offset = match rng.below(20) {
            0 => None,
            1 => Some(UtcMillis(BEGIN.0 - 7_200_000)),
            _ => Some(BEGIN),
        };
        self.commit(number, content, offset, rng.below(25) == 0);
    }

    fn samples(&mut self, number: usize, polls: u64, step: u64, rng: &mut Rng) -> Vec<Sample> {
        let begin = self.lives[number].at;
        self.lives[number].at += polls * step;
        let mut samples = Vec::new();
        for (signal, kind) in (0_u32..).zip(KINDS) {
            for poll in 0..polls {
                let quality = match rng.below(12) {
                    0 => Quality::Bad(Cause::LinkDown),
                    1 => Quality::Uncertain,
                    _ => Quality::Good,
                };
                let value = value(kind, rng);
                let value = (!matches!(quality, Quality::Bad(_))).then_some(value);
                let at = Millis(begin + poll * step);
                samples.push(Sample { signal: SignalIndex(signal), at, value, quality });
            }
        }
        samples
    }

    fn commit(
        &mut self,
        number: usize,
        content: Content,
        offset: Option<UtcMillis>,
        is_opaque: bool,
    ) {
        let life = &mut self.lives[number];
        let records = match &content {
            Content::Samples { samples, .. } => samples.len() as u64,
            Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => 70,
        };
        let mut batch = Batch {
            incarnation: life.incarnation,
            stream: Stream::Samples,
            first: life.next,
            next: Position(life.next.0 + records),
            chain: Digest([0; 32]),
            boot: BootId([life.boot; 16]),
            utc_offset: offset,
            content,
        };
        batch.chain = link(life.chain, leaf(&batch));
        (life.next, life.chain) = (batch.next, batch.chain);
        let body = if records % 2 == 0 {
            encode_batch(&batch)
        } else {
            encode_batch_packed(&batch, &mut self.codec)
        };
        let state = match &batch.content {
            _ if is_opaque => BatchState::Opaque,
            Content::Gap(_) => BatchState::Gap,
            Content::Samples { .. } | Content::Events(_) | Content::Outcomes(_) => {
                BatchState::Readable
            }
        };
        let mut commit = Commit {
            tenant: tenant("acme"),
            gateway: gateway("g1"),
            incarnation: batch.incarnation,
            stream: batch.stream,
            first: batch.first,
            next: batch.next,
            chain: batch.chain,
            catalogue: None,
            boot: batch.boot,
            mono: None,
            anchors: Vec::new(),
            span: None,
            state,
            samples: records,
            events: 0,
            alarms: Vec::new(),
            closings: Vec::new(),
            steps: Vec::new(),
            local_writes: Vec::new(),
            body,
        };
        if let (BatchState::Readable, Content::Samples { catalogue, samples }) =
            (state, &batch.content)
        {
            commit.catalogue = Some(*catalogue);
            let times = || samples.iter().map(|sample| sample.at);
            commit.span = times().min().zip(times().max()).and_then(|(from, to)| {
                let offset = offset?;
                Some((offset + from, offset + to))
            });
            self.remember(&batch, *catalogue, samples);
        }
        self.store.commit(&[commit], self.now).expect("is committed");
    }

    fn remember(&mut self, batch: &Batch, id: CatalogueId, samples: &[Sample]) {
        let version = u8::from(id != catalogue_id(&catalogue(0)));
        let list = catalogue(version);
        for (sample, position) in samples.iter().zip(batch.first.0..) {
            let position = Position(position);
            let (_, signal) = list.get(sample.signal).expect("a known signal");
            self.said.entry(sample.signal.0).or_default().push(Said {
                place: match batch.utc_offset {
                    Some(offset) => {
                        SamplePlace::Placed(offset + sample.at, batch.incarnation, position)
                    }
                    None => SamplePlace::Unplaced(batch.incarnation, position),
                },
                value: sample.value.clone(),
                quality: sample.quality,
                scale: signal.scale,
            });
        }
    }

    /// One step of the compactor; how much of it was put in place.
    pub(super) async fn compact(&mut self, rules: BlockRules) -> usize {
        let planned = self.readers.plan_blocks(rules, self.now).await.expect("is planned");
        self.store.compact(&planned, self.now).expect("is put in place")
    }

    /// One step of the rollups.
    pub(super) async fn roll(&mut self, rules: RollupRules) -> usize {
        let planned = self.readers.plan_rollups(rules, self.now).await.expect("is planned");
        self.store.roll(&planned, self.now).expect("is put in place")
    }

    /// What was said of a signal from `from` on to before `to`, in the order of its telling.
    pub(super) fn model(&self, signal: u32, range: (UtcMillis, UtcMillis)) -> Vec<Said> {
        let inside = |said: &&Said| match said.place {
            SamplePlace::Placed(at, ..) => range.0 <= at && at < range.1,
            SamplePlace::Unplaced(..) => range == ALL,
        };
        let said = self.said.get(&signal).map_or(&[][..], Vec::as_slice);
        let mut said: Vec<_> = said.iter().filter(inside).cloned().collect();
        said.sort_by_key(|said| said.place);
        said
    }

    /// The same from the store, in pages.
    pub(super) async fn stored(
        &self,
        signal: u32,
        range: (UtcMillis, UtcMillis),
        page: usize,
    ) -> Vec<Said> {
        let mut query = SampleQuery {
            signal: id(signal),
            from: Some(range.0),
            to: Some(range.1),
            after: None,
            unplaced: range == ALL,
        };
        let mut found = Vec::new();
        loop {
            let read = self.readers.samples(query.clone(), page).await.expect("an answer");
            let read = read.expect("a known signal");
            found.extend(read.samples.into_iter().map(|sample| Said {
                place: sample.place,
                value: sample.value,
                quality: sample.quality,
                scale: sample.signal.scale,
            }));
            if !read.more {
                return found;
            }
            query.after = found.last().map(|last| last.place);
        }
    }
}

/// Everything there is.
pub(super) const ALL: (UtcMillis, UtcMillis) = (UtcMillis(i64::MIN), UtcMillis(i64::MAX));

pub(super) fn id(signal: u32) -> SignalId {
    let device = DeviceName::new("meter").expect("an id");
    let signal = SignalName::new(format!("s{signal}")).expect("an id");
    SignalId { gateway: gateway("g1"), key: SignalKey { device, signal } }
}

pub(super) fn fold(said: &[Said]) -> Total {
    let mut total = Total::EMPTY;
    for said in said {
        total.take(said.value.as_ref().and_then(|value| said.scale.apply(value)));
    }
    total
}

fn value(kind: ValueKind, rng: &mut Rng) -> Value {
    match kind {
        ValueKind::Bool => Value::Bool(rng.below(2) == 0),
        ValueKind::Int => Value::Int(2_300 + rng.below_i64(40)),
        ValueKind::Unsigned => Value::Unsigned(rng.below(1 << 40)),
        // Some are decimals, some are not, and one in a thousand is no number.
        ValueKind::Float32 => Value::Float32(match rng.below(1000) {
            0 => f32::NAN,
            some => f32::from(u16::try_from(some).expect("small")) / 10.0,
        }),
        ValueKind::Float64 => {
            Value::Float64(f64::from_bits(0x4060_0000_0000_0000 + rng.below(1 << 50)))
        }
        ValueKind::Text => Value::Text(format!("läuft {}", rng.below(3))),
    }
}
