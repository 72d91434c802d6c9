//! Scripts that try to hold the core, the memory or the next run: each is cut off with the right
//! fault, and the same parser then answers a good frame.

use fieldgate_model::{DeviceName, Millis, Value};
use fieldgate_script::{Block, DeviceState, Fault, Frame, Limits, Parser, ScriptError};

/// What a hostile script must end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Fuel,
    Memory,
    /// Either: which comes first depends on how the allocator rounds.
    FuelOrMemory,
    Output,
    Result,
    Runtime,
}

/// Bodies of a parser that misbehaves when the first holding register is 1.
const HOSTILE: &[(&str, Ends, &str)] = &[
    ("endless loop", Ends::Fuel, "while true do end"),
    ("repeat", Ends::Fuel, "repeat until false"),
    ("numeric loop", Ends::Fuel, "for i = 1, math.huge do end"),
    ("loop in pcall", Ends::Fuel, "pcall(function() while true do end end) return {}"),
    ("loop around pcall", Ends::Fuel, "while true do pcall(function() while true do end end) end"),
    (
        "nested pcall",
        Ends::Fuel,
        "local function f() pcall(f) while true do pcall(f) end end f() return {}",
    ),
    ("pcall of error", Ends::Fuel, "while true do pcall(error, 'x') end"),
    (
        "pcall that answers after the cut",
        Ends::Fuel,
        "pcall(function() while true do end end) pcall(function() while true do end end) return { v = 1 }",
    ),
    ("no coroutines", Ends::Runtime, "coroutine.wrap(function() while true do end end)()"),
    ("lazy pattern bomb", Ends::Fuel, "string.find(('a'):rep(3000), '.-.-.-.-b$')"),
    ("greedy pattern bomb", Ends::Fuel, "string.find(('a'):rep(25), ('a-'):rep(25) .. 'b')"),
    (
        "match bomb behind pcall",
        Ends::Fuel,
        "pcall(string.match, ('a'):rep(3000), '.-.-.-.-b$') return {}",
    ),
    ("gsub bomb", Ends::Fuel, "(('a'):rep(3000)):gsub('.-.-.-b', '')"),
    (
        "class of half a megabyte",
        Ends::Fuel,
        "string.find(('a'):rep(200000), '[' .. ('b'):rep(200000) .. 'a]*')",
    ),
    (
        "plain search, quadratic",
        Ends::Fuel,
        "string.find(('a'):rep(400000), ('a'):rep(200000) .. 'b', 1, true)",
    ),
    ("split, quadratic", Ends::Fuel, "string.split(('a'):rep(400000), ('a'):rep(200000) .. 'b')"),
    ("rep", Ends::Memory, "local s = string.rep('x', 2^30)"),
    ("rep behind pcall", Ends::Memory, "pcall(string.rep, 'x', 2^30) return { v = 1 }"),
    ("rep behind two pcalls", Ends::Memory, "pcall(pcall, string.rep, 'x', 2^30) return { v = 1 }"),
    ("doubling", Ends::Memory, "local s = 'x' while true do s = s .. s end"),
    (
        "doubling behind pcall",
        Ends::Memory,
        "local s = 'x' while true do pcall(function() s = s .. s end) end",
    ),
    ("garbage", Ends::FuelOrMemory, "while true do local t = { 1, 2, 3, 4, 5, 6, 7, 8 } end"),
    ("table growth", Ends::FuelOrMemory, "local t = {} while true do t[#t + 1] = {} end"),
    ("table.create", Ends::Memory, "table.create(2^26, 0)"),
    ("buffer", Ends::Memory, "buffer.create(2^29)"),
    ("concat", Ends::Memory, "table.concat(table.create(1000, ('x'):rep(10000)))"),
    ("format", Ends::Runtime, "string.format('%99999d', 1)"),
    (
        "sort by a liar",
        Ends::FuelOrMemory,
        "table.sort(table.create(20000, 1), function() return true end) while true do end",
    ),
    (
        "sort again and again",
        Ends::Fuel,
        "local t = table.create(30000, 1) while true do table.sort(t) end",
    ),
    (
        "sort that lies about its length",
        Ends::Fuel,
        "local t = setmetatable(table.create(5000, 1), { __len = function() return -1 end }) for i = 1, 90 do table.sort(t) end",
    ),
    (
        "insert at the front",
        Ends::Fuel,
        "local t = table.create(30000, 1) while true do table.insert(t, 1, 1) table.remove(t, 1) end",
    ),
    ("recursion", Ends::Fuel, "local function f() return 1 + f() end f()"),
    (
        "recursion behind pcall",
        Ends::Fuel,
        "local function f() pcall(f) pcall(f) end while true do f() end",
    ),
    (
        "__index loop",
        Ends::Fuel,
        "local t = setmetatable({}, { __index = function(t, k) while true do end end }) return t.x",
    ),
    (
        "__index recursion",
        Ends::Runtime,
        "local t t = setmetatable({}, { __index = function(_, k) return t[k] end }) return t.x",
    ),
    ("__index chain", Ends::Runtime, "local t = {} setmetatable(t, { __index = t }) return t.x"),
    (
        "__iter that never ends",
        Ends::Fuel,
        "for _ in setmetatable({}, { __iter = function() return function() return 1 end end }) do end",
    ),
    (
        "__tostring loop",
        Ends::Fuel,
        "tostring(setmetatable({}, { __tostring = function() while true do end end }))",
    ),
    (
        "__pairs in the answer",
        Ends::Result,
        "return setmetatable({ v = assert }, { __pairs = function() while true do end end })",
    ),
    ("io", Ends::Runtime, "io.open('/etc/passwd')"),
    ("os", Ends::Runtime, "os.execute('true')"),
    ("require", Ends::Runtime, "require('x')"),
    ("load", Ends::Runtime, "load('return 1')()"),
    ("loadstring", Ends::Runtime, "loadstring('return 1')()"),
    ("dofile", Ends::Runtime, "dofile('/etc/passwd')"),
    ("getfenv", Ends::Runtime, "getfenv(1)"),
    ("setfenv", Ends::Runtime, "setfenv(1, {})"),
    ("debug", Ends::Runtime, "debug.info(1, 'f')"),
    ("string.dump", Ends::Runtime, "string.dump(function() end)"),
    ("collectgarbage", Ends::Runtime, "collectgarbage('count')"),
    ("random", Ends::Runtime, "math.random()"),
    ("poison string", Ends::Runtime, "string.format = nil"),
    ("poison the strings' metatable", Ends::Runtime, "getmetatable('').__index = {}"),
    ("rawset on a library", Ends::Runtime, "rawset(math, 'floor', nil)"),
    ("poison reg", Ends::Runtime, "reg.u16 = function() return 7 end"),
    ("global", Ends::Runtime, "leak = 1"),
    ("global function", Ends::Runtime, "function tostring() return 'x' end"),
    ("cyclic entry", Ends::Result, "local t = {} t.value = t return { v = t }"),
    ("cyclic answer", Ends::Result, "local t = {} t.v = t return t"),
    ("cyclic state", Ends::Output, "local t = {} t.t = t return {}, t"),
    ("wide state", Ends::Output, "return {}, table.create(10000, 1)"),
    ("long state", Ends::Output, "return {}, ('x'):rep(5000)"),
    ("function in the state", Ends::Result, "return {}, { f = function() end }"),
    ("2,000 signals", Ends::Output, "local t = {} for i = 1, 2000 do t['s' .. i] = i end return t"),
    ("giant text", Ends::Output, "return { v = ('x'):rep(100000) }"),
    ("function as a value", Ends::Result, "return { v = function() end }"),
    ("userdata as a value", Ends::Result, "return { v = buffer.create(1) }"),
    ("name with a space", Ends::Result, "return { ['a b'] = 1 }"),
    ("empty name", Ends::Result, "return { [''] = 1 }"),
    ("long name", Ends::Result, "return { [('n'):rep(65)] = 1 }"),
    ("name of escapes", Ends::Result, "return { ['\\27[2J'] = 1 }"),
    ("list", Ends::Result, "return { 1, 2, 3 }"),
    ("nothing", Ends::Result, "return"),
    ("nil", Ends::Result, "return nil"),
    ("number", Ends::Result, "return 7"),
    ("unknown key", Ends::Result, "return { v = { valeu = 1 } }"),
    ("unknown quality", Ends::Result, "return { v = { value = 1, quality = 'fine' } }"),
    ("error of nil", Ends::Runtime, "error(nil)"),
    ("error of a table", Ends::Runtime, "error({ code = 1 })"),
    ("error of a giant", Ends::Runtime, "error(('x'):rep(100000))"),
    ("error that looks like memory", Ends::Runtime, "error('not enough memory')"),
    ("unpack", Ends::Runtime, "return table.unpack({}, 1, 1e7)"),
    ("move of nothing", Ends::Fuel, "while true do table.move({}, 1, 2^30, 2, {}) end"),
];

