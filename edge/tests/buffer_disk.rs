//! A disk without room, for real: a small file system of its own, in a mount namespace of its own.
//!
//! Each test runs itself again inside of it. Where the machine allows no such namespace the test says
//! that it was skipped.

mod buffer_kit;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use buffer_kit::{Folder, contents, counts, line, open, options, samples, seal};
use fieldgate_edge::buffer::{BufferOptions, Intake};
use fieldgate_model::{Content, Position, Sample, Stream, Value};

/// Says to a test that it is inside, and where the small file system is.
const INSIDE: &str = "FIELDGATE_SMALL_DISK";

/// The small file system, if this process has one; else the test is run again in one.
fn inside(test: &str, size: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(INSIDE) {
        return Some(path.into());
    }
    let folder = Folder::new("disk");
    fs::create_dir_all(&folder.0).expect("a fresh folder");
    let exe = std::env::current_exe().expect("a program has a file");
    let is_root = rustix::process::geteuid().is_root();
    let run = Command::new("unshare")
        .arg(if is_root { "-m" } else { "-Urm" })
        .args(["sh", "-c", "mount -t tmpfs -o size=\"$2\" tmpfs \"$1\" || exit 77; exec \"$0\" --exact \"$3\" --nocapture"])
        .arg(exe)
        .arg(&folder.0)
        .args([size, test])
        .env(INSIDE, &folder.0)
        .output();
    let output = match run {
        Ok(output) if output.status.code() != Some(77) => output,
        Ok(_) | Err(_) => {
            let words = format!("skipped {test}: no mount namespace is allowed here\n");
            std::io::stdout().write_all(words.as_bytes()).expect("stdout");
            return None;
        }
    };
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}\n{errors}");
    assert!(words.contains("1 passed"), "{words}");
    None
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).expect("a name costs nothing");
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0xff; size]).is_ok() {}
    }
}

/// Samples that no encoding makes small.
fn noise(from: u64, count: u64) -> Intake {
    let one = |number: u64| Sample {
        value: Some(Value::Unsigned(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8)),
        ..samples(number..number + 1).samples.remove(0)
    };
    Intake { samples: (from..from + count).map(one).collect(), ..Intake::default() }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_heals_when_there_is_room() {
    let test = "a_full_disk_loses_nothing_and_heals_when_there_is_room";
    let Some(disk) = inside(test, "12m") else { return };
    let folder = disk.join("data");
    let (buffer, _) = open(BufferOptions { max_bytes: 8 * 1024 * 1024, ..options(&folder) });
    buffer.append(noise(0, 1_000)).await.expect("runs");
    seal(&buffer).await;
    fill(&disk.join("filler"));
    for round in 1..60 {
        buffer.append(noise(round * 1_000, 1_000)).await.expect("the intake never stops");
        buffer.tick().await.expect("runs");
    }
    fs::remove_file(disk.join("filler")).expect("it is there");
    for _ in 0..3 {
        buffer.tick().await.expect("runs");
    }
    seal(&buffer).await;
    let stats = buffer.stats().borrow().clone();
    assert_eq!((stats.failing, stats.dropped), (None, 0));
    let held = line(&buffer, Stream::Samples);
    assert_eq!((held.first, held.stored), (Position(0), Position(60_000)));
    let held = contents(&buffer, held).await;
    assert!(held.iter().all(|content| matches!(content, Content::Samples { .. })));
    buffer.stop().await.expect("stops");
}

#[tokio::test]
async fn a_gateway_starts_on_a_full_disk_and_keeps_what_comes_in() {
    let test = "a_gateway_starts_on_a_full_disk_and_keeps_what_comes_in";
    let Some(disk) = inside(test, "4m") else { return };
    let folder = disk.join("data");
    fs::create_dir_all(&folder).expect("room for a name");
    fill(&disk.join("filler"));
    let (buffer, _) = open(options(&folder));
    buffer.append(samples(0..100)).await.expect("the intake never stops");
    buffer.tick().await.expect("runs");
    fs::remove_file(disk.join("filler")).expect("it is there");
    seal(&buffer).await;
    let held = contents(&buffer, line(&buffer, Stream::Samples)).await;
    assert_eq!(counts(&held), (0..100).collect::<Vec<_>>());
    buffer.stop().await.expect("stops");
}
