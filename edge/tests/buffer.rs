//! The buffer on a real disk: what survives, what gives way, and that the chain says the truth.

mod buffer_kit;

use buffer_kit::{Folder, contents, counts, line, open, options, samples, seal};
use fieldgate_edge::buffer::{Buffer, BufferError, BufferOptions, DeviceMap, Intake, stored_maps};
use fieldgate_model::{
    AlarmKey, AlarmState, Content, DeviceName, Event, GapReason, GatewayId, Millis, Position,
    Sample, SignalName, Stream, Value,
};
use fieldgate_rules::alarm::StoredAlarm;

#[tokio::test]
async fn what_was_flushed_survives_a_crash_and_what_was_not_is_declared() {
    let folder = Folder::new("flush");
    let (buffer, recovered) = open(options(&folder.0));
    assert!(!recovered.has_run && !recovered.unclean);
    buffer.append(samples(0..10)).await.expect("runs");
    buffer.tick().await.expect("runs");
    buffer.append(samples(10..20)).await.expect("runs");
    // A question is answered after everything before it has been done.
    buffer
        .chain_at(line(&buffer, Stream::Samples).incarnation, Stream::Samples, Position(0))
        .await
        .expect("runs");

    let crashed = folder.as_after_a_crash();
    let (after, recovered) = open(options(&crashed.0));
    assert!(recovered.has_run && recovered.unclean);
    let held = contents(&after, line(&after, Stream::Samples)).await;
    assert_eq!(counts(&held), (0..10).collect::<Vec<_>>());
    let events = contents(&after, line(&after, Stream::Events)).await;
    let Some(Content::Events(events)) = events.first() else { panic!("{events:?}") };
    let Event::Restart { last_durable: Some(at) } = events[0].event else { panic!("{events:?}") };
    assert!(at <= events[0].at);
}

#[tokio::test]
async fn a_stop_seals_everything_and_the_next_start_goes_on_behind_it() {
    let folder = Folder::new("stop");
    let (buffer, _) = open(options(&folder.0));
    buffer.append(samples(0..2_500)).await.expect("runs");
    buffer.stop().await.expect("stops");

    let (buffer, recovered) = open(options(&folder.0));
    assert!(recovered.has_run && !recovered.unclean);
    buffer.append(samples(2_500..2_600)).await.expect("runs");
    seal(&buffer).await;
    let held = contents(&buffer, line(&buffer, Stream::Samples)).await;
    assert_eq!(counts(&held), (0..2_600).collect::<Vec<_>>());
    assert_eq!(line(&buffer, Stream::Events).stored, Position(0), "an orderly stop is no event");
}

#[tokio::test]
async fn alarms_are_as_they_were_after_a_restart() {
    let folder = Folder::new("alarms");
    let key = AlarmKey {
        device: DeviceName::new("meter").expect("an id"),
        alarm: SignalName::new("high").expect("an id"),
    };
    let stored = StoredAlarm { state: AlarmState::Active, occurrence: 3, transition: 7 };
    let (buffer, _) = open(options(&folder.0));
    let alarms = [(key.clone(), stored)].into();
    buffer.append_durably(Intake { alarms, ..Intake::default() }).await.expect("runs");

    let (_, recovered) = open(options(&folder.as_after_a_crash().0));
    assert_eq!(recovered.alarms, [(key, stored)]);
}

#[tokio::test]
async fn what_devices_have_taught_survives_a_crash_as_long_as_they_are_configured() {
    let folder = Folder::new("maps");
    let map = |holes: &str| DeviceMap {
        unit: 1,
        profile: "meter@1".to_owned(),
        holes: holes.parse().expect("a hole map"),
    };
    let name = |name| DeviceName::new(name).expect("an id");
    let (buffer, recovered) = open(options(&folder.0));
    assert!(recovered.maps.is_empty());
    let (first, second) = (map("holes 1\nhole hr:7 2"), map("holes 1\ncut hr:64"));
    for maps in [
        [(name("meter"), first.clone()), (name("gone"), first.clone())].into(),
        [(name("meter"), second.clone())].into(),
    ] {
        buffer.append_durably(Intake { maps, ..Intake::default() }).await.expect("runs");
    }
    let stored = stored_maps(&folder.0).expect("readable while the gateway runs");
    assert_eq!(stored, [(name("gone"), first), (name("meter"), second.clone())].into());

    let crashed = folder.as_after_a_crash();
    let (_, recovered) = open(options(&crashed.0));
    assert_eq!(recovered.maps, [(name("meter"), second)].into());
    assert_eq!(stored_maps(&crashed.0).expect("readable"), recovered.maps);
}

