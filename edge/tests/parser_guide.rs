//! The guide for people who write parsers: its parser, its command and its profile are real.

mod cli_kit;

use cli_kit::Site;

const GUIDE: &str = include_str!("../docs/parsers.md");

/// The text of the first block that opens with this line.
fn block(opening: &str) -> &'static str {
    let (_, rest) = GUIDE.split_once(&format!("```{opening}\n")).expect(opening);
    rest.split_once("```").expect("a block has an end").0
}

#[test]
fn the_parser_of_the_guide_gives_what_the_guide_shows() {
    let site = Site::new();
    site.write("pump.luau", block("luau parser"));
    let (command, shown) = block("console").split_once('\n').expect("a command and its output");
    let frame = command.split('\'').nth(1).expect("a frame between quotes");
    assert_eq!(command, format!("$ fieldgate parser test pump.luau --frame '{frame}'"));
    let done = site.run(&["parser", "test", "pump.luau", "--frame", frame]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.starts_with(shown), "{}", done.out);
    assert!(done.out.contains("fuel: ") && done.out.contains("memory: "), "{}", done.out);
    let done =
        site.run(&["parser", "bench", "pump.luau", "--frame", frame, "--for", "100 ms", "--json"]);
    let figures = done.json();
    assert!(figures["parses_per_s"].as_f64().is_some_and(|rate| rate > 1.0), "{figures}");
    for (used, limit) in [
        ("fuel", "fuel_max"),
        ("memory_bytes", "memory_bytes_max"),
        ("state_bytes", "state_bytes_max"),
    ] {
        let figure = |name: &str| figures[name].as_u64().expect(name);
        assert!(figure(used) < figure(limit), "{figures}");
    }
    assert_eq!(figures["state_bytes"].as_u64().map(|bytes| bytes > 0), Some(true), "{figures}");
}

#[test]
fn the_profile_of_the_guide_passes_its_test() {
    let site = Site::new();
    std::fs::create_dir_all(site.path("profiles")).expect("our folder takes folders");
    site.write("profiles/pump.luau", block("luau parser"));
    site.write("profiles/pump.toml", block("toml"));
    let done = site.run(&["profile", "test", "pump", "--profiles", "profiles"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("1 test") && done.out.contains("passed"), "{done:?}");
}

#[test]
fn the_verbs_of_the_guide_exist() {
    let site = Site::new();
    let verbs = GUIDE.lines().filter_map(|line| line.strip_prefix("fieldgate parser "));
    let names: Vec<&str> = verbs.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["replay", "reload"]);
    for name in names {
        assert_eq!(site.run(&["parser", name, "--help"]).code, Some(0), "{name}");
    }
}
