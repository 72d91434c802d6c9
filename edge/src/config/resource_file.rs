//! `[[resource]]` of a profile, and where in one a `[[signal]]` lies.

use std::collections::{BTreeMap, BTreeSet};

use fieldgate_model::{Millis, ValueKind};
use fieldgate_rules::payload::{Field, Format, Method, Pick, PickPlace, Picked, Pointer, Resource};
use fieldgate_rules::signal::{DataType, SignalSource, WordOrder};

use super::fields::{Fields, Found, Wrong, list};
use super::problem::Problem;
use super::profile_file::read_duration;

/// Bytes of one segment of a path or query (RFC 7252, section 5.10).
const SEGMENT_MAX: usize = 255;
/// Bytes of a path with its query; more does not fit into a datagram beside a payload.
const PATH_MAX: usize = 512;
/// Resources of one profile: as many as signals, since each may be one of its own.
const RESOURCES_MAX: usize = super::signals_file::SIGNALS_MAX;

/// Where a signal lies in a resource, as it was read.
#[derive(Debug, Clone)]
pub(super) struct RawPick {
    path: Found<String>,
    pointer: Option<Found<Pointer>>,
    record: Option<Found<String>>,
    field: Field,
    bytes: Option<(Found<usize>, DataType, WordOrder)>,
}

/// The resources of a profile while its signals are read.
#[derive(Debug, Default)]
pub(super) struct Resources {
    pub(super) found: Vec<Resource>,
    place_by_path: BTreeMap<String, usize>,
    /// Those that a signal names, whether or not it can be used.
    named: BTreeSet<usize>,
}

impl Resources {
    /// The `[[resource]]`s that the profile declares; others come with the signals that name them.
    pub(super) fn read(root: &mut Fields<'_>, problems: &mut Vec<Problem>) -> Self {
        let mut resources = Self::default();
        for mut fields in root.tables("resource", "[[resource]]") {
            let line = fields.line();
            if let Some(resource) = read_resource(&mut fields) {
                if resources.place_by_path.contains_key(&resource.path) {
                    let what = format!("has the path `{}` of another resource", resource.path);
                    fields.wrong(line, Wrong::new(what));
                }
                resources.add(resource);
            }
            problems.extend(fields.finish());
        }
        resources
    }

    fn add(&mut self, resource: Resource) -> usize {
        let place = self.found.len();
        self.place_by_path.insert(resource.path.clone(), place);
        self.found.push(resource);
        place
    }

    /// The place of a resource that a test names.
    pub(super) fn place(&self, path: &str) -> Option<usize> {
        self.place_by_path.get(path).copied()
    }

    /// Puts a signal into its resource, and says where that is.
    pub(super) fn take(
        &mut self,
        signal: usize,
        name: &str,
        raw: RawPick,
    ) -> Result<PickPlace, (usize, Wrong)> {
        let RawPick { path: Found { value: path, line }, .. } = &raw;
        let line = *line;
        let place = match self.place_by_path.get(path) {
            Some(place) => *place,
            None if self.found.len() >= RESOURCES_MAX => {
                let what = format!("is one of more than {RESOURCES_MAX} resources");
                return Err((line, Wrong::new(what)));
            }
            None => self.add(Resource::new(path.clone(), raw.format())),
        };
        self.named.insert(place);
        let resource = &mut self.found[place];
        let pick = raw.pick(name, resource.format)?;
        resource.picks.push(Picked { signal, pick });
        let places = (u16::try_from(place), u16::try_from(resource.picks.len() - 1));
        match places {
            (Ok(resource), Ok(pick)) => Ok(PickPlace { resource, pick }),
            (Ok(_) | Err(_), _) => Err((line, Wrong::new("the profile has too many signals"))),
        }
    }

