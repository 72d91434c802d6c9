//! What a well-meaning parser is promised: its frame, exact integers, its state, its own line in an
//! error, and the same fuel for the same frame.

use fieldgate_model::{Cause, DeviceName, Millis, Quality, Value};
use fieldgate_script::{Block, DeviceState, Fault, Frame, Limits, Parser, Reading, ScriptError};

const AT: Millis = Millis(5000);

#[test]
fn an_answer_becomes_values_with_quality_and_time() {
    let good = |value| (Some(value), Quality::Good, None);
    let bad = |cause| (None, Quality::Bad(cause), None);
    for (expression, expected) in [
        ("7", good(Value::Int(7))),
        ("-0.0", good(Value::Int(0))),
        ("230.5", good(Value::Float64(230.5))),
        ("1e-17", good(Value::Float64(1e-17))),
        ("2^53", good(Value::Int(1 << 53))),
        ("2^54", good(Value::Float64(18_014_398_509_481_984.0))),
        ("1e300", good(Value::Float64(1e300))),
        ("true", good(Value::Bool(true))),
        ("'run'", good(Value::Text("run".into()))),
        ("'\\255'", bad(Cause::Malformed)),
        ("0/0", bad(Cause::OutOfRange)),
        ("math.huge", bad(Cause::OutOfRange)),
        ("{ value = 7 }", good(Value::Int(7))),
        ("{ value = 7, at = 4000 }", (Some(Value::Int(7)), Quality::Good, Some(Millis(4000)))),
        ("{ value = 7, at = 5001 }", (Some(Value::Int(7)), Quality::Uncertain, None)),
        ("{ value = 7, at = -1 }", (Some(Value::Int(7)), Quality::Uncertain, None)),
        ("{ value = 7, at = 0/0 }", (Some(Value::Int(7)), Quality::Uncertain, None)),
        ("{ value = 7, quality = 'uncertain' }", (Some(Value::Int(7)), Quality::Uncertain, None)),
        ("{ value = 7, quality = 'bad' }", bad(Cause::Null)),
        ("{ value = nil }", bad(Cause::Null)),
        ("frame.hr[3]", good(Value::Int(4))),
        ("frame.ir[65535]", good(Value::Int(9))),
        ("frame.co[1]", good(Value::Bool(true))),
        ("frame.di[0]", good(Value::Bool(false))),
        ("frame.device .. frame.at", good(Value::Text("meter5000".into()))),
        ("#frame.payload + frame.format", good(Value::Int(53))),
        ("reg.i16(frame.hr, 0)", good(Value::Int(-1))),
        ("reg.bit(frame.hr[3], 2)", good(Value::Bool(true))),
        ("reg.i32(frame.hr, 0)", good(Value::Int(-65534))),
        ("(string.find('a=1', '=', 1, true))", good(Value::Int(2))),
    ] {
        let source = format!("return function(frame) return {{ v = {expression} }} end");
        let readings = run_once(&source).expect(expression);
        let [Reading { value, quality, at, .. }] = &readings[..] else {
            panic!("{expression}: {readings:?}")
        };
        assert_eq!((value.clone(), *quality, *at), expected, "{expression}");
    }
}