#[tokio::test]
async fn a_full_buffer_gives_way_to_what_is_released_first_and_then_says_what_is_lost() {
    let folder = Folder::new("full");
    let (buffer, _) = open(BufferOptions { max_bytes: 4 * 1024 * 1024, ..options(&folder.0) });
    let text = |at| Sample {
        value: Some(Value::Text("x".repeat(1_000))),
        ..samples(at..at + 1).samples.remove(0)
    };
    for at in 0..120 {
        let samples = (at * 50..at * 50 + 50).map(text).collect();
        buffer.append(Intake { samples, ..Intake::default() }).await.expect("runs");
        seal(&buffer).await;
        if at == 9 {
            let held = line(&buffer, Stream::Samples);
            buffer.release(held.incarnation, held.stream, held.stored).await.expect("runs");
        }
        let stats = buffer.stats().borrow().clone();
        assert!(stats.bytes <= stats.max_bytes, "{stats:?}");
    }
    let held = line(&buffer, Stream::Samples);
    assert!(Position(450) <= held.first, "what is released goes first: {held:?}");
    let held = contents(&buffer, held).await;
    let gap = held.iter().find_map(|content| match content {
        Content::Gap(gap) => Some(gap),
        Content::Samples { .. } | Content::Events(_) | Content::Outcomes(_) => None,
    });
    let gap = gap.expect("and then what was not");
    assert_eq!(gap.reason, GapReason::BufferFull);
    assert_eq!(gap.from, Millis(500), "what was released is not lost");
    let newest = held.last().expect("something is held");
    assert!(matches!(newest, Content::Samples { .. }), "{newest:?}");
}

