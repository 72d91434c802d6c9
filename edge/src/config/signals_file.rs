//! The `[[signal]]`s of a profile together: names, what refers to another, what lies on another.

use std::collections::BTreeSet;

use fieldgate_modbus::register::ReadRequest;
use fieldgate_model::{SignalName, ValueKind};
use fieldgate_rules::signal::{ScaleFrom, SignalSource, SignalSpec};

use super::fields::{Fields, Found, Wrong, nearest};
use super::problem::Problem;
use super::resource_file::Resources;
use super::signal_file::{RawSignal, read_signal};

/// Signals of one profile: some ten times as many as the largest `SunSpec` inverter has, and few
/// enough that each can be held against all others.
pub(crate) const SIGNALS_MAX: usize = 5_000;

/// The signals of a profile, and those whose facts no second source has confirmed.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) signals: Vec<SignalSpec>,
    pub(super) unverified: BTreeSet<SignalName>,
}

/// Every signal that can be one; `parser_line` is there if the profile names a parser, and
/// `verified` is what the profile says of signals that do not say it themselves.
pub(super) fn read_signals(
    root: &mut Fields<'_>,
    parser_line: Option<usize>,
    verified: bool,
    resources: &mut Resources,
    problems: &mut Vec<Problem>,
) -> Signals {
    let mut unverified = BTreeSet::new();
    let mut read: Vec<(Fields<'_>, RawSignal)> = Vec::new();
    let mut tables = root.tables("signal", "[[signal]]");
    if let Some(beyond) = tables.get(SIGNALS_MAX) {
        let what = format!("has {} signals, of which {SIGNALS_MAX} can be used", tables.len());
        let hint = "make a profile of each part of the machine, and a device of each profile";
        root.wrong(beyond.line(), Wrong::new(what).hint(hint));
        tables.truncate(SIGNALS_MAX);
    }
    for mut fields in tables {
        let is_verified = fields.take("verified").map_or(verified, |verified| verified.value);
        match read_signal(&mut fields) {
            Some(signal) => {
                if !is_verified {
                    unverified.insert(signal.spec.name.clone());
                }
                read.push((fields, signal));
            }
            None => problems.extend(fields.finish()),
        }
    }
    let all: Vec<(SignalSpec, bool)> =
        read.iter().map(|(_, signal)| (signal.spec.clone(), signal.scale_from.is_some())).collect();
    let mut signals: Vec<SignalSpec> = Vec::new();
    for (mut fields, RawSignal { mut spec, scale_from, pick }) in read {
        check_names(&mut fields, &spec, &signals, &all);
        if matches!(spec.source, SignalSource::Parser { .. }) && parser_line.is_none() {
            let what = format!("`{}` comes from a parser, and there is none", spec.name);
            let wrong = Wrong::new(what).hint("name it in `[profile] parser = …`");
            fields.wrong(fields.line(), wrong);
        }
        if let Some(pick) = pick {
            match resources.take(signals.len(), spec.name.as_str(), pick) {
                Ok(place) => {
                    spec.source = SignalSource::Payload { place, kind: spec.source.kind() }
                }
                Err((line, wrong)) => fields.wrong(line, wrong),
            }
        }
        check_overlap(&mut fields, &spec, &signals);
        if let Some(Found { value, line }) = scale_from {
            match find_factor(&spec.name, &value, &all) {
                Ok(factor) => spec.scale_from = Some(factor),
                Err(Wrong { what, hint }) => {
                    fields.wrong(line, Wrong { what: format!("`scale_from`: {what}"), hint });
                }
            }
        }
        signals.push(spec);
        problems.extend(fields.finish());
    }
    Signals { signals, unverified }
}

/// A name stands for one signal, and what once was a name for at most one.
fn check_names(
    fields: &mut Fields<'_>,
    spec: &SignalSpec,
    before: &[SignalSpec],
    all: &[(SignalSpec, bool)],
) {
    let line = fields.line();
    if before.iter().any(|other| other.name == spec.name) {
        let what = format!("has the name `{}` of another signal", spec.name);
        fields.wrong(line, Wrong::new(what));
    }
    for (place, was) in spec.was.iter().enumerate() {
        let owner = before.iter().find(|other| other.was.contains(was));
        let wrong = if all.iter().any(|(other, _)| other.name == *was) {
            Wrong::new(format!("`was`: there is a signal `{was}`"))
                .hint("`was` is for a name that no signal has any more")
        } else if let Some(owner) = owner {
            Wrong::new(format!("`was`: `{}` was `{was}` too", owner.name))
                .hint("one of them goes on with its history, the other is a new signal")
        } else if spec.was.iter().take(place).any(|other| other == was) {
            Wrong::new(format!("`was`: `{was}` stands there twice"))
        } else {
            continue;
        };
        fields.wrong(line, wrong);
    }
}

/// Two values may lie in the same registers, or one in another: a register and its bits, one number
/// seen as two. That two share a part and each has another part of its own is a wrong address.
fn check_overlap(fields: &mut Fields<'_>, spec: &SignalSpec, before: &[SignalSpec]) {
    let Some(range) = spec.source.read() else { return };
    let end = |range: ReadRequest| u32::from(range.start) + u32::from(range.count);
    let cuts = |other: &SignalSpec| {
        other.source.read().is_some_and(|other| {
            let shares = other.table == range.table
                && u32::from(other.start) < end(range)
                && u32::from(range.start) < end(other);
            let is_within = |a: ReadRequest, b: ReadRequest| b.start <= a.start && end(a) <= end(b);
            shares && !is_within(range, other) && !is_within(other, range)
        })
    };
    let Some(other) = before.iter().find(|other| cuts(other)) else { return };
    let place = |range: ReadRequest| match range.count {
        1 => format!("{}", range.start),
        _ => format!("{} to {}", range.start, end(range) - 1),
    };
    let others = other.source.read().map(place).unwrap_or_default();
    let what = format!(
        "lies at {}, `{}` at {others}: they cannot share a part of their registers",
        place(range),
        other.name
    );
    let hint = "one of the two addresses or types is wrong";
    fields.wrong(fields.line(), Wrong::new(what).hint(hint));
}

/// The power of ten of `name`: a whole number in registers, without a scale of its own.
fn find_factor(
    name: &SignalName,
    factor: &str,
    all: &[(SignalSpec, bool)],
) -> Result<ScaleFrom, Wrong> {
    let Some((spec, is_scaled)) = all.iter().find(|(spec, _)| spec.name.as_str() == factor) else {
        let wrong = Wrong::new(format!("there is no signal `{factor}`"));
        let names = all.iter().map(|(spec, _)| spec.name.as_str());
        return Err(match nearest(factor, names) {
            Some(near) => wrong.hint(format!("did you mean `{near}`?")),
            None => wrong,
        });
    };
    let is_integer = match spec.source.kind() {
        ValueKind::Int | ValueKind::Unsigned => spec.source.read().is_some(),
        ValueKind::Bool | ValueKind::Float32 | ValueKind::Float64 | ValueKind::Text => false,
    };
    if spec.name == *name {
        return Err(Wrong::new("a signal cannot be its own power of ten"));
    }
    if !is_integer {
        return Err(Wrong::new(format!("`{factor}` is no whole number in registers"))
            .hint("it must hold a power of ten, as a SunSpec scale factor does"));
    }
    if *is_scaled || !spec.scale.is_identity() {
        return Err(Wrong::new(format!("`{factor}` has a scale itself"))
            .hint("a power of ten is taken as it stands in its register"));
    }
    Ok(ScaleFrom { signal: spec.name.clone(), source: spec.source, nulls: spec.nulls.clone() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fieldgate_model::Millis;
    use fieldgate_rules::profile::Profile;
    use fieldgate_rules::signal::{BitWrite, WriteFunction, WriteSpec};

    use super::*;
    use crate::config::profile_file::read_profile;

    const HEAD: &str = "[profile]\nname = \"mine\"\nversion = 1\n";

    /// Reads a profile whose signals begin in line 4.
    fn read(signals: &str) -> Result<Profile, Vec<String>> {
        let parser = |_: &str| Err("is not there".to_owned());
        let text = format!("{HEAD}{signals}");
        read_profile(Path::new("mine.toml"), text, &parser).map_err(|problems| {
            let line = |problem: &Problem| problem.line.unwrap_or_default();
            problems.iter().map(|problem| format!("{}: {}", line(problem), problem.what)).collect()
        })
    }

    /// What is wrong with a signal `a` whose fields begin in line 6.
    fn check(fields: &str, expected: &[&str]) {
        let got = read(&format!("[[signal]]\nname = \"a\"\n{fields}")).map(|_| ());
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(got.err().unwrap_or_default(), expected, "{fields}");
    }

    #[test]
    fn every_type_is_read_and_proven_by_the_profiles_own_tests() {
        let row = |name: &str, rest: &str| format!("[[signal]]\nname = \"{name}\"\n{rest}\n");
        let signals = [
            row("high", "read = \"hr:0/high\"\ntype = \"u8\""),
            row("low", "read = \"hr:0/low\"\ntype = \"i8\"\nnull = -128"),
            row("bits", "read = \"hr:0/4..11\""),
            row("bit", "read = \"hr:0/15\""),
            row("u24", "read = \"hr:1\"\ntype = \"u24\"\norder = \"CDAB\""),
            row("f16", "read = \"hr:3\"\ntype = \"f16\""),
            row("bcd", "read = \"hr:4\"\ntype = \"bcd8\"\nscale = 0.01"),
            row("broken", "read = \"hr:0\"\ntype = \"bcd4\""),
            row("sm", "read = \"hr:6\"\ntype = \"sm16\"\nlimits = [-20, 20]"),
            row("f64", "read = \"hr:7\"\ntype = \"f64\"\norder = \"CDABGHEF\""),
            row(
                "text",
                "read = \"hr:11\"\ntype = \"string\"\nregisters = 2\ncharset = \"latin1\"\n\
                 padding = \"space\"\norder = \"BA\"",
            ),
            row("state", "read = \"hr:13\"\ntype = \"u16\"\ntexts = { 0 = \"off\", 2 = \"on\" }"),
            row("other", "read = \"hr:14\"\ntype = \"i16\"\ntexts = { -1 = \"fault\" }"),
            row("power", "read = \"hr:15\"\ntype = \"i16\"\nscale_from = \"sf\"\nwas = \"watts\""),
            row("sf", "read = \"hr:16\"\ntype = \"i16\"\nnull = \"0x8000\""),
        ]
        .concat();
        let test = "[[test]]\nregisters = { \"hr:0\" = [0xFE7F, 0xDCBA, 0x00FE, 0xC100, \
            0x1234, 0x5678, 0x800A, 0x4A45, 0xC093, 0xFAAD, 0x6D5C, 0x42FC, 0x2020, 2, 7, \
            0xFB2E, 0xFFFF] }\n\
            expect = { high = 254, low = 127, bits = 231, bit = true, u24 = 16702650, \
            f16 = -2.5, bcd = 123456.78, broken = { quality = \"out_of_range\" }, sm = -10, \
            f64 = -1234.5678, text = \"üB\", state = \"on\", other = 7, power = -123.4, sf = -1 }\n\
            [[test]]\nregisters = { \"hr:0\" = [0x0080], \"hr:13\" = [1, 0xFFFF, 5, 0x8000] }\n\
            expect = { low = { quality = \"null\" }, state = 1, other = \"fault\", \
            power = { quality = \"null\" } }\n";
        let profile = read(&format!("{signals}{test}")).expect("a good profile");
        assert_eq!(profile.run_tests(), []);
        let wrong = test.replace("state = \"on\"", "state = \"off\"");
        let profile = read(&format!("{signals}{wrong}")).expect("a good profile");
        let failures: Vec<_> = profile.run_tests().iter().map(ToString::to_string).collect();
        assert_eq!(failures, ["test 1: signal `state` must be `off`, is `on`"]);
        let was = profile.signals.iter().find(|signal| signal.name.as_str() == "power");
        let was: Vec<_> = was.expect("declared").was.iter().map(ToString::to_string).collect();
        assert_eq!(was, ["watts"]);
    }

    #[test]
    fn a_write_rule_is_read_with_all_it_can_say() {
        let rule = |rest: &str| {
            let text = format!("[[signal]]\nname = \"a\"\n{rest}");
            read(&text).expect(rest).signals[0].writable
        };
        let default = WriteSpec::default();
        assert!(default.verify, "what is written is read back unless a profile says otherwise");
        assert_eq!(rule("read = \"hr:0\"\ntype = \"u16\"\nwrite = false\n"), None);
        for (rest, expected) in [
            ("read = \"hr:0\"\ntype = \"u16\"\nwrite = true\n", default),
            (
                "read = \"hr:0\"\ntype = \"u16\"\nwrite = { fc = 16, tolerance = 0.5, \
                 settle = \"200 ms\" }\n",
                WriteSpec {
                    function: WriteFunction::Multiple,
                    tolerance: 0.5,
                    settle: Millis(200),
                    ..default
                },
            ),
            (
                "read = \"hr:0/3..7\"\nwrite = { bit_write = \"read-modify-write\", fc = 6 }\n",
                WriteSpec {
                    function: WriteFunction::Single,
                    bit_write: BitWrite::ReadModifyWrite,
                    ..default
                },
            ),
            (
                "read = \"hr:0/3\"\nwrite = { fc = 22, verify = false }\n",
                WriteSpec { bit_write: BitWrite::Mask, verify: false, ..default },
            ),
            (
                "read = \"co:0\"\nwrite = { fc = 15 }\n",
                WriteSpec { function: WriteFunction::Multiple, ..default },
            ),
        ] {
            assert_eq!(rule(rest), Some(expected), "{rest}");
        }
    }

    #[test]
    fn what_cannot_be_a_signal_says_why() {
        for (fields, expected) in [
            (
                "read = \"hr:0/7..3\"\n",
                &["6: [[signal]] `read`: bits `7..3` end before they start"][..],
            ),
            ("read = \"hr:0/3..16\"\n", &["6: [[signal]] `read`: `16` is not a bit of a register"]),
            (
                "read = \"hr:0/middle\"\n",
                &["6: [[signal]] `read`: `middle` is not a bit of a register"],
            ),
            (
                "read = \"hr:0\"\ntype = \"u8\"\n",
                &["7: [[signal]] `read` does not say which byte is the u8"],
            ),
            (
                "read = \"hr:0/high\"\ntype = \"u16\"\n",
                &["7: [[signal]] `type`: one byte is a `u8` or an `i8`, not `u16`"],
            ),
            (
                "read = \"hr:0/3..7\"\ntype = \"i16\"\n",
                &["7: [[signal]] `type`: bits of a register are no `i16`"],
            ),
            ("read = \"hr:0/high\"\n", &["6: [[signal]] has no `type`"]),
            (
                "read = \"co:0/3\"\n",
                &["6: [[signal]] `read`: co:0 (0x0001) is a single bit, so its type is `bit`"],
            ),
            (
                "read = \"hr:0\"\ntype = \"u32\"\norder = \"EFGHABCD\"\n",
                &["8: [[signal]] `order`: `EFGHABCD` is for 64 bits, not for u32"],
            ),
            (
                "read = \"hr:65533\"\ntype = \"bcd16\"\n",
                &["6: [[signal]] `read`: bcd16 at hr:65533 (4x65534) goes beyond address 65535"],
            ),
            (
                "read = \"hr:0/3\"\norder = \"BADC\"\ncharset = \"ascii\"\n",
                &[
                    "7: [[signal]] `order` means nothing for a single bit",
                    "8: [[signal]] `charset` is for `string` alone",
                ],
            ),
            (
                "read = \"hr:0\"\ntype = \"string\"\nregisters = 2\ncharset = \"ebcdic\"\npadding = \"dots\"\n",
                &[
                    "9: [[signal]] `charset`: `ebcdic` is not a charset",
                    "10: [[signal]] `padding`: `dots` is not a padding",
                ],
            ),
            ("read = \"hr:0/4..7\"\nnull = 16\n", &["7: [[signal]] `null`: `16` has no 4 bits"]),
        ] {
            check(fields, expected);
        }
    }

    #[test]
    fn what_belongs_to_another_kind_of_signal_is_said_once_each() {
        for (fields, expected) in [
            (
                "read = \"hr:0\"\ntype = \"f32\"\ntexts = { 0 = \"off\" }\n",
                &["8: [[signal]] `texts` need an integer or a bit"][..],
            ),
            (
                "read = \"hr:0\"\ntype = \"u16\"\ntexts = { -1 = \"x\", a = \"y\", 2 = \"z\", 3 = \"z\", 4 = 5 }\n",
                &[
                    "8: [[signal]] `texts`: `-1` is no value of this signal",
                    "8: [[signal]] `texts`: `z` stands for two values",
                    "8: [[signal]] `texts`: invalid type: integer `5`, expected a string",
                    "8: [[signal]] `texts`: `a` is no value of this signal",
                ],
            ),
            (
                "read = \"hr:0\"\ntype = \"u16\"\nscale = 0.1\ntexts = { 0 = \"off\" }\n",
                &["4: [[signal]] has both `texts` and a scale: a state is no quantity"],
            ),
            (
                "read = \"hr:0\"\ntype = \"u16\"\nwrite = { fc = 5, bit_write = \"mask\", \
                 tolerance = -1, settle = \"1 min\" }\n",
                &[
                    "8: [[signal]] `write`: FC 5 does not write this",
                    "8: [[signal]] `write`: `bit_write` and FC 22 are for a part of a register",
                    "8: [[signal]] `write`: `tolerance` must be a number of at least 0",
                    "8: [[signal]] `write`: `settle` is longer than 10 s",
                ],
            ),
            (
                "read = \"co:0\"\nwrite = { tolerance = 0.5, fc = 16 }\n",
                &[
                    "7: [[signal]] `write`: FC 16 does not write this",
                    "7: [[signal]] `write`: `tolerance` needs a number",
                ],
            ),
            (
                "read = \"hr:0\"\ntype = \"string\"\nregisters = 124\nwrite = true\n",
                &["9: [[signal]] `write`: 124 registers cannot be written by FC 16, which \
                     carries at most 123"],
            ),
        ] {
            check(fields, expected);
        }
    }

    #[test]
    fn what_refers_to_another_signal_must_find_the_right_one() {
        let other = |rest: &str| format!("[[signal]]\nname = \"b\"\nread = \"hr:9\"\n{rest}");
        let scaled = "read = \"hr:0\"\ntype = \"i16\"\nscale_from = \"b\"\n";
        check(scaled, &["8: [[signal]] `scale_from`: there is no signal `b`"]);
        for (rest, why) in [
            ("type = \"f32\"\n", "`b` is no whole number in registers"),
            ("type = \"i16\"\nscale = 0.1\n", "`b` has a scale itself"),
            ("type = \"i16\"\nscale_from = \"a\"\n", "`b` has a scale itself"),
        ] {
            let got = read(&format!("[[signal]]\nname = \"a\"\n{scaled}{}", other(rest)));
            let first = got.expect_err(rest).into_iter().next();
            assert_eq!(first, Some(format!("8: [[signal]] `scale_from`: {why}")));
        }
        check(
            "read = \"hr:0\"\ntype = \"i16\"\nscale_from = \"a\"\nscale = 10\n",
            &[
                "8: [[signal]] has both `scale_from` and a scale or offset of its own",
                "8: [[signal]] `scale_from`: a signal cannot be its own power of ten",
            ],
        );
        check(
            "read = \"hr:0/3\"\nscale_from = \"a\"\n",
            &[
                "7: [[signal]] `scale_from` needs a number in registers",
                "7: [[signal]] `scale_from`: a signal cannot be its own power of ten",
            ],
        );
        for (was, rest, why) in [
            ("\"b\"", "", "4: [[signal]] `was`: there is a signal `b`"),
            ("[\"c\", \"c\"]", "", "4: [[signal]] `was`: `c` stands there twice"),
            ("\"a\"", "", "4: [[signal]] `was`: there is a signal `a`"),
            ("\"c\"", "was = \"c\"\n", "9: [[signal]] `was`: `a` was `c` too"),
        ] {
            let a =
                format!("[[signal]]\nname = \"a\"\nread = \"hr:0\"\ntype = \"u16\"\nwas = {was}\n");
            let b = other(&format!("type = \"u16\"\n{rest}"));
            let got = read(&format!("{a}{b}")).expect_err(why);
            assert_eq!(got, [why], "{was}");
        }
    }

    #[test]
    fn two_values_share_all_of_the_smaller_ones_registers_or_none() {
        let two = |first: &str, second: &str| {
            let a = format!("[[signal]]\nname = \"a\"\n{first}\n");
            let got = read(&format!("{a}[[signal]]\nname = \"b\"\n{second}\n"));
            got.map(|_| ()).err().unwrap_or_default()
        };
        let f32_at = |at: u16| format!("read = \"hr:{at}\"\ntype = \"f32\"");
        assert_eq!(
            two(&f32_at(10), &f32_at(11)),
            [
                "8: [[signal]] lies at 11 to 12, `a` at 10 to 11: they cannot share a part of their registers"
            ]
        );
        assert_eq!(two(&f32_at(11), &f32_at(10)).len(), 1);
        for second in [
            "read = \"hr:10\"\ntype = \"f32\"",
            "read = \"hr:11\"\ntype = \"u16\"",
            "read = \"hr:11/3\"",
            "read = \"hr:10\"\ntype = \"u64\"",
            "read = \"hr:12\"\ntype = \"f32\"",
            "read = \"ir:11\"\ntype = \"f32\"",
        ] {
            assert_eq!(two(&f32_at(10), second), [] as [&str; 0], "{second}");
        }
    }
}