    /// Says which declared resources no signal lies in; a parser may read them all the same.
    pub(super) fn check(&self, root: &mut Fields<'_>, has_parser: bool) {
        let idle = self.found.iter().enumerate();
        let idle = idle.filter(|(place, _)| !has_parser && !self.named.contains(place));
        for (_, resource) in idle {
            let what = format!("[[resource]] `{}` has no signal in it", resource.path);
            let hint = format!("write `read = \"{}\"` in a `[[signal]]`", resource.path);
            root.wrong(root.line_of("resource"), Wrong::new(what).hint(hint));
        }
    }
}

fn read_resource(fields: &mut Fields<'_>) -> Option<Resource> {
    let path = fields.parse_required("path", |text| parse_path(text).map(|()| text.to_owned()));
    let format = fields.parse("format", parse_format);
    let method = fields.parse("method", |text| match text {
        "GET" => Ok(Method::Get),
        "POST" => Ok(Method::Post),
        other => Err(Wrong::new(format!("`{other}` is not a way to read"))
            .hint("known are `GET` and `POST`; how to write stands in `write` of a signal")),
    });
    let every = read_duration(fields, "every");
    let observe = fields.take::<bool>("observe");
    let push = fields.take::<bool>("push").is_some_and(|push| push.value);
    let method = method.map_or(Method::Get, |method| method.value);
    if let Some(Found { line, .. }) = observe.as_ref().filter(|observe| observe.value) {
        if method == Method::Post {
            fields.wrong(*line, Wrong::new("`observe` is for what is read by GET"));
        }
        if push {
            let wrong = Wrong::new("has both `observe` and `push`");
            let hint = "the gateway asks to be told of the one, the other is sent unasked";
            fields.wrong(*line, wrong.hint(hint));
        }
    }
    Some(Resource {
        method,
        every: every.filter(|every| *every > Millis(0)),
        observe: observe.is_some_and(|observe| observe.value),
        push,
        ..Resource::new(path?.value, format.map_or(Format::Text, |format| format.value))
    })
}

/// A path from its first slash on, with a query if there is one.
pub(super) fn parse_path(text: &str) -> Result<(), Wrong> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let wrong = |why: &str| {
        Err(Wrong::new(format!("`{text}` {why}")).hint("write the path as in `/sensors/temp`"))
    };
    let Some(segments) = path.strip_prefix('/') else { return wrong("does not begin with `/`") };
    if text.len() > PATH_MAX || text.chars().any(|c| c.is_control() || c == '#') {
        return wrong("is no path");
    }
    let all = segments.split('/').chain(query.split('&').filter(|part| !part.is_empty()));
    for segment in all {
        if segment.is_empty() || segment.len() > SEGMENT_MAX || segment == "." || segment == ".." {
            return wrong("has a segment that is none");
        }
    }
    Ok(())
}

fn parse_format(text: &str) -> Result<Format, Wrong> {
    Format::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| {
        let known = Format::ALL.map(Format::as_str);
        Wrong::new(format!("`{text}` is not a format")).hint(format!("known are {}", list(&known)))
    })
}

