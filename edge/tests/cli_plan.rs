//! `fieldgate plan`: what it shows, and when it warns.

mod cli_kit;

use cli_kit::Site;

const PROFILE: &str = "[profile]\nname = \"meter\"\nversion = 1\nmax_registers = 60\n\
     [[signal]]\nname = \"a\"\nread = \"ir:0\"\ntype = \"f32\"\n\
     [[signal]]\nname = \"b\"\nread = \"ir:8\"\ntype = \"f32\"\n\
     [[signal]]\nname = \"c\"\nread = \"ir:200\"\ntype = \"u16\"\n";

fn site(every: &str) -> Site {
    let site = Site::new();
    std::fs::create_dir(site.path("profiles")).expect("our folder");
    site.write("profiles/meter.toml", PROFILE);
    let mut text = "[gateway]\nname = \"x\"\n[buffer]\npath = \"data\"\n\
         [[bus]]\nname = \"field\"\nmodbus_rtu = { port = \"/dev/ttyS9\", line = \"9600-8N1\" }\n\
         [[bus]]\nname = \"cabinet\"\nmodbus_tcp = \"127.0.0.1\"\n"
        .to_owned();
    for (name, bus) in [("near", "cabinet"), ("far", "field")] {
        let device = format!(
            "[[device]]\nname = \"{name}\"\nprofile = \"meter\"\nbus = \"{bus}\"\nunit = 1\n\
             every = \"{every}\"\n"
        );
        text.push_str(&device);
    }
    site.write("site.toml", &text);
    site
}

#[test]
fn a_plan_shows_requests_in_both_notations_with_their_cost() {
    let site = site("1 s");
    let done = site.run(&["plan", "far", "--config", "site.toml"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    assert_eq!(
        done.out,
        "bus field (modbus_rtu /dev/ttyS9 9600-8N1)\n  \
           far, unit 1, meter@1, every 1 s: 2 requests, 48 bytes and 74.5 ms a cycle, 7.5 % of the bus\n    \
             ir:0..9 (3x0001..3x0010)  10 registers  33 bytes  46.6 ms  6 for nothing\n    \
             ir:200 (3x0201)           1 register    15 bytes  27.9 ms\n  \
           2.0 requests/s, 48 bytes/s, 7.5 % of its time\n"
    );
    let json = site.run(&["plan", "--bus", "cabinet", "--json", "--config", "site.toml"]).json();
    assert_eq!(json["buses"].as_array().map(Vec::len), Some(1));
    let read = &json["buses"][0]["devices"][0]["requests"][0];
    assert_eq!((&read["start"], &read["last"]), (&"ir:0 (3x0001)".into(), &"ir:9 (3x0010)".into()));
    assert_eq!(
        (&read["count"], &read["unwanted"], &read["bytes"]),
        (&10.into(), &6.into(), &41.into())
    );
}

#[test]
fn a_bus_that_is_asked_for_too_much_is_warned_of() {
    let site = site("90 ms");
    let done = site.run(&["plan", "--bus", "field", "--config", "site.toml"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("warning: bus `field` is asked for 83 % of its time\n"), "{done:?}");
    let check = site.run(&["check", "--config", "site.toml"]);
    assert!(check.err.contains("warning: bus `field` is asked for 83 %"), "{check:?}");
    let done = site.run(&["plan", "near", "--line", "1200-8N1", "--config", "site.toml"]);
    assert_eq!(done.code, Some(1), "more than there is: {done:?}");
    assert!(done.out.starts_with("bus cabinet (as if on modbus_rtu 1200-8N1)\n"), "{done:?}");
}

#[test]
fn a_plan_for_what_is_not_there_is_refused() {
    let site = site("1 s");
    for (args, code, expected) in [
        (&["plan", "none"][..], 1, "error: no device `none` runs"),
        (&["plan", "--bus", "none"], 1, "error: no bus `none` runs"),
        (&["plan", "--line", "9600"], 2, "`9600` is not a line setting; write speed"),
    ] {
        let done = site.run(&[args, &["--config", "site.toml"]].concat());
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.err.contains(expected), "{done:?}");
    }
}
