//! The verbs that look into a buffer, on buffers that were really written.

mod buffer_kit;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use buffer_kit::{Folder, open, options, samples, seal};
use fieldgate_edge::buffer::Intake;
use serde_json::Value;

fn fieldgate(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldgate"));
    command.args(arguments);
    if arguments.first() != Some(&"buffer") || arguments.get(1) != Some(&"salvage") {
        command.arg("--folder").arg(folder);
    }
    command.output().expect("our own binary")
}

fn json(output: &Output) -> Value {
    let words = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {words}"))
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

#[tokio::test]
async fn what_a_running_gateway_holds_is_seen_whether_the_database_has_it_or_not() {
    let folder = Folder::new("looked-at");
    let (buffer, _) = open(options(&folder.0));
    buffer.append(samples(0..1_500)).await.expect("runs");
    seal(&buffer).await;
    buffer.append(samples(1_500..1_507)).await.expect("runs");
    buffer.tick().await.expect("runs");
    let held = buffer_kit::line(&buffer, fieldgate_model::Stream::Samples);
    buffer.load(held.incarnation, held.stream, held.first).await.expect("all before it is done");

    let stat = json(&fieldgate(&["buffer", "stat", "--json"], &folder.0));
    let of_samples = |line: &&Value| line["stream"] == "samples";
    let line = stat["lines"].as_array().expect("lines").iter().find(of_samples).expect("one");
    assert_eq!((&line["stored"], &line["unreleased"]), (&1_500.into(), &1_500.into()));
    assert_eq!(stat["unsealed"], 7);

    let verified = fieldgate(&["buffer", "verify", "--json"], &folder.0);
    assert!(verified.status.success(), "{verified:?}");
    assert_eq!(json(&verified)["damaged"], Value::Array(Vec::new()));

    let history = lines(&fieldgate(&["history", "meter/count", "--json"], &folder.0));
    let numbers: Vec<u64> = history.iter().filter_map(|row| row["value"].as_u64()).collect();
    assert_eq!(numbers, (0..1_500).collect::<Vec<_>>());
    let csv = fieldgate(&["history", "meter", "--csv"], &folder.0);
    assert_eq!(String::from_utf8_lossy(&csv.stdout).lines().count(), 1_501);
    let nothing = fieldgate(&["history", "nobody"], &folder.0);
    assert_eq!(nothing.status.code(), Some(1));
    buffer.stop().await.expect("stops");
}

#[tokio::test]
async fn a_damaged_batch_is_named_and_the_others_are_salvaged() {
    let folder = Folder::new("salvaged");
    let (buffer, _) = open(options(&folder.0));
    for batch in 0..20 {
        buffer.append(samples(batch * 100..batch * 100 + 100)).await.expect("runs");
        buffer.append_durably(Intake::default()).await.expect("runs");
    }
    buffer.stop().await.expect("stops");
    let path = folder.0.join("buffer.db");
    let db = rusqlite::Connection::open(&path).expect("ours");
    let body: Vec<u8> = db
        .query_row("SELECT body FROM batch WHERE first = 700", [], |row| row.get(0))
        .expect("the eighth");
    let mut broken = body;
    let last = broken.len() - 2;
    broken[last] ^= 1;
    db.execute("UPDATE batch SET body = ?1 WHERE first = 700", [broken]).expect("ours");
    drop(db);

    let verified = fieldgate(&["buffer", "verify", "--json"], &folder.0);
    assert_eq!(verified.status.code(), Some(1));
    let damaged = json(&verified)["damaged"].clone();
    assert_eq!(damaged.as_array().map(Vec::len), Some(1), "{damaged}");

    let aside = folder.0.join("aside.db");
    fs::copy(&path, &aside).expect("a small file");
    let salvaged = fieldgate(&["buffer", "salvage", &aside.display().to_string()], &folder.0);
    let records = lines(&salvaged);
    let proven = records.iter().filter(|record| record["proven"] == true).count();
    assert_eq!((records.len(), proven), (1_900, 1_900), "all but the damaged batch");
}