#[tokio::test]
async fn samples_that_must_go_leave_their_figures_and_events_stay() {
    let folder = Folder::new("thinned");
    let (buffer, _) = open(BufferOptions { max_bytes: 4 * 1024 * 1024, ..options(&folder.0) });
    let event = || {
        let event = Event::LocalWrite {
            uid: 0,
            target: "x/y".to_owned(),
            value: "v".repeat(900),
            done: true,
        };
        fieldgate_model::EventRecord { at: Millis(0), event }
    };
    // Values that no encoding makes small: the noise of a square.
    for at in 0..700_u64 {
        let noise =
            |n: u64| Value::Unsigned((at * 1_000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8);
        let intake = (0..1_000).map(|n| Sample {
            value: Some(noise(n)),
            ..samples(at * 1_000 + n..at * 1_000 + n + 1).samples.remove(0)
        });
        let events = if at % 100 == 0 { vec![event()] } else { Vec::new() };
        let intake = Intake { samples: intake.collect(), events, ..Intake::default() };
        buffer.append_durably(intake).await.expect("runs");
        let stats = buffer.stats().borrow().clone();
        assert!(stats.bytes <= stats.max_bytes, "{stats:?}");
    }
    let held = line(&buffer, Stream::Samples);
    let thinned: Vec<_> = contents(&buffer, held)
        .await
        .into_iter()
        .filter_map(|content| match content {
            Content::Gap(gap) => gap.summary,
            Content::Samples { .. } | Content::Events(_) | Content::Outcomes(_) => None,
        })
        .flat_map(|summary| summary.minutes)
        .collect();
    assert!(thinned.len() > 3, "{thinned:?}");
    assert!(thinned.iter().all(|m| m.min <= m.mean && m.mean <= m.max && m.samples > 0));
    let events = line(&buffer, Stream::Events);
    assert_eq!((events.first, events.stored), (Position(0), Position(7)));
}

#[tokio::test]
async fn a_receiver_that_stands_within_a_thinned_range_gets_the_rest_of_it() {
    let folder = Folder::new("rest");
    let (buffer, _) = open(BufferOptions { max_bytes: 4 * 1024 * 1024, ..options(&folder.0) });
    let text = |at| Sample {
        value: Some(Value::Text("x".repeat(1_000))),
        ..samples(at..at + 1).samples.remove(0)
    };
    for at in 0..60 {
        let samples = (at * 50..at * 50 + 50).map(text).collect();
        buffer.append_durably(Intake { samples, ..Intake::default() }).await.expect("runs");
    }
    let held = line(&buffer, Stream::Samples);
    let inside = Position(held.first.0 + 50);
    let loaded = buffer.load(held.incarnation, held.stream, inside).await.expect("runs");
    let batch = fieldgate_wire::decode_batch(&loaded.expect("a gap").0).expect("ours");
    assert_eq!(batch.first, inside);
    assert!(matches!(batch.content, Content::Gap(_)), "{batch:?}");
}

#[tokio::test]
async fn a_second_daemon_on_the_same_folder_is_refused() {
    let folder = Folder::new("lock");
    let (buffer, _) = open(options(&folder.0));
    let second = Buffer::open(options(&folder.0)).expect_err("the folder is taken");
    assert!(matches!(second, BufferError::InUse { .. }), "{second}");
    buffer.stop().await.expect("stops");
    Buffer::open(options(&folder.0)).expect("the folder is free");
}

#[tokio::test]
async fn a_file_of_a_later_version_is_refused_and_left_alone() {
    let folder = Folder::new("newer");
    let (buffer, _) = open(options(&folder.0));
    buffer.stop().await.expect("stops");
    let path = folder.0.join("buffer.db");
    let db = rusqlite::Connection::open(&path).expect("ours");
    db.pragma_update(None, "user_version", 99).expect("ours");
    drop(db);
    let before = std::fs::read(&path).expect("there");
    let refused = Buffer::open(options(&folder.0)).expect_err("it is of a later version");
    assert!(matches!(refused, BufferError::Newer { version: 99, .. }), "{refused}");
    assert_eq!(std::fs::read(&path).expect("there"), before);
}

#[tokio::test]
async fn a_new_incarnation_takes_along_what_was_not_released() {
    let folder = Folder::new("reincarnate");
    let (buffer, _) = open(options(&folder.0));
    for range in [0..10, 10..20, 20..30] {
        buffer.append(samples(range)).await.expect("runs");
        seal(&buffer).await;
    }
    let old = line(&buffer, Stream::Samples);
    buffer.release(old.incarnation, old.stream, Position(10)).await.expect("runs");
    seal(&buffer).await;
    buffer.reincarnate(old.incarnation).await.expect("runs");
    buffer.append(samples(30..40)).await.expect("runs");
    seal(&buffer).await;

    let new = line(&buffer, Stream::Samples);
    assert_ne!(new.incarnation, old.incarnation);
    let held = contents(&buffer, new).await;
    assert_eq!(counts(&held), (10..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_the_gateway_goes_on_in_a_new_incarnation() {
    let folder = Folder::new("damaged");
    let (buffer, _) = open(options(&folder.0));
    buffer.append(samples(0..10)).await.expect("runs");
    let before = line(&buffer, Stream::Samples).incarnation;
    buffer.stop().await.expect("stops");
    std::fs::write(folder.0.join("buffer.db"), b"not a database at all").expect("a small file");

    let (buffer, recovered) = open(options(&folder.0));
    let aside = recovered.set_aside.expect("the damage is seen");
    assert!(aside.exists());
    assert_ne!(line(&buffer, Stream::Samples).incarnation, before);
    buffer.append(samples(0..10)).await.expect("runs");
    seal(&buffer).await;
    let held = contents(&buffer, line(&buffer, Stream::Samples)).await;
    assert_eq!(counts(&held), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_gateway_that_gets_an_identity_goes_on_in_a_new_incarnation() {
    let folder = Folder::new("identity");
    let (buffer, _) = open(options(&folder.0));
    let before = line(&buffer, Stream::Samples).incarnation;
    buffer.stop().await.expect("stops");
    let gateway = GatewayId::new("gateway-2").expect("an id");
    let (buffer, _) = open(BufferOptions { gateway, ..options(&folder.0) });
    assert_ne!(line(&buffer, Stream::Samples).incarnation, before);
}
