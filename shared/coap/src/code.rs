//! What a message is: a request by its method, a response by its code, or neither.

use core::fmt;

/// What a request asks for (RFC 7252 section 5.8, RFC 8132).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// The resource as it is.
    Get,
    /// Do something with this.
    Post,
    /// Be this.
    Put,
    /// Be no more.
    Delete,
    /// The part of the resource that this names.
    Fetch,
    /// Change in this way.
    Patch,
    /// Change in this way, as often as it is said.
    IPatch,
}

impl Method {
    /// Every method, in the order of their codes.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::Post, Self::Put, Self::Delete, Self::Fetch, Self::Patch, Self::IPatch];

    /// Its code.
    pub const fn code(self) -> Code {
        match self {
            Self::Get => Code(1),
            Self::Post => Code(2),
            Self::Put => Code(3),
            Self::Delete => Code(4),
            Self::Fetch => Code(5),
            Self::Patch => Code(6),
            Self::IPatch => Code(7),
        }
    }

    /// The method of a code.
    pub fn of(code: Code) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.code() == code)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Fetch => "FETCH",
            Self::Patch => "PATCH",
            Self::IPatch => "iPATCH",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The code of a message: three bits of class, five of detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u8);

impl Code {
    /// No code: acknowledgement, reset or ping.
    pub const EMPTY: Self = Self(0);
    /// 2.01
    pub const CREATED: Self = Self::of(2, 1);
    /// 2.02
    pub const DELETED: Self = Self::of(2, 2);
    /// 2.03
    pub const VALID: Self = Self::of(2, 3);
    /// 2.04
    pub const CHANGED: Self = Self::of(2, 4);
    /// 2.05
    pub const CONTENT: Self = Self::of(2, 5);
    /// 2.31
    pub const CONTINUE: Self = Self::of(2, 31);
    /// 4.00
    pub const BAD_REQUEST: Self = Self::of(4, 0);
    /// 4.01
    pub const UNAUTHORIZED: Self = Self::of(4, 1);
    /// 4.02
    pub const BAD_OPTION: Self = Self::of(4, 2);
    /// 4.03
    pub const FORBIDDEN: Self = Self::of(4, 3);
    /// 4.04
    pub const NOT_FOUND: Self = Self::of(4, 4);
    /// 4.05
    pub const METHOD_NOT_ALLOWED: Self = Self::of(4, 5);
    /// 4.06
    pub const NOT_ACCEPTABLE: Self = Self::of(4, 6);
    /// 4.08
    pub const ENTITY_INCOMPLETE: Self = Self::of(4, 8);
    /// 4.13
    pub const ENTITY_TOO_LARGE: Self = Self::of(4, 13);
    /// 4.15
    pub const UNSUPPORTED_FORMAT: Self = Self::of(4, 15);
    /// 4.29
    pub const TOO_MANY_REQUESTS: Self = Self::of(4, 29);
    /// 5.00
    pub const INTERNAL_ERROR: Self = Self::of(5, 0);
    /// 5.03
    pub const UNAVAILABLE: Self = Self::of(5, 3);
    /// 5.05
    pub const NO_PROXY: Self = Self::of(5, 5);

    const fn of(class: u8, detail: u8) -> Self {
        Self(class << 5 | detail)
    }

    /// The digit before the point.
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// The digits behind the point.
    pub const fn detail(self) -> u8 {
        self.0 & 0x1F
    }

    /// A method.
    pub const fn is_request(self) -> bool {
        self.class() == 0 && self.0 != 0
    }

    /// An answer, of whatever kind.
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2 | 4 | 5)
    }

    /// An answer that brings what was asked for.
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }

    /// The words of the standard for it; nothing for a code that no standard has given out.
    pub const fn words(self) -> &'static str {
        match self {
            Self::CREATED => "created",
            Self::DELETED => "deleted",
            Self::VALID => "valid",
            Self::CHANGED => "changed",
            Self::CONTENT => "content",
            Self::CONTINUE => "continue",
            Self::BAD_REQUEST => "bad request",
            Self::UNAUTHORIZED => "unauthorized",
            Self::BAD_OPTION => "bad option",
            Self::FORBIDDEN => "forbidden",
            Self::NOT_FOUND => "not found",
            Self::METHOD_NOT_ALLOWED => "method not allowed",
            Self::NOT_ACCEPTABLE => "not acceptable",
            Self::ENTITY_INCOMPLETE => "request entity incomplete",
            Self::ENTITY_TOO_LARGE => "request entity too large",
            Self::UNSUPPORTED_FORMAT => "unsupported content format",
            Self::TOO_MANY_REQUESTS => "too many requests",
            Self::INTERNAL_ERROR => "internal server error",
            Self::UNAVAILABLE => "service unavailable",
            Self::NO_PROXY => "proxying not supported",
            Self(_) => "",
        }
    }
}

impl fmt::Display for Code {
    /// As the standard writes it: `2.05`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_with_two_digits_behind_the_point() {
        for (code, shown) in [
            (Code::CONTENT, "2.05"),
            (Code::CONTINUE, "2.31"),
            (Code::ENTITY_TOO_LARGE, "4.13"),
            (Code(0x40), "2.00"),
            (Code::EMPTY, "0.00"),
        ] {
            assert_eq!(code.to_string(), shown);
        }
        assert_eq!((Code::CONTENT.0, Code::ENTITY_INCOMPLETE.0), (0x45, 0x88));
    }

    #[test]
    fn a_code_is_a_request_a_response_or_neither() {
        for number in 0..=u8::MAX {
            let code = Code(number);
            assert!(!(code.is_request() && code.is_response()), "{code}");
            assert_eq!(Method::of(code).is_some(), (1..=7).contains(&number), "{code}");
        }
        assert!(!Code(0x20).is_response() && !Code(0xE1).is_response());
    }
}
