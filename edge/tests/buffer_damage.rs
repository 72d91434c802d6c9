//! Damaged, cut, restored, mixed and copied stores: whatever stands in the folder, a buffer opens, goes
//! on, and says what is lost. Never is anything lost in silence, doubled, or given a name that other
//! content had.

mod buffer_kit;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use buffer_kit::{Folder, line, open, options, samples, seal};
use fieldgate_edge::buffer::{Buffer, BufferOptions, Intake};
use fieldgate_model::{
    Content, Event, EventRecord, IncarnationId, Millis, Position, ResetCause, Sample, Stream, Value,
};

/// Images of one run of the tests; more with `FIELDGATE_LONG`.
const IMAGES: u64 = 600;
const SECTOR_BYTES: usize = 512;

/// The files of a folder at one moment.
type Image = BTreeMap<String, Vec<u8>>;

/// What is known for sure about a run: its images, and what each position held.
struct Truth {
    images: Vec<Image>,
    /// Numbers that were durable when the last image was taken.
    durable: BTreeSet<u64>,
    /// What was announced, by name.
    number_by_name: BTreeMap<(IncarnationId, Position), u64>,
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("below a usize")
    }
}

fn small(folder: &Path) -> BufferOptions {
    // The smallest ring, so that an image is small and several of its laps are passed.
    BufferOptions { max_bytes: 2 * 1024 * 1024 + 512 * 1024, ..options(folder) }
}

fn image(folder: &Path) -> Image {
    let mut image = Image::new();
    for entry in fs::read_dir(folder).expect("the folder exists").flatten() {
        let name = entry.file_name().into_string().expect("our own names");
        // The shared memory of the WAL is made anew by whoever opens first.
        if name != "buffer.lock" && name != "buffer.db-shm" && name != "buffer.ballast" {
            image.insert(name, fs::read(entry.path()).expect("a small file"));
        }
    }
    image
}

fn write(image: &Image, folder: &Path) {
    fs::create_dir_all(folder).expect("a fresh folder");
    for (name, bytes) in image {
        fs::write(folder.join(name), bytes).expect("a small file");
    }
}

fn numbers(content: &Content) -> Vec<u64> {
    let number = |sample: &Sample| match sample.value {
        Some(Value::Unsigned(number)) => number,
        ref other => panic!("{other:?}"),
    };
    match content {
        Content::Samples { samples, .. } => samples.iter().map(number).collect(),
        Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => Vec::new(),
    }
}

/// A run of some flushes, seals and takes, and a crash.
async fn run() -> Truth {
    let folder = Folder::in_memory("truth");
    let (buffer, _) = open(small(&folder.0));
    let mut images = vec![image(&folder.0)];
    let mut next = 0;
    for round in 0..60 {
        buffer.append(samples(next..next + 37)).await.expect("runs");
        next += 37;
        if round % 3 == 2 {
            let event = Event::Restart { last_durable: None };
            let events = vec![EventRecord { at: Millis(round), event }];
            let intake = Intake { events, ..Intake::default() };
            buffer.append_durably(intake).await.expect("runs");
        } else {
            buffer.tick().await.expect("runs");
        }
        if round % 10 == 9 {
            // A question is answered after everything before it has been done.
            seal(&buffer).await;
            images.push(image(&folder.0));
        }
    }
    let held = line(&buffer, Stream::Samples);
    let mut number_by_name = BTreeMap::new();
    let mut at = held.first;
    while at < held.stored {
        let (body, end) = load(&buffer, held.incarnation, held.stream, at).await;
        let batch = fieldgate_wire::decode_batch(&body).expect("ours");
        for (offset, number) in numbers(&batch.content).into_iter().enumerate() {
            let place = Position(at.0 + offset as u64);
            number_by_name.insert((held.incarnation, place), number);
        }
        at = end;
    }
    assert_eq!(number_by_name.len() as u64, next, "the truth is whole");
    buffer.stop().await.expect("stops");
    Truth { images, durable: (0..next).collect(), number_by_name }
}

async fn load(
    buffer: &Buffer,
    incarnation: IncarnationId,
    stream: Stream,
    at: Position,
) -> (Vec<u8>, Position) {
    let loaded = buffer.load(incarnation, stream, at).await.expect("runs");
    loaded.unwrap_or_else(|| panic!("{stream:?} {at:?} of {incarnation} does not load"))
}

/// One image and what has become of it.
fn spoil(truth: &Truth, dice: &mut Dice) -> (Image, String) {
    let last = truth.images.last().expect("an image");
    let mut spoilt = last.clone();
    let names: Vec<String> = spoilt.keys().cloned().collect();
    let name = names[dice.below(names.len())].clone();
    let older = truth.images[dice.below(truth.images.len() - 1)].clone();
    let bytes = spoilt.get_mut(&name).expect("a file of it");
    let sector = |dice: &mut Dice, bytes: &[u8]| {
        let from = dice.below(bytes.len().div_ceil(SECTOR_BYTES)) * SECTOR_BYTES;
        from..bytes.len().min(from + SECTOR_BYTES)
    };
    let what = match dice.below(9) {
        _ if bytes.is_empty() => "empty",
        0 | 1 => {
            let bit = dice.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            "one bit"
        }
        2 => {
            let range = sector(dice, bytes);
            bytes[range].fill(0);
            "a sector of zeros"
        }
        3 | 4 => {
            let range = sector(dice, bytes);
            bytes[range].fill(0xa5);
            "a sector of garbage"
        }
        5 => {
            let cut = dice.below(bytes.len());
            bytes.truncate(cut);
            "cut"
        }
        6 => {
            match older.get(&name) {
                Some(old) => bytes.clone_from(old),
                None => bytes.clear(),
            }
            "an older one"
        }
        7 => {
            spoilt.remove(&name);
            "gone"
        }
        _ => {
            spoilt = older;
            "everything older"
        }
    };
    (spoilt, format!("{name}: {what}"))
}

