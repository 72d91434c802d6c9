//! Exact 64-bit integers inside a script, whose own numbers are floats.

use core::fmt;

use fieldgate_model::Value;
use mlua::{AnyUserData, MetaMethod, UserData, UserDataMethods};

/// A 64-bit integer that stays exact as long as nobody calculates with it.
///
/// Two of them compare exactly; arithmetic, and `:number()`, give a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wide {
    Signed(i64),
    Unsigned(u64),
}

impl Wide {
    /// From four words, most significant first.
    pub(crate) fn from_words(words: [u16; 4], signed: bool) -> Self {
        let bits = words.iter().fold(0, |bits: u64, word| bits << 16 | u64::from(*word));
        if signed { Self::Signed(bits.cast_signed()) } else { Self::Unsigned(bits) }
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

    #[expect(clippy::cast_precision_loss, reason = "arithmetic is promised as a float")]
    fn float(self) -> f64 {
        match self {
            Self::Signed(int) => int as f64,
            Self::Unsigned(unsigned) => unsigned as f64,
        }
    }
}

impl fmt::Display for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exact().fmt(f)
    }
}

/// An arithmetic operator on floats.
type Operator = fn(f64, f64) -> f64;

impl UserData for Wide {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("number", |_, this, ()| Ok(this.float()));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.to_string()));
        methods.add_meta_method(MetaMethod::Unm, |_, this, ()| Ok(-this.float()));
        methods.add_meta_function(MetaMethod::Eq, |_, (a, b)| compare(&a, &b, |a, b| a == b));
        methods.add_meta_function(MetaMethod::Lt, |_, (a, b)| compare(&a, &b, |a, b| a < b));
        methods.add_meta_function(MetaMethod::Le, |_, (a, b)| compare(&a, &b, |a, b| a <= b));
        let operators: [(MetaMethod, Operator); 7] = [
            (MetaMethod::Add, |a, b| a + b),
            (MetaMethod::Sub, |a, b| a - b),
            (MetaMethod::Mul, |a, b| a * b),
            (MetaMethod::Div, |a, b| a / b),
            (MetaMethod::IDiv, |a, b| (a / b).floor()),
            (MetaMethod::Mod, |a, b| a - (a / b).floor() * b),
            (MetaMethod::Pow, f64::powf),
        ];
        for (operator, apply) in operators {
            methods
                .add_meta_function(operator, move |_, (a, b)| Ok(apply(number(&a)?, number(&b)?)));
        }
    }
}

fn compare(a: &AnyUserData, b: &AnyUserData, apply: fn(i128, i128) -> bool) -> mlua::Result<bool> {
    Ok(apply(a.borrow::<Wide>()?.exact(), b.borrow::<Wide>()?.exact()))
}

/// The operand of an arithmetic operator as a float.
fn number(operand: &mlua::Value) -> mlua::Result<f64> {
    if let Some(number) = operand.as_f64() {
        return Ok(number);
    }
    match operand.as_userdata() {
        Some(wide) => Ok(wide.borrow::<Wide>()?.float()),
        None => Err(mlua::Error::runtime(format!(
            "attempt to perform arithmetic on a 64-bit integer and a {}",
            operand.type_name()
        ))),
    }
}
