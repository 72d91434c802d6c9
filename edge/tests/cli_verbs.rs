//! Verbs that need no running daemon, and every way to use them wrongly.

mod cli_kit;

use cli_kit::Site;

/// A verb that must fail: its exit status, no data, and what it says.
fn check(site: &Site, args: &[&str], code: i32, expected: &str) {
    let done = site.run(args);
    assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
    assert_eq!(done.out, "", "{args:?}");
    assert_eq!(done.err, expected, "{args:?}");
}

#[test]
fn a_file_that_cannot_be_read_starts_nothing() {
    let site = Site::new();
    let expected = "none.toml: cannot be read: No such file or directory (os error 2)\n\
                    error: cannot use `none.toml`: 1 problem\n";
    check(&site, &["run", "--config", "none.toml"], 2, expected);
    check(&site, &["--config", "none.toml", "run"], 2, expected);
    check(&site, &["check", "--config", "none.toml"], 2, expected);
    assert!(!site.path("data").exists());
}

#[test]
fn a_file_that_is_not_toml_starts_nothing() {
    let site = Site::new();
    site.write("bad.toml", "[gateway\n");
    let done = site.run(&["run", "--config", "bad.toml"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.starts_with("bad.toml:1: "), "{done:?}");
    assert!(done.err.ends_with("error: cannot use `bad.toml`: 1 problem\n"), "{done:?}");
}

#[test]
fn an_error_says_what_why_and_what_to_do() {
    let site = Site::new();
    site.write("bad.luau", "return function(frame)\n  return frame.nothing.more\nend\n");
    for (args, code, expected) in [
        (
            &["simulate", "nothing"][..],
            2,
            "error: there is no profile `nothing`\n\
             hint: `fieldgate profile list` shows them; a path has a `/` or ends in `.toml`\n",
        ),
        (
            &["simulate", "none.toml"],
            2,
            "none.toml: cannot be read: No such file or directory (os error 2)\n\
             error: cannot use the profile `none.toml`\n",
        ),
        (
            &["status", "--socket", "none.sock"],
            1,
            "error: cannot reach the daemon at `none.sock`\n  \
             Caused by: No such file or directory (os error 2)\n\
             hint: is it running? start it with `fieldgate run`, or name its socket with `--socket`\n",
        ),
        (
            &["read", "meter", "--config", "none.toml"],
            2,
            "none.toml: cannot be read: No such file or directory (os error 2)\n\
             error: cannot use `none.toml`: 1 problem\n\
             hint: name it with `--config FILE`, or the daemon's socket with `--socket PATH`\n",
        ),
        (
            &["write", "meter", "setpoint", "1", "--socket", "none.sock"],
            2,
            "error: a write wants to be confirmed, and there is no terminal to ask on\n\
             hint: say `--yes` to write without asking, or `--dry-run` to see the request\n",
        ),
        (
            &["parser", "test", "none.luau"],
            2,
            "error: cannot read `none.luau`\n  \
             Caused by: No such file or directory (os error 2)\n",
        ),
        (
            &["parser", "test", "bad.luau"],
            1,
            "error: `bad.luau` line 2: attempt to index nil with 'more'\n",
        ),
        (
            &["parser", "test", "bad.luau", "--frame", "{\"hr\": {\"x\": [1]}}"],
            2,
            "error: `x` in --frame is not an address\n\
             hint: addresses are PDU addresses, from 0 to 65535\n",
        ),
        (&["profile", "list", "--profiles", "nowhere"], 2, "error: there is no folder `nowhere`\n"),
    ] {
        check(&site, args, code, expected);
    }
}

#[test]
fn wrong_words_on_the_command_line_end_with_2() {
    let site = Site::new();
    for (args, part) in [
        (&["fly"][..], "unrecognized subcommand 'fly'"),
        (&["read"], "<DEVICE>"),
        (&["write", "meter"], "<SIGNAL>"),
        (&["simulate"], "<PROFILE>"),
        (&["simulate", "demo-meter", "--listen", "here"], "invalid value 'here'"),
        (&["watch", "--for", "10"], "`10` has no unit"),
        (&["run", "--fast"], "unexpected argument '--fast'"),
        (&["completions", "cmd"], "invalid value 'cmd'"),
        (&[], "Usage:"),
    ] {
        let done = site.run(args);
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert_eq!(done.out, "", "{args:?}");
        assert!(done.err.contains(part), "{args:?}: {done:?}");
    }
}

#[test]
fn help_is_data_and_has_examples() {
    let site = Site::new();
    for verb in [
        &[][..],
        &["run"],
        &["check"],
        &["status"],
        &["read"],
        &["write"],
        &["watch"],
        &["parser", "test"],
        &["simulate"],
        &["profile", "list"],
        &["completions"],
    ] {
        let done = site.run(&[verb, &["--help"]].concat());
        assert_eq!(done.code, Some(0), "{verb:?}: {done:?}");
        assert!(done.out.contains("Examples:\n  fieldgate"), "{verb:?}: {done:?}");
    }
}

#[test]
fn there_are_completions_for_every_shell() {
    let site = Site::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = site.run(&["completions", shell]);
        assert_eq!(done.code, Some(0), "{shell}: {done:?}");
        assert!(done.out.contains("simulate"), "{shell}");
    }
}

