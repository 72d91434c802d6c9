//! `SunSpec`: definitions in JSON, and devices whose models were found.

use fieldgate_modbus::register::{Address, Table};
use fieldgate_rules::sunspec::{
    BASES, Count, Found, Gap, GroupSpec, Layout, ModelSpec, PlacedPoint, PlacedScale, PointKind,
    PointScale, PointSpec, known, lay_out,
};

use super::draft::{Draft, DraftSignal};
use super::tree::{self, Data, Node};
use super::{Imported, Note, Options, Weight, place};

/// Longest name of a point or group: names of nested groups make up paths, one for each standing.
const NAME_MAX: usize = 64;

/// A device, and the registers of its models, each from its id on.
#[derive(Debug, Clone, Copy)]
pub struct SunSpecDevice<'d> {
    /// What was found.
    pub found: &'d Found,
    /// The registers of each model, in the order of `found`.
    pub words: &'d [Vec<u16>],
    /// Definitions beside those that the binary carries; they come first.
    pub definitions: &'d [ModelSpec],
}

/// Reads the definition of one model, placed behind `SunS` unless another place is given.
pub(super) fn import(text: &str, options: &Options) -> Result<Imported, Vec<Note>> {
    let model = model_from_json(text)?;
    let source = format!("SunSpec model {}, imported from {}", model.id, options.file);
    let mut draft = Draft::new(source);
    draft.set_name(&format!("sunspec-{}", model.id));
    draft.set_title(&format!("SunSpec model {} ({})", model.id, model.group.name));
    let at = options.at.unwrap_or(BASES[0] + 2);
    if options.at.is_none() {
        let what = format!(
            "the model is taken to have its id at holding register {at}; say with --at where it is"
        );
        draft.note_whole(Weight::Remark, what);
    }
    add(&mut draft, &lay_out(&model, None), at, "", model.id);
    draft.finish(options)
}

/// The profile of a device that was walked through.
pub fn sunspec_device(device: SunSpecDevice<'_>, options: &Options) -> Result<Imported, Vec<Note>> {
    let mut draft = Draft::new(format!("SunSpec models of the device itself, {}", options.file));
    draft.set_name("sunspec-device");
    draft.set_title("SunSpec device");
    for (found, words) in device.found.models.iter().zip(device.words) {
        let given = device.definitions.iter().find(|model| model.id == found.id).cloned();
        let Some(model) = given.or_else(|| known(found.id)) else {
            let what = format!(
                "model {} at {} ({} registers): its definition is not known; give the folder with \
                 its JSON by --models",
                found.id, found.start, found.length
            );
            draft.note_whole(Weight::Lost, what);
            continue;
        };
        let nth = device.found.models.iter().filter(|other| other.id == found.id);
        let nth = nth.take_while(|other| other.start < found.start).count();
        let prefix = if nth == 0 {
            format!("m{}_", found.id)
        } else {
            format!("m{}_{}_", found.id, nth + 1)
        };
        add(&mut draft, &lay_out(&model, Some(words)), found.start, &prefix, found.id);
    }
    draft.finish(options)
}

fn add(draft: &mut Draft, layout: &Layout<'_>, at: u16, prefix: &str, id: u16) {
    for gap in &layout.gaps {
        let weight = match gap {
            Gap::Unscaled { .. } => Weight::Remark,
            Gap::Repeating { .. }
            | Gap::Beyond { .. }
            | Gap::NoScale { .. }
            | Gap::Endless { .. }
            | Gap::Leftover { .. } => Weight::Lost,
        };
        draft.note_whole(weight, format!("model {id}: {gap}"));
    }
    for placed in &layout.points {
        // What the walk over the models has read already says nothing of the device.
        if placed.offset < 2 {
            continue;
        }
        if draft.is_full() {
            break;
        }
        match signal(placed, at, prefix, id) {
            Ok(signal) => {
                draft.add(None, signal);
            }
            Err(why) => {
                let what = format!("model {id}, `{}`: {why}", placed.path);
                draft.note_whole(Weight::Lost, what);
            }
        }
    }
}

fn signal(placed: &PlacedPoint<'_>, at: u16, prefix: &str, id: u16) -> Result<DraftSignal, String> {
    let point = placed.point;
    let offset = at.checked_add(placed.offset).ok_or("lies behind address 65535")?;
    let address = Address { table: Table::HoldingRegister, offset };
    let mut signal = DraftSignal::new(&format!("{prefix}{}", placed.path), address);
    signal.title.clone_from(&point.title);
    signal.kind = Some(match point.kind {
        PointKind::Int16 | PointKind::ScaleFactor => "i16",
        PointKind::Int32 => "i32",
        PointKind::Int64 => "i64",
        PointKind::Uint16
        | PointKind::Count
        | PointKind::Acc16
        | PointKind::Enum16
        | PointKind::Bitfield16
        | PointKind::Pad => "u16",
        PointKind::Uint32
        | PointKind::Acc32
        | PointKind::Enum32
        | PointKind::Bitfield32
        | PointKind::Ipv4 => "u32",
        PointKind::Uint64 | PointKind::Acc64 | PointKind::Bitfield64 | PointKind::Eui48 => "u64",
        PointKind::Float32 => "f32",
        PointKind::Float64 => "f64",
        PointKind::Text => "string",
        PointKind::Ipv6 => {
            return Err("is an address of 128 bits, for which there is no type".to_owned());
        }
    });
    if point.kind == PointKind::Text {
        if !(1..=125).contains(&point.registers) {
            return Err(format!("is a text of {} registers, one read brings 125", point.registers));
        }
        signal.registers = Some(point.registers);
    }
    signal.nulls = point.kind.null().into_iter().collect();
    match &placed.scale {
        PlacedScale::One => {}
        PlacedScale::Power(power) => signal.scale = 10_f64.powi(i32::from(*power)),
        PlacedScale::Point(path) => signal.scale_from = Some(format!("{prefix}{path}")),
    }
    signal.unit = place::unit(&point.unit);
    // The symbols of a bit field name bits, and a text names a whole number.
    if matches!(point.kind, PointKind::Enum16 | PointKind::Enum32) {
        let texts = point.symbols.iter();
        signal.texts = texts.map(|(number, name)| (i128::from(*number), name.clone())).collect();
    }
    signal.is_writable = point.is_writable;
    signal.source = format!("model {id}, {}", placed.path);
    Ok(signal)
}