/// The rest of a signal whose `read` is a path; `data` is there if it has a `type`.
pub(super) fn read_pick(
    fields: &mut Fields<'_>,
    path: Found<String>,
    data: Option<(DataType, WordOrder)>,
) -> Option<(SignalSource, RawPick)> {
    let pointer = fields.parse("pointer", |text| {
        text.parse::<Pointer>().map_err(|error| {
            Wrong::new(error).hint("write `/a/b`, and `/0` for the first of a list")
        })
    });
    let record = fields.take::<String>("senml");
    let field = fields.parse("field", |text| match text {
        "value" => Ok(Field::Value),
        "sum" => Ok(Field::Sum),
        other => {
            Err(Wrong::new(format!("`{other}` is not a field")).hint("known are `value`, `sum`"))
        }
    });
    let byte = fields.take::<usize>("byte");
    let kind = fields.parse("kind", super::source_file::parse_kind);
    let wrong = parse_path(&path.value).err();
    if let Some(Wrong { what, hint }) = wrong {
        fields.wrong(path.line, Wrong { what: format!("`read`: {what}"), hint });
        return None;
    }
    let bytes = match (byte, data) {
        (Some(byte), Some((data, order))) => Some((byte, data, order)),
        (None, None) => None,
        (Some(Found { line, .. }), None) => {
            fields.wrong(line, Wrong::new("`byte` needs a `type`").hint("as in `type = \"u16\"`"));
            return None;
        }
        (None, Some(_)) => {
            let wrong = Wrong::new("has a `type`, which is for bytes at an offset");
            let hint = "write `byte = 0` beside it, or `kind = \"int\"` for a text or document";
            fields.wrong(path.line, wrong.hint(hint));
            return None;
        }
    };
    if let (Some((_, data, _)), Some(kind)) = (&bytes, &kind)
        && data.kind() != kind.value
    {
        let what = format!("`kind`: {data} is of kind `{}`", data.kind().as_str());
        fields.wrong(kind.line, Wrong::new(what).hint("leave it out"));
    }
    let kind = match (&bytes, kind) {
        (Some((_, data, _)), _) => data.kind(),
        (None, Some(kind)) => kind.value,
        (None, None) => ValueKind::Float64,
    };
    let field = field.map_or(Field::Value, |field| field.value);
    let place = PickPlace { resource: 0, pick: 0 };
    let raw = RawPick { path, pointer, record, field, bytes };
    Some((SignalSource::Payload { place, kind }, raw))
}

impl RawPick {
    /// The format of a resource that no `[[resource]]` declares: that of what is picked from it.
    fn format(&self) -> Format {
        match (&self.pointer, &self.record, &self.bytes) {
            (Some(_), _, _) => Format::Json,
            (None, Some(_), _) => Format::SenmlJson,
            (None, None, Some(_)) => Format::Octets,
            (None, None, None) => Format::Text,
        }
    }