#[test]
fn a_nil_entry_is_no_sample_and_readings_are_ordered() {
    let readings =
        run_once("return function() return { b = 1, a = 2, c = nil } end").expect("runs");
    let names: Vec<_> = readings.iter().map(|reading| reading.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn wide_integers_are_exact_in_the_four_orders() {
    // 0x0020_0000_0000_0001 is 2^53 + 1, the first integer that a float cannot hold.
    for (order, words) in [
        ("ABCD", [0x0020, 0x0000, 0x0000, 0x0001]),
        ("CDAB", [0x0001, 0x0000, 0x0000, 0x0020]),
        ("BADC", [0x2000, 0x0000, 0x0000, 0x0100]),
        ("DCBA", [0x0100, 0x0000, 0x0000, 0x2000]),
    ] {
        let source = format!(
            "return function(frame) local u = reg.u64(frame.hr, 8, '{order}')
             return {{ u = u, i = reg.i64(frame.hr, 8, '{order}'), t = tostring(u),
             equal = u == reg.i64(frame.hr, 8, '{order}'), less = u < u, sum = u + 0.5,
             f = reg.f64(frame.hr, 8, '{order}') }} end"
        );
        let mut parser = load(&source);
        let device = DeviceName::new("meter").expect("a fine name");
        let mut frame = Frame::new(&device, AT);
        frame.hr = vec![Block { start: 8, items: words.to_vec() }];
        let readings = parser.run(&frame, &mut DeviceState::default()).expect(order);
        let values: Vec<_> = readings.into_iter().filter_map(|reading| reading.value).collect();
        let expected = [
            Value::Bool(true),
            Value::Float64(f64::from_bits(0x0020_0000_0000_0001)),
            Value::Int(9_007_199_254_740_993),
            Value::Bool(false),
            Value::Int(9_007_199_254_740_992),
            Value::Text("9007199254740993".into()),
            Value::Unsigned(9_007_199_254_740_993),
        ];
        assert_eq!(values, expected, "{order}");
    }
}

#[test]
fn floats_and_words_follow_the_four_orders() {
    for (order, words) in [
        ("ABCD", [0x4366, 0x3333]),
        ("CDAB", [0x3333, 0x4366]),
        ("BADC", [0x6643, 0x3333]),
        ("DCBA", [0x3333, 0x6643]),
    ] {
        let source = format!(
            "return function(frame) local w = {{ [0] = {}, {} }}
             return {{ f = reg.f32(w, 0, '{order}'), u = reg.u32(w, 0, '{order}') }} end",
            words[0], words[1]
        );
        let readings = run_once(&source).expect(order);
        let values: Vec<_> = readings.into_iter().filter_map(|reading| reading.value).collect();
        let expected = [Value::Float64(f64::from(230.2_f32)), Value::Int(0x4366_3333)];
        assert_eq!(values, expected, "{order}");
    }
}

#[test]
fn an_error_names_the_file_and_the_line() {
    for (source, line) in [
        ("return function(frame)\n\n local x = frame.hr[99] + 1\nend", 3),
        ("return function(frame)\n return { v = reg.u16(frame.hr, 99) }\nend", 2),
        ("return function(frame)\n\n\n return { v = reg.f64(frame.hr, 2) }\nend", 4),
        ("return function(frame)\n return { v = reg.u32(frame.hr, 0, 'ABDC') }\nend", 2),
        ("return function(frame)\n error('no')\nend", 2),
        ("return function(frame)\n\n while true do end\nend", 3),
        ("return function(frame)\n\n string.find('a', '%')\nend", 3),
        ("return function(frame)\n string.format('%d', 'x')\nend", 2),
        ("return function(frame)\n\n\n table.concat({ {} })\nend", 4),
        ("return function(frame)\n\n json.decode('{')\nend", 3),
        ("return function(frame)\n\n return { v = int.new(1) // 0 }\nend", 3),
    ] {
        let error = run_once(source).expect_err(source);
        assert_eq!((error.file.as_str(), error.line), ("meter.luau", Some(line)), "{error}");
    }
    let error = Parser::load("meter.luau", "return\n\nfunction(", Limits::DEFAULT).err();
    let error = error.expect("no program");
    assert_eq!(error.line, Some(3), "{error}");
    assert!(matches!(error.fault, Fault::Syntax { .. }), "{error}");
}

#[test]
fn a_state_comes_back_and_a_failed_run_leaves_it_alone() {
    let mut parser = load(
        "return function(frame, state)
           state = state or { n = 0, last = reg.u64(frame.hr, 0), seen = {} }
           state.n += 1
           state.seen[state.n] = 'x'
           if state.n == 3 then error('third') end
           return { n = state.n, seen = #state.seen, last = state.last }, state
         end",
    );
    let (mut one, mut other) = (DeviceState::default(), DeviceState::default());
    let first = run(&mut parser, &mut one).expect("first");
    let second = run(&mut parser, &mut one).expect("second");
    assert_eq!(first[1].value, Some(Value::Int(1)));
    assert_eq!(second[1].value, Some(Value::Int(2)));
    assert_eq!(second[0].value, Some(Value::Unsigned(0xFFFF_0002_0003_0004)));
    let kept = one.clone();
    run(&mut parser, &mut one).expect_err("third");
    assert_eq!(one, kept);
    assert_eq!(run(&mut parser, &mut other).expect("another device"), first);
}

#[test]
fn a_state_is_kept_unless_a_second_value_is_given() {
    let mut parser = load(
        "return function(frame, state)
           if state == nil then return {}, 1 elseif state == 1 then return { kept = true } end
         end",
    );
    let mut state = DeviceState::default();
    assert!(run(&mut parser, &mut state).expect("first").is_empty());
    let after = state.clone();
    assert!(!after.is_empty());
    assert_eq!(run(&mut parser, &mut state).expect("second").len(), 1);
    assert_eq!(state, after);
    let mut parser = load("return function() return {}, nil end");
    run(&mut parser, &mut state).expect("clears");
    assert!(state.is_empty());
}

#[test]
fn a_state_survives_as_bytes_and_broken_bytes_are_no_state() {
    let mut parser = load(
        "return function(frame, state)
           if state then
               return { same = state.n == 0.1 and state.s == 'x\\0y' and state.t[1] == true
                   and state.t.deep.f == false and state.u == reg.u64(frame.hr, 0) }
           end
           return {}, { n = 0.1, s = 'x\\0y', t = { true, deep = { f = false } },
               u = reg.u64(frame.hr, 0), i = int.new(-5) }
         end",
    );
    let mut state = DeviceState::default();
    run(&mut parser, &mut state).expect("first");
    let bytes = state.to_bytes();
    let mut copy = DeviceState::from_bytes(&bytes).expect("our own bytes");
    assert_eq!(copy, state);
    assert_eq!(run(&mut parser, &mut copy).expect("second")[0].value, Some(Value::Bool(true)));
    for end in 0..bytes.len() {
        assert_eq!(DeviceState::from_bytes(&bytes[..end]), None, "{end}");
    }
    assert_eq!(DeviceState::from_bytes(&[0, 0]), None);
    assert_eq!(DeviceState::from_bytes(&[9]), None);
    assert_eq!(DeviceState::from_bytes(&[7, 0, 0, 0, 1].repeat(1000)), None);
}

#[test]
fn no_text_tells_an_address() {
    for expression in [
        "tostring({})",
        "tostring(print)",
        "tostring(assert)",
        "tostring(buffer.create(1))",
        "`{reg}`",
        "string.format('%s %s', {}, reg.u16)",
        "('%*'):format({})",
        "('%s'):format(setmetatable({}, { __metatable = 1 }))",
        "select(2, pcall(error, {})) and tostring(select(2, pcall(error, {})))",
        "tostring(json.null)",
        "tostring(select(2, pcall(function() local x = {} .. 1 end)))",
        "tostring(select(2, pcall(table.concat, { {} })))",
        "tostring(setmetatable({}, { __tostring = function() return 'own' end }))",
    ] {
        let source = format!("return function(frame) return {{ v = {expression} }} end");
        let shown = format!("{:?}", run_once(&source).expect(expression)[0].value);
        assert!(!shown.contains("0x"), "{expression}: {shown}");
    }
    for body in ["error({})", "error(print)", "error(setmetatable({}, { __tostring = 7 }))"] {
        let error = run_once(&format!("return function() {body} end"));
        assert!(!error.as_ref().is_err_and(|e| e.to_string().contains("0x")), "{error:?}");
    }
}

#[test]
fn the_same_frame_costs_the_same_fuel_in_any_vm() {
    let twenty = "return function(frame)
        local r, hr = {}, frame.hr
        for i = 0, 3 do
            for j = 0, 4 do r['s' .. i .. j] = reg.u16(hr, j) * 0.1 end
        end
        return r
      end";
    let mut used = Vec::new();
    for _ in 0..2 {
        let mut parser = load(twenty);
        for _ in 0..100 {
            assert_eq!(run(&mut parser, &mut DeviceState::default()).expect("runs").len(), 20);
            used.push(parser.used().fuel);
        }
    }
    assert!(used.iter().all(|fuel| *fuel == used[0]), "{used:?}");
    // The figure that `Limits::DEFAULT` is chosen by.
    assert_eq!(used[0], 106);
}

fn load(source: &str) -> Parser {
    Parser::load("meter.luau", source, Limits::DEFAULT).expect("loads")
}

fn run_once(source: &str) -> Result<Vec<Reading>, ScriptError> {
    run(&mut load(source), &mut DeviceState::default())
}

fn run(parser: &mut Parser, state: &mut DeviceState) -> Result<Vec<Reading>, ScriptError> {
    let device = DeviceName::new("meter").expect("a fine name");
    let mut frame = Frame::new(&device, AT);
    frame.hr =
        vec![Block { start: 0, items: vec![0xFFFF, 2, 3, 4] }, Block { start: 4, items: vec![5] }];
    frame.ir = vec![Block { start: 65535, items: vec![9, 10] }];
    frame.co = vec![Block { start: 0, items: vec![false, true] }];
    frame.di = vec![Block { start: 0, items: vec![false] }];
    frame.payload = Some(b"abc");
    frame.format = Some(50);
    parser.run(&frame, state)
}