/// The definition of a model, as the `SunSpec` Alliance publishes them in JSON.
pub fn model_from_json(text: &str) -> Result<ModelSpec, Vec<Note>> {
    let lost = |line, what: String| vec![Note { line: Some(line), weight: Weight::Lost, what }];
    let root = tree::parse(text).map_err(|error| lost(error.line, error.what))?;
    let mut problems = Vec::new();
    let Some(group) = root.get("group") else {
        return Err(lost(root.line, "there is no `group`, which a definition has".to_owned()));
    };
    let id = root.get("id").or_else(|| {
        let points = group.get("points")?.items();
        points.iter().find(|point| name(point) == "ID")?.get("value")
    });
    let id = id.and_then(Node::integer).and_then(|id| u16::try_from(id).ok());
    let group = read_group(group, true, &mut problems);
    match id {
        Some(id) if problems.is_empty() => Ok(ModelSpec { id, group }),
        Some(_) => Err(problems),
        None => {
            problems.extend(lost(root.line, "the definition has no id".to_owned()));
            Err(problems)
        }
    }
}

fn name(node: &Node) -> &str {
    node.get("name").and_then(Node::text).unwrap_or_default()
}

fn read_group(node: &Node, outermost: bool, problems: &mut Vec<Note>) -> GroupSpec {
    let count = match node.get("count") {
        None => Count::Fixed(1),
        Some(_) if outermost => Count::Fixed(1),
        Some(count) => match count.integer().and_then(|count| u16::try_from(count).ok()) {
            Some(0) => Count::ToEnd,
            Some(count) => Count::Fixed(count),
            None => Count::Point(count.text().unwrap_or_default().to_owned()),
        },
    };
    if name(node).chars().count() > NAME_MAX {
        let what = format!("a group's name has more than {NAME_MAX} characters");
        problems.push(Note { line: Some(node.line), weight: Weight::Lost, what });
    }
    let points = node.get("points").map(Node::items).unwrap_or_default();
    let points = points.iter().filter_map(|point| match read_point(point) {
        Ok(point) => Some(point),
        Err(why) => {
            let what = format!("point `{}`: {why}", name(point));
            problems.push(Note { line: Some(point.line), weight: Weight::Lost, what });
            None
        }
    });
    let points = points.collect();
    let groups = node.get("groups").map(Node::items).unwrap_or_default();
    let groups = groups.iter().map(|group| read_group(group, false, problems)).collect();
    GroupSpec { name: name(node).to_owned(), count, points, groups }
}

fn read_point(node: &Node) -> Result<PointSpec, String> {
    if name(node).chars().count() > NAME_MAX {
        return Err(format!("its name has more than {NAME_MAX} characters"));
    }
    let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
    let kind = PointKind::from_name(text("type"))
        .ok_or_else(|| format!("`{}` is not a type", text("type")))?;
    let size = node.get("size").and_then(Node::integer).and_then(|size| u16::try_from(size).ok());
    let registers = match (kind.registers(), size) {
        (Some(registers), None) => registers,
        (Some(registers), Some(size)) if registers == size => registers,
        (None, Some(size)) if size > 0 => size,
        (Some(_) | None, Some(_) | None) => {
            return Err(format!("`{}` does not have this `size`", text("type")));
        }
    };
    let scale = match node.get("sf").map(|sf| (sf.integer(), sf.text())) {
        None => PointScale::One,
        Some((Some(power), _)) => {
            PointScale::Power(i8::try_from(power).map_err(|_| "its power of ten is too large")?)
        }
        Some((None, name)) => PointScale::Point(name.unwrap_or_default().to_owned()),
    };
    let symbols = node.get("symbols").map(Node::items).unwrap_or_default();
    let symbol = |symbol: &Node| {
        let number =
            symbol.get("value")?.integer().and_then(|number| u64::try_from(number).ok())?;
        Some((number, name(symbol).to_owned()))
    };
    Ok(PointSpec {
        name: name(node).to_owned(),
        title: text("label").to_owned(),
        kind,
        registers,
        scale,
        unit: text("units").to_owned(),
        symbols: symbols.iter().filter_map(symbol).collect(),
        is_writable: matches!(node.get("access").map(|access| &access.data), Some(Data::Scalar(access, _)) if access == "RW"),
    })
}