/// Opens an image and looks at all that it holds; says whether anything was lost.
async fn judge(truth: &Truth, image: &Image, what: &str) -> bool {
    let folder = Folder::in_memory("image");
    write(image, &folder.0);
    let (buffer, _) = open(small(&folder.0));
    let mut found = BTreeSet::new();
    let mut gaps = 0;
    let mut is_told = false;
    let lines = buffer.lines().borrow().clone();
    for held in &lines {
        gaps += held.first.0;
        let mut at = held.first;
        while at < held.stored {
            let (body, end) = load(&buffer, held.incarnation, held.stream, at).await;
            let batch = fieldgate_wire::decode_batch(&body).expect("what loads can be read");
            if let Content::Events(events) = &batch.content {
                is_told |= events.iter().any(|record| matches!(record.event, Event::Reset { .. }));
            }
            if matches!(batch.content, Content::Gap(_)) {
                gaps += end - at;
            }
            for (offset, number) in numbers(&batch.content).into_iter().enumerate() {
                let name = (held.incarnation, Position(at.0 + offset as u64));
                let known = truth.number_by_name.get(&name);
                assert!(known.is_none_or(|known| *known == number), "{what}: {name:?} is another");
                assert!(truth.durable.contains(&number), "{what}: {number} was never taken in");
                assert!(found.insert(number), "{what}: {number} is there twice");
            }
            at = end;
        }
    }
    let lost: Vec<u64> = truth.durable.difference(&found).copied().collect();
    assert!(lost.is_empty() || is_told || gaps > 0, "{what}: {} lost in silence", lost.len());
    // What comes now must not take a name that was given away.
    buffer.append(samples(1_000_000..1_000_001)).await.expect("runs");
    seal(&buffer).await;
    let now = line(&buffer, Stream::Samples);
    let place = (now.incarnation, Position(now.stored.0 - 1));
    assert!(!truth.number_by_name.contains_key(&place), "{what}: {place:?} is used again");
    buffer.stop().await.expect("stops");
    !lost.is_empty()
}

#[tokio::test]
async fn no_image_loses_anything_in_silence_or_tells_anything_twice() {
    let truth = run().await;
    let images = IMAGES * if std::env::var_os("FIELDGATE_LONG").is_some() { 30 } else { 1 };
    let mut dice = Dice(0x5eed_cafe_f00d);
    let mut lossy = 0;
    for _ in 0..images {
        let (image, what) = spoil(&truth, &mut dice);
        lossy += u64::from(judge(&truth, &image, &what).await);
    }
    assert!(0 < lossy && lossy < images, "{lossy} of {images} lost something");
    let words = format!("{images} images, {lossy} with a loss, each declared\n");
    std::io::Write::write_all(&mut std::io::stdout(), words.as_bytes()).expect("stdout");
}

#[tokio::test]
async fn a_copy_of_a_folder_goes_on_under_another_name_and_loses_nothing() {
    let truth = run().await;
    let image = truth.images.last().expect("an image");
    let folder = Folder::new("copy");
    write(image, &folder.0);
    let (buffer, recovered) = open(small(&folder.0));
    assert_eq!(recovered.reset, Some(ResetCause::Copied));
    let lines = buffer.lines().borrow().clone();
    let of_samples: Vec<_> = lines.iter().filter(|line| line.stream == Stream::Samples).collect();
    assert_eq!(of_samples.len(), 2, "the old one drains first: {lines:?}");
    assert_eq!(of_samples[0].stored.0, truth.number_by_name.len() as u64);
    buffer.stop().await.expect("stops");
    let (buffer, recovered) = open(small(&folder.0));
    assert_eq!(recovered.reset, None, "only once");
    buffer.stop().await.expect("stops");
}

#[tokio::test]
async fn files_that_go_while_the_gateway_runs_are_missed_and_replaced() {
    for gone in [&["buffer.db", "buffer.db-wal"][..], &["buffer.ring"][..]] {
        let folder = Folder::new("gone");
        let (buffer, _) = open(small(&folder.0));
        buffer.append(samples(0..100)).await.expect("runs");
        seal(&buffer).await;
        let before = line(&buffer, Stream::Samples);
        for name in gone {
            fs::remove_file(folder.0.join(name)).expect("it is there");
        }
        // Each takes room of the ring; before the database takes any, the files are looked for.
        for at in 0..40 {
            buffer.append(samples(100 + at..101 + at)).await.expect("runs");
            seal(&buffer).await;
        }
        let after = line(&buffer, Stream::Samples);
        assert_ne!(after.incarnation, before.incarnation, "{gone:?}");
        let mut found = BTreeSet::new();
        for held in buffer.lines().borrow().clone() {
            let mut at = held.first;
            while at < held.stored {
                let (body, end) = load(&buffer, held.incarnation, held.stream, at).await;
                let batch = fieldgate_wire::decode_batch(&body).expect("ours");
                found.extend(numbers(&batch.content));
                at = end;
            }
        }
        assert_eq!(found, (0..140).collect(), "{gone:?}: the other file, or memory, had it all");
        assert!(folder.0.join(gone[0]).exists(), "{gone:?} is there again");
        buffer.stop().await.expect("stops");
    }
}
