//! Profiles: those in the binary, and those in the operator's folder, which come first.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldgate_rules::profile::Profile;

use super::fields::Source;
use super::problem::{Problem, Scope};
use super::profile_file::read_profile;

/// Profiles that the binary carries, by file.
const SHIPPED: [(&str, &str); 11] = [
    ("abb-b23.toml", include_str!("../../profiles/abb-b23.toml")),
    ("danfoss-fc51.toml", include_str!("../../profiles/danfoss-fc51.toml")),
    ("demo-coap-sensor.toml", include_str!("../../profiles/demo-coap-sensor.toml")),
    ("demo-meter.toml", include_str!("../../profiles/demo-meter.toml")),
    ("demo-pump.toml", include_str!("../../profiles/demo-pump.toml")),
    ("eastron-sdm120.toml", include_str!("../../profiles/eastron-sdm120.toml")),
    ("eastron-sdm630.toml", include_str!("../../profiles/eastron-sdm630.toml")),
    ("janitza-umg96rm.toml", include_str!("../../profiles/janitza-umg96rm.toml")),
    ("schneider-iem3155.toml", include_str!("../../profiles/schneider-iem3155.toml")),
    ("waveshare-relay-8.toml", include_str!("../../profiles/waveshare-relay-8.toml")),
    ("xy-md02.toml", include_str!("../../profiles/xy-md02.toml")),
];

/// Parsers that the binary carries, by file.
const SHIPPED_PARSERS: [(&str, &str); 1] =
    [("demo-pump.luau", include_str!("../../profiles/demo-pump.luau"))];

/// Every profile that can be named, with what is wrong with those that cannot be used.
#[derive(Debug, Clone, Default)]
pub struct Library {
    profile_by_name: BTreeMap<String, Result<Arc<Profile>, Vec<Problem>>>,
}

impl Library {
    /// The profiles in the binary.
    pub fn shipped() -> Self {
        let mut library = Self::default();
        let parser = |file: &str| {
            let found = SHIPPED_PARSERS.iter().find(|(name, _)| *name == file);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "is not there".to_owned())
        };
        for (file, text) in SHIPPED {
            let path = Path::new("built-in").join(file);
            library.add(&path, read_profile(&path, text.to_owned(), &parser));
        }
        library
    }

    /// The profiles in the binary, and every `*.toml` in `folder`, if the folder is there: a
    /// profile in the folder stands before one of the same name in the binary.
    pub fn open(folder: &Path) -> Self {
        let mut library = Self::default();
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        for file in files {
            library.add(&file, Self::read(&file));
        }
        for (name, profile) in Self::shipped().profile_by_name {
            library.profile_by_name.entry(name).or_insert(profile);
        }
        library
    }

    /// One profile from its file, with the parser beside it.
    pub fn read(file: &Path) -> Result<Profile, Vec<Problem>> {
        let folder = file.parent().unwrap_or(Path::new("."));
        let parser =
            |name: &str| Source::read_text(&folder.join(name)).map_err(|problem| problem.what);
        match Source::read_text(file) {
            Ok(text) => read_profile(file, text, &parser),
            Err(problem) => Err(vec![Problem { scope: Scope::Profile(stem(file)), ..problem }]),
        }
    }

    /// One profile from its text, as if it stood in `file`.
    pub fn parse(file: &Path, text: String) -> Result<Profile, Vec<Problem>> {
        read_profile(file, text, &|_| Err("is not there".to_owned()))
    }

    /// The profile of this name, or what is wrong with it; `None` if there is none.
    pub fn get(&self, name: &str) -> Option<&Result<Arc<Profile>, Vec<Problem>>> {
        self.profile_by_name.get(name)
    }

    /// Every profile in the order of their names. One that cannot be used stands under the name of
    /// its file.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Result<Arc<Profile>, Vec<Problem>>)> {
        self.profile_by_name.iter()
    }

    fn add(&mut self, file: &Path, profile: Result<Profile, Vec<Problem>>) {
        let name = profile.as_ref().map_or_else(|_| stem(file), |profile| profile.name.clone());
        match self.profile_by_name.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(profile.map(Arc::new));
            }
            Entry::Occupied(mut entry) => {
                let twice = Problem {
                    file: file.to_owned(),
                    line: None,
                    what: format!("there is another profile `{}` in this folder", entry.key()),
                    hint: Some("rename one of them".to_owned()),
                    scope: Scope::Profile(entry.key().clone()),
                };
                let mut problems = entry.get().as_ref().err().cloned().unwrap_or_default();
                problems.extend(profile.err().unwrap_or_default());
                problems.push(twice);
                *entry.get_mut() = Err(problems);
            }
        }
    }
}

/// The file's name without its ending.
pub(super) fn stem(file: &Path) -> String {
    file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}
