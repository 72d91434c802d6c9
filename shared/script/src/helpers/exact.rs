//! Exact 64-bit integers inside a script, whose own numbers are floats.
//!
//! # Invariants
//!
//! - What is integral on both sides stays exact, and what does not fit into 64 bits is an error: no
//!   digit is lost in silence. A fraction on either side, `/` and `^` give a float.

use core::cmp::Ordering;
use core::fmt;
use std::rc::Rc;

use fieldgate_model::Value;
use mlua::{AnyUserData, IntoLua, Lua, MetaMethod, Table, UserData, UserDataMethods};

use super::{Problem, told};
use crate::meter::Meter;

/// Largest distance from zero up to which every integer is a float: beyond it digits are lost.
const FLOAT_EXACT_MAX: u128 = 1 << 53;

/// A 64-bit integer, signed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exact {
    Signed(i64),
    Unsigned(u64),
}

/// An operand of an operator.
#[derive(Clone, Copy)]
enum Operand {
    Exact(i128),
    Float(f64),
}

impl Exact {
    /// From four words, most significant first.
    fn from_words(words: [u16; 4], signed: bool) -> Self {
        let bits = words.iter().fold(0, |bits: u64, word| bits << 16 | u64::from(*word));
        if signed { Self::Signed(bits.cast_signed()) } else { Self::Unsigned(bits) }
    }

    /// The integer, if 64 bits hold it.
    pub(super) fn new(exact: i128) -> Option<Self> {
        let signed = || i64::try_from(exact).map(Self::Signed);
        signed().or_else(|_| u64::try_from(exact).map(Self::Unsigned)).ok()
    }

    /// As a raw value.
    pub(crate) const fn value(self) -> Value {
        match self {
            Self::Signed(int) => Value::Int(int),
            Self::Unsigned(unsigned) => Value::Unsigned(unsigned),
        }
    }

    /// Comparable whatever the sign.
    fn exact(self) -> i128 {
        match self {
            Self::Signed(int) => int.into(),
            Self::Unsigned(unsigned) => unsigned.into(),
        }
    }

    const fn bits(self) -> u64 {
        match self {
            Self::Signed(int) => int.cast_unsigned(),
            Self::Unsigned(unsigned) => unsigned,
        }
    }
}

impl Operand {
    /// An integral number that no digit can be missing from is exact.
    fn of(value: &mlua::Value) -> mlua::Result<Self> {
        // The VM's binding gives a number that is integral as an integer.
        if let Some(int) = value.as_integer() {
            #[expect(clippy::cast_precision_loss, reason = "it was this float")]
            return Ok(if u128::from(int.unsigned_abs()) <= FLOAT_EXACT_MAX {
                Self::Exact(i128::from(int))
            } else {
                Self::Float(int as f64)
            });
        }
        if let Some(float) = value.as_f64() {
            return Ok(if float == 0.0 { Self::Exact(0) } else { Self::Float(float) });
        }
        match value.as_userdata() {
            Some(data) => Ok(Self::Exact(data.borrow::<Exact>()?.exact())),
            None => Err(mlua::Error::runtime(format!(
                "attempt to perform arithmetic on a 64-bit integer and a {}",
                value.type_name()
            ))),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "asked for as a float")]
    const fn float(self) -> f64 {
        match self {
            Self::Exact(exact) => exact as f64,
            Self::Float(float) => float,
        }
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exact().fmt(f)
    }
}

/// An operator: on integers, where it has one, and on floats.
type Operator = (MetaMethod, Option<fn(i128, i128) -> Option<i128>>, fn(f64, f64) -> f64);

const OPERATORS: [Operator; 7] = [
    (MetaMethod::Add, Some(i128::checked_add), |a, b| a + b),
    (MetaMethod::Sub, Some(i128::checked_sub), |a, b| a - b),
    (MetaMethod::Mul, Some(i128::checked_mul), |a, b| a * b),
    (MetaMethod::IDiv, Some(floor_div), |a, b| (a / b).floor()),
    (MetaMethod::Mod, Some(floor_mod), |a, b| a - (a / b).floor() * b),
    (MetaMethod::Div, None, |a, b| a / b),
    (MetaMethod::Pow, None, f64::powf),
];

