//! A profile to start from, of what the resources of a device said once.

use fieldgate_rules::payload::{Format, Key, Node, cbor, json, senml};
use serde::Serialize;

use crate::import::Names;

/// Values of one document that become signals; a profile to start from need not have more.
const LEAVES_MAX: usize = 32;

/// A resource that was asked once.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sampled {
    pub(super) path: String,
    pub(super) title: String,
    pub(super) is_observable: bool,
    pub(super) format: Option<&'static str>,
    /// Its payload, if that is text.
    pub(super) said: Option<String>,
    /// Why there is none.
    pub(super) trouble: Option<String>,
    #[serde(skip)]
    pub(super) payload: Vec<u8>,
}

/// A signal of the draft: its name, its keys, and what it was when the resource was asked.
struct Drafted {
    name: String,
    keys: String,
    was: String,
}

/// The profile's text; empty if no resource said anything that can be a signal.
pub(super) fn draft(resources: &[Sampled]) -> String {
    let mut names = Names::default();
    let mut declared = Vec::new();
    let mut signals = Vec::new();
    for its in resources {
        let format = Format::ALL.into_iter().find(|format| Some(format.as_str()) == its.format);
        let format = format.unwrap_or(Format::Text);
        let drafted = match format {
            Format::Text => Ok(of_text(its, &mut names)),
            Format::Json => {
                json::parse(&its.payload).map(|node| of_document(its, &node, &mut names))
            }
            Format::Cbor => {
                cbor::parse(&its.payload).map(|node| of_document(its, &node, &mut names))
            }
            Format::SenmlJson => Ok(of_pack(senml::from_json(&its.payload), &mut names)),
            Format::SenmlCbor => Ok(of_pack(senml::from_cbor(&its.payload), &mut names)),
            // What its bytes mean stands in the device's manual alone.
            Format::Octets => Ok(Vec::new()),
        };
        let drafted = drafted.unwrap_or_default();
        if drafted.is_empty() {
            continue;
        }
        let observe = if its.is_observable { "observe = true\n" } else { "" };
        declared.push(format!(
            "\n[[resource]]\npath = {}\nformat = \"{format}\"\n{observe}",
            quoted(&its.path)
        ));
        for Drafted { name, keys, was } in drafted {
            let path = quoted(&its.path);
            signals.push(format!(
                "\n[[signal]]\nname = \"{name}\"\nread = {path}\n{keys}# was {was}\n"
            ));
        }
    }
    if signals.is_empty() {
        return String::new();
    }
    format!(
        "[profile]\nname = \"my-device\"\nversion = 1\nevery = \"10 s\"\n{}{}",
        declared.concat(),
        signals.concat()
    )
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn of_text(its: &Sampled, names: &mut Names) -> Vec<Drafted> {
    let Some(said) = its.said.as_deref().map(str::trim).filter(|_| its.trouble.is_none()) else {
        return Vec::new();
    };
    let is_number = said.parse::<f64>().is_ok_and(f64::is_finite);
    let keys = if is_number { "" } else { "kind = \"text\"\n" };
    let was: String = said.chars().filter(|c| !c.is_control()).take(40).collect();
    let name = names.take(its.path.trim_start_matches('/'));
    vec![Drafted { name, keys: keys.to_owned(), was }]
}

fn of_document(its: &Sampled, node: &Node, names: &mut Names) -> Vec<Drafted> {
    let mut leaves = Vec::new();
    find_leaves(node, &mut Vec::new(), &mut leaves);
    let drafted = |(way, kind, was): (Vec<String>, &str, String)| {
        let escaped = way.iter().map(|step| step.replace('~', "~0").replace('/', "~1"));
        let pointer = escaped.fold(String::new(), |pointer, step| pointer + "/" + &step);
        let name = match way.last() {
            Some(_) => names.take(&way.join("_")),
            None => names.take(its.path.trim_start_matches('/')),
        };
        let place = if pointer.is_empty() {
            String::new()
        } else {
            format!("pointer = {}\n", quoted(&pointer))
        };
        let kind = if kind == "float64" { String::new() } else { format!("kind = \"{kind}\"\n") };
        Drafted { name, keys: place + &kind, was }
    };
    leaves.into_iter().map(drafted).collect()
}

/// The values of a document that a signal can be, with their ways.
fn find_leaves(
    node: &Node,
    way: &mut Vec<String>,
    leaves: &mut Vec<(Vec<String>, &'static str, String)>,
) {
    if leaves.len() >= LEAVES_MAX {
        return;
    }
    let mut go = |step: String, inner: &Node, leaves: &mut Vec<_>| {
        way.push(step);
        find_leaves(inner, way, leaves);
        way.pop();
    };
    match node {
        Node::List(items) => {
            for (place, item) in items.iter().enumerate() {
                go(place.to_string(), item, leaves);
            }
        }
        Node::Map(map) => {
            for (key, inner) in map {
                let step = match key {
                    Key::Text(text) => text.clone(),
                    Key::Int(int) => int.to_string(),
                };
                go(step, inner, leaves);
            }
        }
        Node::Int(int) => leaves.push((way.clone(), "float64", int.to_string())),
        Node::Float(float) => leaves.push((way.clone(), "float64", float.to_string())),
        Node::Bool(on) => leaves.push((way.clone(), "bool", on.to_string())),
        Node::Text(text) => {
            let was = text.chars().filter(|c| !c.is_control()).take(40).collect();
            leaves.push((way.clone(), "text", was));
        }
        Node::Null | Node::Bytes(_) => {}
    }
}

fn of_pack(
    records: Result<Vec<senml::Record>, senml::SenmlError>,
    names: &mut Names,
) -> Vec<Drafted> {
    let mut drafted: Vec<Drafted> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for record in records.unwrap_or_default().into_iter().take(LEAVES_MAX) {
        let last = record.name.rsplit([':', '/']).next().unwrap_or_default().to_owned();
        if known.contains(&last) || last.is_empty() {
            continue;
        }
        let (kind, was) = match &record.value {
            Some(Node::Int(int)) => ("", int.to_string()),
            Some(Node::Float(float)) => ("", float.to_string()),
            Some(Node::Bool(on)) => ("kind = \"bool\"\n", on.to_string()),
            Some(Node::Text(text)) => ("kind = \"text\"\n", text.chars().take(40).collect()),
            Some(Node::Null | Node::Bytes(_) | Node::List(_) | Node::Map(_)) | None => continue,
        };
        let name = names.take(&last);
        let record_key =
            if name == last { String::new() } else { format!("senml = {}\n", quoted(&last)) };
        let unit = record.unit.as_deref().map(|unit| format!("unit = {}\n", quoted(unit)));
        let keys = record_key + &unit.unwrap_or_default() + kind;
        drafted.push(Drafted { name, keys, was });
        known.push(last);
    }
    drafted
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Library;

    fn sampled(path: &str, format: &'static str, payload: &[u8]) -> Sampled {
        Sampled {
            path: path.to_owned(),
            title: String::new(),
            is_observable: path == "/count",
            format: Some(format),
            said: str::from_utf8(payload).ok().map(str::to_owned),
            trouble: None,
            payload: payload.to_vec(),
        }
    }

    #[test]
    fn a_draft_is_a_profile_that_can_be_used_as_it_is() {
        let text = draft(&[
            sampled("/temp", "text", b"21.5"),
            sampled("/count", "text", b"7"),
            sampled("/name?lang=en", "text", b"Machine \"Room\""),
            sampled("/sensors", "senml-json", br#"[{"bn":"urn:dev:x:","n":"temp","u":"Cel","v":1},{"n":"open","vb":true},{"n":"temp","v":2}]"#),
            sampled("/all", "json", br#"{"a":{"b/c":1.5},"rows":[{"on":false}],"none":null}"#),
            sampled("/raw", "octets", &[1, 2]),
            sampled("/broken", "json", b"{"),
        ]);
        let profile = Library::parse(Path::new("my-device.toml"), text.clone());
        let profile = profile.unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        let names: Vec<_> = profile.signals.iter().map(|its| its.name.as_str()).collect();
        assert_eq!(
            names,
            ["temp", "count", "name_lang_en", "temp_2", "open", "a_b_c", "rows_0_on"],
            "{text}"
        );
        let observed: Vec<_> = profile
            .resources
            .iter()
            .filter(|its| its.observe)
            .map(|its| its.path.as_str())
            .collect();
        assert_eq!(observed, ["/count"]);
        assert_eq!(profile.resources.len(), 5, "what gave no signal is left out");
        assert_eq!(draft(&[]), "");
    }
}
