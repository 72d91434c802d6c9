//! Every meaning that some registers can have, and which of them a device would send.

use fieldgate_model::Value;
use fieldgate_rules::decode::decode_registers;
use fieldgate_rules::signal::{DataType, WordOrder};

const ORDERS: [(WordOrder, &str); 4] = [
    (WordOrder::Abcd, "ABCD"),
    (WordOrder::Cdab, "CDAB"),
    (WordOrder::Badc, "BADC"),
    (WordOrder::Dcba, "DCBA"),
];

/// One meaning of some registers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Interpretation {
    /// Place of its first register.
    pub(super) register: usize,
    /// The type's word in profiles.
    pub(super) name: String,
    /// The order's; none where it makes no difference.
    pub(super) order: Option<&'static str>,
    pub(super) value: Value,
    pub(super) is_plausible: bool,
}

/// All meanings, the widest types last.
pub(super) fn interpretations(words: &[u16]) -> Vec<Interpretation> {
    let types = [
        DataType::U16,
        DataType::I16,
        DataType::U32,
        DataType::I32,
        DataType::F32,
        DataType::U64,
        DataType::I64,
        DataType::F64,
    ];
    let mut found = Vec::new();
    for data in types {
        let width = usize::from(data.registers());
        for (place, words) in words.chunks_exact(width).enumerate() {
            let orders = if width == 1 { [ORDERS[0], ORDERS[2]].to_vec() } else { ORDERS.to_vec() };
            for (order, name) in orders {
                let Ok(value) = decode_registers(data, order, words) else { continue };
                found.push(Interpretation {
                    register: place * width,
                    name: data.to_string(),
                    order: Some(name),
                    is_plausible: is_plausible(data, &value),
                    value,
                });
            }
        }
    }
    found
}

fn is_plausible(_: DataType, value: &Value) -> bool {
    match value {
        Value::Float32(float) => is_measured(f64::from(*float)),
        Value::Float64(float) => is_measured(*float),
        Value::Int(int) => int.unsigned_abs() < 100_000,
        Value::Unsigned(int) => *int < 100_000,
        Value::Bool(_) | Value::Text(_) => true,
    }
}

fn is_measured(float: f64) -> bool {
    float == 0.0 || (1e-4..1e9).contains(&float.abs())
}
