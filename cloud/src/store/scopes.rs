//! What a token or a session may do.

use std::fmt;
use std::str::FromStr;

/// A set of scopes. Its text is their words, separated by spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

/// A word is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopesError {
    /// There is no such scope.
    #[error("there is no scope `{0}`")]
    Unknown(String),
    /// A token that may do nothing is a mistake.
    #[error("no scope is given")]
    Empty,
}

impl Scopes {
    /// Every GET.
    pub const READ: Self = Self(1);
    /// Send commands.
    pub const COMMAND: Self = Self(2);
    /// Tokens and gateways of its own tenant.
    pub const ADMIN: Self = Self(4);
    /// Other tenants.
    pub const MANAGEMENT: Self = Self(8);

    const WORDS: [(Self, &'static str); 4] = [
        (Self::READ, "read"),
        (Self::COMMAND, "command"),
        (Self::ADMIN, "admin"),
        (Self::MANAGEMENT, "management"),
    ];

    /// Whether every scope of `wanted` is in it.
    pub const fn contains(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// The scopes of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (scope, word) in Self::WORDS {
            if self.contains(scope) {
                write!(f, "{separator}{word}")?;
                separator = " ";
            }
        }
        Ok(())
    }
}

impl FromStr for Scopes {
    type Err = ScopesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut scopes = Self::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let known = Self::WORDS.iter().find(|(_, known)| *known == word);
            let (scope, _) = known.ok_or_else(|| ScopesError::Unknown(word.to_owned()))?;
            scopes = scopes.union(*scope);
        }
        if scopes == Self::default() { Err(ScopesError::Empty) } else { Ok(scopes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_scopes_is_read_back() {
        for text in ["read", "read command", "read command admin management"] {
            assert_eq!(text.parse::<Scopes>().map(|scopes| scopes.to_string()), Ok(text.into()));
        }
        assert_eq!("read write".parse::<Scopes>(), Err(ScopesError::Unknown("write".into())));
        assert_eq!(" ".parse::<Scopes>(), Err(ScopesError::Empty));
        assert!(!Scopes::READ.contains(Scopes::COMMAND));
    }
}
