//! Profiles: those in the binary, and those in the operator's folder, which come first.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fieldgate_rules::profile::Profile;

use super::Problem;

/// Every profile that can be named, with what is wrong with those that cannot be used.
#[derive(Debug, Clone, Default)]
pub struct Library {
    profile_by_name: BTreeMap<String, Result<Arc<Profile>, Vec<Problem>>>,
}

impl Library {
    /// The profiles in the binary.
    pub fn shipped() -> Self {
        Self::default()
    }

    /// The profiles in the binary, and those in `folder`, if it is there: a profile in the folder
    /// stands before one of the same name in the binary.
    pub fn open(_folder: &Path) -> Self {
        Self::default()
    }

    /// The profile of this name, or what is wrong with it; `None` if there is none.
    pub fn get(&self, name: &str) -> Option<&Result<Arc<Profile>, Vec<Problem>>> {
        self.profile_by_name.get(name)
    }

    /// Every profile in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Result<Arc<Profile>, Vec<Problem>>)> {
        self.profile_by_name.iter()
    }
}
