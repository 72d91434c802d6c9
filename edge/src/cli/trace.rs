//! `fieldgate trace`: the frames on the buses, in words and hex, or as a capture for Wireshark.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use fieldgate_model::UtcMillis;
use serde::Serialize;

use super::args::TraceArgs;
use super::ask::{Answers, Daemon};
use super::failure::{Exit, Failure};
use super::pcap::{Capture, LinkType};
use super::screen::{self, Style, Talk, data_is_coloured, paint};
use super::transcript::{Seen, Transcript};
use crate::socket::live::{FramingName, TraceLine};
use crate::socket::message::Ask;
use crate::socket::value::{hex, spaced};

/// A frame as `--json` prints it.
#[derive(Serialize)]
struct Printed<'a> {
    bus: &'a str,
    at: &'a str,
    direction: &'static str,
    unit: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    since_request_us: Option<u64>,
    words: &'a str,
    hex: String,
}

/// Shows frames until the time is over, or until it is stopped.
pub(super) fn trace(config: &Path, args: &TraceArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let daemon = Daemon::find(config, &args.daemon, talk)?;
    let mut answers = daemon.start(Ask::Trace { bus: args.bus.clone() })?;
    let until = args.duration.map(|duration| Instant::now() + Duration::from_millis(duration.0));
    match &args.pcap {
        Some(path) => capture(&mut answers, args, path, until, talk),
        None => print(&mut answers, args, until, talk),
    }
}

fn print(
    answers: &mut Answers,
    args: &TraceArgs,
    until: Option<Instant>,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let is_coloured = data_is_coloured();
    follow(answers, args, until, talk, |seen| {
        if args.daemon.json {
            return screen::print_json(&Printed {
                bus: &seen.bus,
                at: &seen.at,
                direction: if seen.is_sent { "sent" } else { "received" },
                unit: seen.unit,
                peer: seen.peer.as_deref(),
                since_request_us: seen.since_request_us,
                words: &seen.words,
                hex: hex(&seen.bytes),
            });
        }
        screen::print(&line(&seen, is_coloured))
    })?;
    Ok(Exit::Good)
}

/// Passes on whole frames as they come, those that `--unit` wants.
fn follow(
    answers: &mut Answers,
    args: &TraceArgs,
    until: Option<Instant>,
    talk: &mut Talk,
    mut show: impl FnMut(Seen) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut transcripts: BTreeMap<String, Transcript> = BTreeMap::new();
    while let Some(line) = answers.next::<TraceLine>(until)? {
        match line {
            TraceLine::Ready => {}
            TraceLine::Missed { bus, frames } => {
                talk.say(&format!("{frames} frames of bus `{bus}` came too fast and were missed"));
            }
            TraceLine::Frame(frame) => {
                let transcript = transcripts.entry(frame.bus.clone()).or_default();
                for seen in transcript.take(&frame) {
                    if args.unit.is_none_or(|unit| seen.unit == Some(unit)) {
                        show(seen)?;
                    }
                }
            }
        }
    }
    for transcript in transcripts.values_mut() {
        transcript.finish().map_or(Ok(()), &mut show)?;
    }
    Ok(())
}

fn line(seen: &Seen, is_coloured: bool) -> String {
    let (arrow, style) = if seen.is_sent { ("->", Style::Bold) } else { ("<-", Style::Plain) };
    let style = if seen.is_fault { Style::Red } else { style };
    let after = seen.since_request_us.map(|micros| format!("  +{micros} us")).unwrap_or_default();
    let words = paint(is_coloured, style, &seen.words);
    let (at, bus) = (&seen.at, seen.peer.as_ref().filter(|_| seen.bus == "coap"));
    let bus = bus.unwrap_or(&seen.bus);
    format!("{at}  {bus} {arrow} {words}{after}\n    {}\n", spaced(&seen.bytes))
}

/// Writes a capture; the first frame decides what its packets are.
fn capture(
    answers: &mut Answers,
    args: &TraceArgs,
    path: &Path,
    until: Option<Instant>,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::from_error(error).while_doing(format!("cannot write `{}`", path.display()))
    };
    let mut file = File::create(path).map_err(cannot)?;
    let mut started: Option<(LinkType, Capture)> = None;
    let (mut frames, mut others) = (0_u64, 0_u64);
    follow(answers, args, until, talk, |seen| {
        let link = match seen.framing {
            FramingName::Tcp => LinkType::Ethernet,
            FramingName::Rtu | FramingName::Ascii | FramingName::Coap => LinkType::User0,
        };
        if started.is_none() {
            let (capture, header) = Capture::start(link);
            file.write_all(&header).map_err(cannot)?;
            started = Some((link, capture));
        }
        let Some((its, capture)) = &mut started else { return Ok(()) };
        if *its != link {
            others += 1;
            return Ok(());
        }
        frames += 1;
        let packet = capture.packet(UtcMillis(seen.utc_ms), seen.utc_us, seen.is_sent, &seen.bytes);
        file.write_all(&packet).map_err(cannot)
    })?;
    if started.is_none() {
        let (_, header) = Capture::start(LinkType::User0);
        file.write_all(&header).map_err(cannot)?;
    }
    talk.say(&format!("{frames} frames in `{}`", path.display()));
    if others > 0 {
        talk.say(&format!(
            "{others} frames of buses of another kind are not in it; name one bus to have them"
        ));
    }
    if matches!(started, Some((LinkType::User0, _))) {
        talk.say("in Wireshark: Preferences, Protocols, DLT_USER, User 0 = payload `mbrtu`");
    }
    Ok(Exit::Good)
}