#[test]
fn the_profiles_are_listed_as_an_array() {
    let site = Site::new();
    let listed = site.run(&["profile", "list", "--json"]).json();
    let listed = listed.as_array().expect("an array");
    let meter = listed.iter().find(|profile| profile["name"] == "demo-meter").expect("it ships");
    assert_eq!(meter["version"], 1);
    assert_eq!(meter["title"], "Energy meter of the demo");
    assert_eq!(meter["signals"], 40);
}

#[test]
fn a_parser_is_tried_on_a_frame() {
    let site = Site::new();
    site.write(
        "sum.luau",
        "return function(frame)\n  local sum = 0\n  for place = 0, 9 do sum += frame.hr[place] or 0 end\n\
         return { sum = sum, big = reg.u64(frame.hr, 0), lamp = frame.co[3] }\nend\n",
    );
    let done = site.run(&["parser", "test", "sum.luau", "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let sum = |json: &serde_json::Value, name: &str| {
        let readings = json["readings"].as_array().expect("a list").clone();
        readings.into_iter().find(|reading| reading["signal"] == name)
    };
    let json = done.json();
    assert_eq!(sum(&json, "sum").expect("it is given")["value"], 45);
    // 0x0000_0001_0002_0003 is below 2^53; all bits set is not.
    assert_eq!(sum(&json, "big").expect("it is given")["value"], 4_295_098_371_u64);
    assert!(json["fuel"].as_u64().expect("a number") > 10);

    let frame = r#"{"hr": [65535, 65535, 65535, 65535], "co": {"3": [true]}}"#;
    let json = site.run(&["parser", "test", "sum.luau", "--json", "--frame", frame]).json();
    assert_eq!(sum(&json, "big").expect("it is given")["value"], "18446744073709551615");
    assert_eq!(sum(&json, "lamp").expect("it is given")["value"], true);
}

#[test]
fn a_parser_that_never_ends_is_cut_off() {
    let site = Site::new();
    site.write("loop.luau", "return function()\n  while true do end\nend\n");
    let done = site.run(&["parser", "test", "loop.luau", "--json"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.json()["error"]["what"], "used more than 100000 steps");
}

#[test]
fn check_forecasts_what_a_good_file_will_do() {
    let site = Site::new();
    site.configure("127.0.0.1:502");
    let done = site.run(&["check", "--config", "site.toml"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.out.contains("profile demo-pump@1: 2 tests passed"), "{done:?}");

    let json = site.run(&["check", "--config", "site.toml", "--json"]).json();
    let bus = &json["buses"][0];
    // The meter asks 3 times and the pump once, both every 200 ms.
    assert_eq!(bus["requests_per_s"], 20.0);
    assert_eq!(bus["devices"][1]["requests"][0]["start"], "hr:0 (4x0001)");
    assert_eq!(bus["devices"][1]["bytes_per_cycle"], 12 + 9 + 2 * 7);
    assert_eq!(json["forecast"]["samples_per_s"]["max"], 230.0);
    assert_eq!(json["problems"], serde_json::json!([]));
}

#[test]
fn check_lists_every_problem_and_still_checks_the_rest() {
    let site = Site::new();
    let config = site.configure("127.0.0.1:502");
    let mut text = std::fs::read_to_string(&config).expect("just written");
    text.push_str(
        "[[device]]\nname = \"a\"\nprofile = \"nothing\"\nbus = \"cabinet\"\nunit = 300\n",
    );
    site.write("site.toml", &text);
    let done = site.run(&["check", "--config", "site.toml"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("there is no profile `nothing`"), "{done:?}");
    assert!(done.err.contains("unit id `300` is not one of 1 to 247"), "{done:?}");
    assert!(done.out.contains("device a does not run"), "{done:?}");
    assert!(done.out.contains("profile demo-meter@1: 2 tests passed"), "{done:?}");
    let json = site.run(&["check", "--config", "site.toml", "--json"]).json();
    assert_eq!(json["problems"].as_array().expect("a list").len(), 2);
    assert_eq!(json["problems"][0]["scope"], "device");
}

#[test]
fn check_runs_the_tests_of_profiles_with_their_parsers() {
    let site = Site::new();
    std::fs::create_dir(site.path("profiles")).expect("our folder");
    site.write("profiles/odd.luau", "return function(frame) return { a = frame.hr[0] + 1 } end\n");
    site.write(
        "profiles/odd.toml",
        "[profile]\nname = \"odd\"\nversion = 1\nparser = \"odd.luau\"\nparser_read = [\"hr:0\"]\n\
         [[signal]]\nname = \"a\"\nfrom = \"parser\"\nkind = \"int\"\n\
         [[test]]\nregisters = { \"hr:0\" = [1] }\nexpect = { a = 1 }\n",
    );
    let text = "[gateway]\nname = \"x\"\n[buffer]\npath = \"data\"\n\
                [[bus]]\nname = \"b\"\nmodbus_tcp = \"127.0.0.1\"\n\
                [[device]]\nname = \"d\"\nprofile = \"odd\"\nbus = \"b\"\nunit = 1\n";
    site.write("site.toml", text);
    let done = site.run(&["check", "--config", "site.toml"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.err, "odd@1: test 1: signal `a` must be `1`, is `2`\n");
}
