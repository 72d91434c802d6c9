//! The guide for people who write parsers: each of its examples gives what stands beside it, and
//! each function of ours has one.

use fieldgate_model::{DeviceName, Millis};
use fieldgate_script::{Block, DeviceState, Frame, Limits, Parser, Reading};

const GUIDE: &str = include_str!("../../../edge/docs/parsers.md");

#[test]
fn every_example_of_the_guide_gives_what_it_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in GUIDE.lines() {
        let Some((expression, expected)) = line.split_once("-->") else { continue };
        if line.starts_with(['|', '#']) || expression.trim().is_empty() || line.starts_with("On ") {
            continue;
        }
        count += 1;
        let source = format!("return function(frame) return {{ v = {expression} }} end");
        let shown = match run(&source) {
            Ok(readings) => readings[0].value.as_ref().map_or("-".to_owned(), ToString::to_string),
            Err(error) => error,
        };
        if shown != expected.trim() {
            wrong.push(format!("{expression}: {shown}, the guide says {}", expected.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "only {count} examples were found");
}

#[test]
fn every_function_of_ours_has_an_example() {
    let names = "local out = {}
        for library, members in { reg = reg, bytes = bytes, json = json, cbor = cbor, time = time, int = int } do
            for name in members do out[library .. '-' .. name] = true end
        end
        return out";
    let readings = run(&format!("return function() {names} end")).expect("runs");
    assert_eq!(readings.len(), 39, "{readings:?}");
    let examples: String = GUIDE.lines().filter(|line| line.contains("-->")).collect();
    let missing = readings.iter().map(|reading| reading.name.as_str().replacen('-', ".", 1));
    let missing: Vec<String> = missing.filter(|name| !examples.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn run(source: &str) -> Result<Vec<Reading>, String> {
    let mut parser =
        Parser::load("guide.luau", source, Limits::DEFAULT).map_err(|error| format!("{error}"))?;
    let device = DeviceName::new("meter").expect("a fine name");
    let mut frame = Frame::new(&device, Millis(5000));
    // As in the guide's block of the frame, whose text the next test compares.
    frame.hr = vec![Block { start: 0, items: WORDS.to_vec() }];
    frame.payload = Some(b"{\"t\":21.5}");
    frame.format = Some(50);
    parser.run(&frame, &mut DeviceState::default()).map_err(|error| format!("{error}"))
}

const WORDS: [u16; 14] = [65535, 2, 3, 16742, 26214, 4660, 22136, 32, 0, 0, 1, 16706, 8224, 15360];

#[test]
fn the_frame_of_the_examples_is_the_one_in_the_guide() {
    let words: Vec<String> = WORDS.iter().map(ToString::to_string).collect();
    assert!(GUIDE.contains(&format!("{{\"hr\": [{}],", words.join(", "))));
}