    /// Where it lies in a resource of this format; a record has the signal's name if it has none.
    fn pick(self, name: &str, format: Format) -> Result<Pick, (usize, Wrong)> {
        let line = self.path.line;
        let foreign = |line: usize, key: &str| {
            let what = format!("`{key}` is not for a resource in {format}");
            let hint = "declare another `format` in its `[[resource]]`";
            Err((line, Wrong::new(what).hint(hint)))
        };
        let is_senml = matches!(format, Format::SenmlJson | Format::SenmlCbor);
        match (self.pointer, self.record, self.bytes, format) {
            (Some(_), Some(Found { line, .. }), ..) | (_, Some(Found { line, .. }), Some(_), _) => {
                Err((line, Wrong::new("has several of `pointer`, `senml` and `byte`")))
            }
            (Some(found), None, None, Format::Json | Format::Cbor) => Ok(Pick::At(found.value)),
            (Some(found), None, _, _) => foreign(found.line, "pointer"),
            (None, record, None, _) if is_senml => {
                let name = record.map_or_else(|| name.to_owned(), |record| record.value);
                Ok(Pick::Record { name, field: self.field })
            }
            (None, Some(found), None, _) => foreign(found.line, "senml"),
            (None, None, Some((offset, data, order)), Format::Octets) => {
                Ok(Pick::Bytes { offset: offset.value, data, order })
            }
            (None, None, Some((found, ..)), _) => foreign(found.line, "byte"),
            (None, None, None, Format::Octets) => {
                let what = "does not say where it lies in the bytes";
                Err((line, Wrong::new(what).hint("write `byte = 0` and `type = \"u16\"`")))
            }
            (None, None, None, _) => Ok(Pick::Whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use fieldgate_rules::payload::{Field, Format, Method, Pick};

    use super::super::Library;
    use super::super::tests::{Folder, check_profile};

    const HEAD: &str = "[profile]\nname = \"mine\"\nversion = 1\n";

    #[test]
    fn a_resource_is_declared_or_comes_with_the_signal_that_names_it() {
        let text = format!(
            "{HEAD}[[resource]]\npath = \"/sensors?u=c\"\nformat = \"senml-cbor\"\nevery = \"3 s\"\n\
             observe = true\n\
             [[signal]]\nname = \"temp\"\nread = \"/sensors?u=c\"\n\
             [[signal]]\nname = \"rain\"\nread = \"/sensors?u=c\"\nsenml = \"r\"\nfield = \"sum\"\n\
             [[signal]]\nname = \"led\"\nread = \"/led\"\nkind = \"bool\"\nwrite = {{ method = \"POST\" }}\n\
             [[signal]]\nname = \"p\"\nread = \"/all\"\npointer = \"/a/0\"\n\
             [[signal]]\nname = \"w\"\nread = \"/raw\"\nbyte = 2\ntype = \"u8\"\n"
        );
        let folder = Folder::new();
        let profile = Library::read(&folder.write("mine.toml", &text)).expect("well formed");
        let found: Vec<_> = profile
            .resources
            .iter()
            .map(|its| (its.path.as_str(), its.format, its.observe, its.every.map(|every| every.0)))
            .collect();
        assert_eq!(
            found,
            [
                ("/sensors?u=c", Format::SenmlCbor, true, Some(3_000)),
                ("/led", Format::Text, false, None),
                ("/all", Format::Json, false, None),
                ("/raw", Format::Octets, false, None),
            ]
        );
        let sensors = &profile.resources[0];
        assert_eq!(
            (sensors.segments(), sensors.query()),
            (vec!["sensors".into()], vec!["u=c".into()])
        );
        assert_eq!(sensors.method, Method::Get);
        let record = |name: &str, field| Pick::Record { name: name.to_owned(), field };
        assert_eq!(sensors.picks[0].pick, record("temp", Field::Value));
        assert_eq!(sensors.picks[1].pick, record("r", Field::Sum));
        let places: Vec<_> =
            profile.signals.iter().filter_map(|spec| Some(profile.picked(spec)?.0)).collect();
        assert_eq!(places, [0, 0, 1, 2, 3], "each signal knows its resource");
    }

    #[test]
    fn what_is_wrong_with_a_resource_or_with_a_signal_in_it_is_told_with_its_line() {
        for (rest, expected) in [
            (
                "[[resource]]\npath = \"temp\"\nformat = \"xml\"\nobserve = true\nmethod = \"POST\"\n\
                 [[signal]]\nname = \"a\"\nread = \"/a\"\n",
                &[
                    "5: [[resource]] `path`: `temp` does not begin with `/`",
                    "6: [[resource]] `format`: `xml` is not a format",
                    "7: [[resource]] `observe` is for what is read by GET",
                ][..],
            ),
            (
                "[[signal]]\nname = \"a\"\nread = \"/a//b\"\npointer = \"b\"\n",
                &[
                    "6: [[signal]] `read`: `/a//b` has a segment that is none",
                    "7: [[signal]] `pointer`: the pointer `b` does not begin with `/`",
                ],
            ),
            (
                "[[resource]]\npath = \"/a\"\nformat = \"json\"\n\
                 [[signal]]\nname = \"a\"\nread = \"/a\"\nsenml = \"t\"\n",
                &["10: [[signal]] `senml` is not for a resource in json"],
            ),
            (
                "[[signal]]\nname = \"a\"\nread = \"/a\"\ntype = \"u16\"\n",
                &["6: [[signal]] has a `type`, which is for bytes at an offset"],
            ),
            (
                "[[signal]]\nname = \"a\"\nread = \"/a\"\n[[signal]]\nname = \"b\"\nread = \"hr:0\"\n\
                 type = \"u16\"\n",
                &["1: [profile] has resources, and `b` lies in a register"],
            ),
            (
                "[[signal]]\nname = \"a\"\nread = \"/a\"\nwrite = { fc = \"single\" }\n\
                 [[test]]\npayloads = { \"/b\" = \"1\" }\nexpect = { a = 1 }\n",
                &[
                    "7: [[signal]] `write`: `fc` and `bit_write` are for registers",
                    "9: [[test]] `payloads` `/b`: is no resource of this profile",
                ],
            ),
        ] {
            check_profile(&format!("{HEAD}{rest}"), expected);
        }
    }
}
