//! modpoll's rows: `device`, what is polled, and what of it means something.
//!
//! ```csv
//! device,meter,1
//! poll,input_register,0,2,BE_BE
//! ref,voltage,0,float32,r,V,0.1
//! ```
//!
//! Addresses are those on the wire (modpoll's documentation, "configure").

use fieldgate_modbus::register::Table;
use fieldgate_rules::signal::WordOrder;

use super::rows::Row;
use crate::import::draft::{Draft, DraftSignal};
use crate::import::place::{self, Bare, Kind};
use crate::import::{Options, Weight};

/// What the rows above say of the next `ref`.
#[derive(Default)]
struct Around {
    device: Option<(String, u8)>,
    devices: Vec<u8>,
    table: Option<Table>,
    order: WordOrder,
}

/// Reads the rows.
pub(super) fn read(rows: &[Row], options: &Options, draft: &mut Draft) {
    let mut around = Around::default();
    for row in rows {
        let cell = |place: usize| row.cells.get(place).map_or("", String::as_str);
        match cell(0).to_ascii_lowercase().as_str() {
            "device" => {
                let unit = cell(2).parse().unwrap_or(1);
                around.device = Some((cell(1).to_owned(), unit));
                around.devices.push(unit);
                if is_wanted(&around, options) {
                    draft.set_title(cell(1));
                    draft.set_name(cell(1));
                } else if options.device.is_none() {
                    let what = format!(
                        "device `{}`: a profile is of one device; choose it with --device {unit}",
                        cell(1)
                    );
                    draft.note(row.line, Weight::Lost, what);
                }
            }
            "poll" => {
                around.table = place::table(cell(1));
                around.order = place::order(cell(4)).unwrap_or_default();
                if around.table.is_none() && is_wanted(&around, options) {
                    draft.note(row.line, Weight::Lost, format!("`{}` is not a table", cell(1)));
                }
            }
            "ref" if is_wanted(&around, options) => match signal(&cell, &around) {
                Ok(signal) => {
                    draft.add(Some(row.line), signal);
                }
                Err(why) => draft.note(row.line, Weight::Lost, format!("`{}`: {why}", cell(1))),
            },
            "ref" => {}
            other => {
                let what = format!("`{other}` is not one of `device`, `poll` and `ref`");
                draft.note(row.line, Weight::Lost, what);
            }
        }
    }
}

/// Whether the rows are of the device that is wanted: the first, or that of the unit given.
fn is_wanted(around: &Around, options: &Options) -> bool {
    match (&options.device, &around.device) {
        (Some(pick), Some((name, unit))) => {
            pick.unit == *unit && pick.bus.as_ref().is_none_or(|bus| bus == name)
        }
        (Some(_), None) => false,
        (None, _) => around.devices.len() <= 1,
    }
}

fn signal<'c>(cell: &dyn Fn(usize) -> &'c str, around: &Around) -> Result<DraftSignal, String> {
    let table = around.table.ok_or("stands below no `poll`")?;
    let address = place::address(cell(2), Bare { table: Some(table), one_based: false });
    // Numbers like 40001 are on the wire here, whatever they look like.
    let offset = cell(2).parse::<u16>().ok();
    let mut address = address?;
    address.offset = offset.unwrap_or(address.offset);
    address.table = table;
    let mut signal = DraftSignal::new(cell(1), address);
    let word = cell(3).to_ascii_lowercase();
    let length = word.strip_prefix("string").and_then(|length| length.parse::<u16>().ok());
    match (place::kind(&word), length) {
        (_, Some(length)) if !table.is_bits() && (1..=250).contains(&length) => {
            signal.kind = Some("string");
            signal.registers = Some(length.div_ceil(2));
            signal.order = around.order;
        }
        (Some(Kind::Number(word, registers)), _) if !table.is_bits() => {
            signal.kind = Some(word);
            signal.order =
                if registers == 1 { around.order.within_registers() } else { around.order };
        }
        (Some(Kind::Bit), _) if table.is_bits() => {}
        (Some(_) | None, _) => {
            return Err(format!("`{word}` at {address} is no type of one signal"));
        }
    }
    signal.is_writable =
        cell(4).contains('w') && matches!(table, Table::Coil | Table::HoldingRegister);
    signal.unit = place::unit(cell(5));
    if !cell(6).is_empty() {
        let scale = cell(6).parse::<f64>().ok().filter(|scale| scale.is_finite() && *scale != 0.0);
        signal.scale = scale.ok_or_else(|| format!("`{}` is not a scale", cell(6)))?;
    }
    Ok(signal)
}