#[test]
fn every_hostile_script_is_cut_off_and_the_parser_answers_again() {
    let mut wrong = Vec::new();
    for (name, expected, body) in HOSTILE {
        let source = format!(
            "return function(frame, state)\nif frame.hr[0] == 1 then\n{body}\nend\nreturn {{ good = frame.hr[0] }}\nend"
        );
        let mut parser = match Parser::load("hostile.luau", &source, Limits::DEFAULT) {
            Ok(parser) => parser,
            Err(error) => {
                wrong.push(format!("{name}: does not load: {error}"));
                continue;
            }
        };
        for round in 0..3 {
            let got = run(&mut parser, 1);
            if !got.as_ref().is_err_and(|error| ends_in(error, *expected)) {
                wrong.push(format!("{name}, round {round}: expected {expected:?}, got {got:?}"));
            }
            if got.is_err_and(|error| error.to_string().len() > 500) {
                wrong.push(format!("{name}: a message without bound"));
            }
            let good = run(&mut parser, 5);
            if good != Ok(Some(Value::Int(5))) {
                wrong.push(format!("{name}, round {round}: then {good:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_source_that_is_no_program_is_refused() {
    let deep = format!("return {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let long = format!("return function() end --{}", "x".repeat(1 << 20));
    for (name, source) in [
        ("bytecode of Lua", "\u{1b}Lua\u{51}"),
        ("zero byte", "return function() return {} end\0"),
        ("nesting", deep.as_str()),
        ("a mebibyte", long.as_str()),
        ("garbage", "return function( end"),
        ("another language", "def parse(frame): return {}"),
    ] {
        let error = Parser::load("x.luau", source, Limits::DEFAULT).err().expect(name);
        assert!(matches!(error.fault, Fault::Syntax { .. }), "{name}: {error:?}");
        assert!(!error.is_overrun(), "{name}");
    }
}

#[test]
fn a_file_that_is_hostile_itself_does_not_load() {
    for (source, overrun) in [
        ("while true do end", true),
        ("local s = ('x'):rep(2^30) return function() end", true),
        ("return 7", false),
        ("", false),
        ("error('no')", false),
    ] {
        let error = Parser::load("x.luau", source, Limits::DEFAULT).err().expect(source);
        assert_eq!(error.is_overrun(), overrun, "{source}: {error:?}");
    }
}

#[test]
fn a_local_of_the_file_does_not_survive_a_run() {
    let source = "local count = 0 return function() count += 1 return { good = count } end";
    let mut parser = Parser::load("x.luau", source, Limits::DEFAULT).expect("loads");
    for _ in 0..3 {
        assert_eq!(run(&mut parser, 0), Ok(Some(Value::Int(1))));
    }
}

#[test]
fn a_parser_can_be_cut_off_from_outside() {
    let source =
        "return function() local x = 0 for i = 1, 1e5 do x += i end return { good = x } end";
    let limits = Limits { fuel: 1_000_000, ..Limits::DEFAULT };
    let mut parser = Parser::load("x.luau", source, limits).expect("loads");
    parser.cancel().cancel();
    let error = run(&mut parser, 0).expect_err("cut off");
    assert_eq!(error.fault, Fault::Cancelled);
    assert!(error.is_overrun());
    parser.cancel().reset();
    assert_eq!(run(&mut parser, 0), Ok(Some(Value::Int(5_000_050_000))));
}

#[test]
fn garbage_of_earlier_runs_does_not_count() {
    let source = "return function() local t = table.create(20000, 0) return { good = #t } end";
    let mut parser = Parser::load("x.luau", source, Limits::DEFAULT).expect("loads");
    let mut fuel = Vec::new();
    for _ in 0..50 {
        assert_eq!(run(&mut parser, 0), Ok(Some(Value::Int(20_000))));
        fuel.push(parser.used().fuel);
    }
    assert!(fuel.iter().all(|used| *used == fuel[0]), "{fuel:?}");
}

fn run(parser: &mut Parser, first: u16) -> Result<Option<Value>, ScriptError> {
    let device = DeviceName::new("meter").expect("a fine name");
    let mut frame = Frame::new(&device, Millis(1000));
    frame.hr = vec![Block { start: 0, items: vec![first] }];
    let readings = parser.run(&frame, &mut DeviceState::default())?;
    Ok(readings.into_iter().find(|reading| reading.name.as_str() == "good").and_then(|r| r.value))
}

fn ends_in(error: &ScriptError, expected: Ends) -> bool {
    match &error.fault {
        Fault::Fuel { .. } => matches!(expected, Ends::Fuel | Ends::FuelOrMemory),
        Fault::Memory { .. } => matches!(expected, Ends::Memory | Ends::FuelOrMemory),
        Fault::Output { .. } => expected == Ends::Output,
        Fault::Result { .. } => expected == Ends::Result,
        Fault::Runtime { .. } => expected == Ends::Runtime,
        Fault::Syntax { .. } | Fault::NotAFunction { .. } | Fault::Cancelled => false,
    }
}