impl UserData for Exact {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("number", |lua, this, ()| {
            step(lua)?;
            Ok(Operand::Exact(this.exact()).float())
        });
        methods.add_method("bits", |lua, this, (first, last): (u32, u32)| {
            step(lua)?;
            if last < first || last > 63 {
                return Err(mlua::Error::runtime("the places of two bits, 0 to 63, are needed"));
            }
            let found = this.bits() << (63 - last) >> (63 - last + first);
            narrow(lua, i128::from(found))
        });
        methods.add_meta_method(MetaMethod::ToString, |lua, this, ()| {
            step(lua)?;
            Ok(this.to_string())
        });
        methods.add_meta_function(MetaMethod::Concat, |lua, (a, b): (mlua::Value, mlua::Value)| {
            step(lua)?;
            Ok(format!("{}{}", a.to_string()?, b.to_string()?))
        });
        methods.add_meta_method(MetaMethod::Unm, |lua, this, ()| {
            step(lua)?;
            fitting(-this.exact())
        });
        methods.add_meta_function(MetaMethod::Eq, |lua, (a, b)| {
            compare(lua, &a, &b).map(Ordering::is_eq)
        });
        methods.add_meta_function(MetaMethod::Lt, |lua, (a, b)| {
            compare(lua, &a, &b).map(Ordering::is_lt)
        });
        methods.add_meta_function(MetaMethod::Le, |lua, (a, b)| {
            compare(lua, &a, &b).map(Ordering::is_le)
        });
        for (operator, exactly, roughly) in OPERATORS {
            methods.add_meta_function(operator, move |lua, (a, b): (mlua::Value, mlua::Value)| {
                step(lua)?;
                match (Operand::of(&a)?, Operand::of(&b)?, exactly) {
                    (Operand::Exact(a), Operand::Exact(b), Some(exactly)) => {
                        if b == 0 && exactly(1, 0).is_none() {
                            return Err(mlua::Error::runtime("a 64-bit integer divided by zero"));
                        }
                        fitting(exactly(a, b).unwrap_or(i128::MAX))?.into_lua(lua)
                    }
                    (a, b, _) => roughly(a.float(), b.float()).into_lua(lua),
                }
            });
        }
    }
}

/// Metamethods are called without a step of the VM, so each takes its own.
fn step(lua: &Lua) -> mlua::Result<()> {
    match lua.app_data_ref::<Rc<Meter>>() {
        Some(meter) => meter.spend(lua, 1),
        None => Ok(()),
    }
}

fn fitting(exact: i128) -> mlua::Result<Exact> {
    Exact::new(exact).ok_or_else(|| mlua::Error::runtime("the result does not fit into 64 bits"))
}

/// As the script's own number where that holds it.
pub(super) fn narrow(lua: &Lua, exact: i128) -> mlua::Result<mlua::Value> {
    if exact.unsigned_abs() <= FLOAT_EXACT_MAX {
        return Ok(mlua::Value::Number(Operand::Exact(exact).float()));
    }
    fitting(exact)?.into_lua(lua)
}

fn compare(lua: &Lua, a: &AnyUserData, b: &AnyUserData) -> mlua::Result<Ordering> {
    step(lua)?;
    Ok(a.borrow::<Exact>()?.exact().cmp(&b.borrow::<Exact>()?.exact()))
}

fn floor_div(a: i128, b: i128) -> Option<i128> {
    let rest = a.checked_rem(b)?;
    let quotient = a.checked_div(b)?;
    Some(if rest != 0 && (rest < 0) != (b < 0) { quotient - 1 } else { quotient })
}

fn floor_mod(a: i128, b: i128) -> Option<i128> {
    let rest = a.checked_rem(b)?;
    Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
}

pub(super) fn add(lua: &Lua, meter: &Rc<Meter>, natives: &Table) -> mlua::Result<()> {
    lua.set_app_data(Rc::clone(meter));
    let wide = lua.create_function(|_, (signed, a, b, c, d): (bool, u16, u16, u16, u16)| {
        Ok(Exact::from_words([a, b, c, d], signed))
    })?;
    natives.raw_set("wide", wide)?;
    let counted = Rc::clone(meter);
    let new = lua.create_function(move |lua, given: mlua::Value| {
        counted.spend(lua, 1)?;
        told(lua, &counted, parse(&given))
    })?;
    natives.raw_set("int_new", new)
}

/// An integer out of a number or a text of decimal digits, or of hex ones after `0x`.
fn parse(given: &mlua::Value) -> Result<Exact, Problem> {
    /// `-9223372036854775808` and `0xFFFFFFFFFFFFFFFF` have no more.
    const DIGITS_MAX: usize = 20;
    let wrong = || Problem::Given("int: needs an integral number or a text of digits".to_owned());
    if let Some(text) = given.as_string() {
        let text = text.to_str().map_err(|_| wrong())?;
        if text.len() > DIGITS_MAX {
            return Err(wrong());
        }
        let exact = match text.strip_prefix("0x") {
            Some(digits) if digits.starts_with(|c: char| c.is_ascii_hexdigit()) => {
                i128::from_str_radix(digits, 16)
            }
            Some(_) | None => text.parse(),
        };
        let too_large = || Problem::Given("int: does not fit into 64 bits".to_owned());
        return Exact::new(exact.map_err(|_| wrong())?).ok_or_else(too_large);
    }
    match Operand::of(given) {
        Ok(Operand::Exact(exact)) => Exact::new(exact).ok_or_else(wrong),
        Ok(Operand::Float(_)) | Err(_) => Err(wrong()),
    }
}
