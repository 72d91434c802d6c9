//! Random hostile programs: whatever they are, loading and running them ends, within the limits.

use std::fmt::Write as _;
use std::time::Duration;

use fieldgate_model::{DeviceName, Millis};
use fieldgate_script::{Block, DeviceState, Frame, Limits, load};

use super::super::Backstop;
use crate::clock::Clock;

/// Programs of a run of all tests. `FIELDGATE_LONG=1` makes forty times as many: 100,000.
const PROGRAMS: u64 = 2_500;

/// What expressions are made of: numbers at the edges, texts and lists of many sizes, and functions.
const ATOMS: &[&str] = &[
    "0",
    "-1",
    "1e308",
    "0/0",
    "math.huge",
    "2^31",
    "2^53",
    "''",
    "'x'",
    "'%b()'",
    "'.-.-b'",
    "'[a-z]*$'",
    "('a'):rep(3000)",
    "('('):rep(20000)",
    "('1'):rep(90000)",
    "{}",
    "{ 1, 2, 3 }",
    "table.create(3000, 1)",
    "table.create(300, 'x')",
    "buffer.create(5000)",
    "int.new(5)",
    "json.null",
    "frame",
    "frame.hr",
    "reg",
    "nil",
    "true",
    "error",
    "pcall",
    "type",
    "tostring",
    "print",
    "t",
    "s",
    "n",
    "f",
    "setmetatable({}, m)",
    "function() return f end",
    "function(a, b) return a > b end",
];

/// What is called.
const CALLS: &[&str] = &[
    "string.find",
    "string.match",
    "string.gsub",
    "string.gmatch",
    "string.rep",
    "string.format",
    "string.pack",
    "string.unpack",
    "string.packsize",
    "string.byte",
    "string.char",
    "string.sub",
    "string.split",
    "string.reverse",
    "string.upper",
    "table.concat",
    "table.sort",
    "table.insert",
    "table.remove",
    "table.move",
    "table.create",
    "table.clone",
    "table.unpack",
    "table.pack",
    "table.find",
    "table.clear",
    "table.freeze",
    "buffer.create",
    "buffer.fromstring",
    "buffer.fill",
    "buffer.copy",
    "buffer.readstring",
    "buffer.writestring",
    "utf8.len",
    "utf8.char",
    "utf8.codepoint",
    "utf8.offset",
    "utf8.codes",
    "math.max",
    "math.noise",
    "math.fmod",
    "bit32.extract",
    "bit32.bor",
    "setmetatable",
    "getmetatable",
    "rawset",
    "rawget",
    "rawequal",
    "rawlen",
    "select",
    "next",
    "pairs",
    "ipairs",
    "tonumber",
    "tostring",
    "pcall",
    "error",
    "assert",
    "unpack",
    "reg.u64",
    "reg.text",
    "reg.bcd",
    "bytes.u32",
    "bytes.crc32",
    "bytes.hex",
    "bytes.from_hex",
    "json.decode",
    "cbor.decode",
    "time.parse",
    "time.format",
    "int.new",
    "f",
];

/// Two values between them.
const OPERATORS: &[&str] = &["+", "-", "*", "/", "//", "%", "^", "..", "<", "==", "and", "or"];

/// A generator of programs, the same for the same seed (xorshift of Marsaglia).
struct Generator(u64);

impl Generator {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % count as u64).unwrap_or(0)
    }

    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len())]
    }

    fn expression(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 4 } else { 8 }) {
            0..=3 => format!("({})", self.one(ATOMS)),
            4 | 5 => self.call(depth - 1),
            6 => {
                let operator = self.one(OPERATORS);
                format!(
                    "({} {operator} {})",
                    self.expression(depth - 1),
                    self.expression(depth - 1)
                )
            }
            _ => format!("`{{{}}}`", self.expression(depth - 1).replace('`', "")),
        }
    }

    fn call(&mut self, depth: usize) -> String {
        let count = 1 + self.below(4);
        let arguments: Vec<String> = (0..count).map(|_| self.expression(depth)).collect();
        format!("{}({})", self.one(CALLS), arguments.join(", "))
    }

    fn block(&mut self, depth: usize, out: &mut String) {
        for _ in 0..=self.below(3) {
            let (first, second) = (self.expression(2), self.expression(2));
            let form = self.below(if depth == 0 { 5 } else { 10 });
            // A string takes every write.
            let written = match form {
                0 => write!(out, "t = {first} "),
                1 => write!(out, "s = {first} "),
                2 => write!(out, "n = pcall({}, {second}) ", self.one(CALLS)),
                3 => write!(out, "pcall(function() t[{first}] = {second} end) "),
                4 => write!(out, "m.__index = {first} m.__tostring = {second} m.__lt = f "),
                5 => write!(out, "while {first} do "),
                6 => write!(out, "for i = 1, 1e9 do s = {first} "),
                7 => write!(out, "pcall(function() "),
                8 => write!(out, "f = function(a, b, ...) s = {first} "),
                _ => write!(out, "for k, v in pairs({first}) do t = v "),
            };
            written.expect("a string takes every write");
            if form >= 5 {
                self.block(depth - 1, out);
                out.push_str(if form == 7 { "end) " } else { "end " });
            }
        }
    }

    fn program(&mut self) -> String {
        let mut body = String::new();
        self.block(3, &mut body);
        let result = self.expression(2);
        format!(
            "return function(frame, state)
                local t, s, n, m = {{}}, 'x', 1, {{}}
                local f = function() return t end
                {body}
                return {{ v = {result}, w = t }}, s
            end"
        )
    }
}

#[test]
fn random_programs_end_within_the_limits() {
    let count = if std::env::var_os("FIELDGATE_LONG").is_some() { 40 * PROGRAMS } else { PROGRAMS };
    let seed = std::env::var("FIELDGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let (first, count) = seed.map_or((1, count), |seed| (seed, 1));
    let device = DeviceName::new("meter").expect("a name");
    let mut frame = Frame::new(&device, Millis(5000));
    frame.hr = vec![Block { start: 0, items: vec![1, 2, 3, 4] }];
    let (mut good, mut failed, mut overruns, mut unloaded) = (0, 0, 0, 0);
    let mut worst = (Duration::ZERO, 0);
    for seed in first..first + count {
        // Neighbouring seeds are far apart, and none is zero.
        let source = Generator(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1).program();
        let (backstop, cancel) = Backstop::new();
        let Ok(mut parser) = load("random.luau", &source, Limits::DEFAULT, cancel) else {
            unloaded += 1;
            continue;
        };
        backstop.begin();
        let started = Clock::of_thread();
        let outcome = parser.run(&frame, &mut DeviceState::default());
        worst = worst.max((Clock::of_thread().saturating_sub(started), seed));
        match outcome {
            Ok(_) => good += 1,
            Err(error) if error.is_overrun() => overruns += 1,
            Err(error) => {
                failed += 1;
                assert!(!error.to_string().contains("0x0000"), "seed {seed}: {error}");
            }
        }
        assert!(parser.used().memory_bytes <= 2 * Limits::DEFAULT.memory_bytes, "seed {seed}");
    }
    // A figure for whoever runs the tests.
    drop(std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!(
            "random programs: {count}, all ended: {good} gave values, {failed} failed, {overruns} overran, \
         {unloaded} did not load; worst {} ms, seed {}",
            worst.0.as_millis(),
            worst.1
        ),
    ));
    assert!(worst.0 < Duration::from_secs(10), "seed {}: {:?}", worst.1, worst.0);
}
