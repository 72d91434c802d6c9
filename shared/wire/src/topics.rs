//! The topics, built and read in this one place.
//!
//! `fieldgate/1/{shard}/{gateway}/up/{kind}` and `…/down/{kind}`: the version first, so that another
//! can live beside it; then the shard, so that a node of the cloud can subscribe to its part.

use alloc::format;
use alloc::string::String;

use fieldgate_model::{GatewayId, IdError};
use sha2::{Digest as _, Sha256};

/// Parts that the fleet is split into.
const SHARDS: u8 = 64;

/// What an instance subscribes to on a broker.
pub const UP_FILTER: &str = "fieldgate/1/+/+/up/+";

/// Kinds of messages from a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpKind {
    /// `Hello`.
    Hello,
    /// A batch.
    Batch,
    /// A chunk of a catalogue.
    Catalogue,
    /// An answer.
    Answer,
    /// The present.
    Present,
}

impl UpKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Hello, Self::Batch, Self::Catalogue, Self::Answer, Self::Present];

    /// The last level of its topic.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Batch => "batch",
            Self::Catalogue => "catalogue",
            Self::Answer => "answer",
            Self::Present => "present",
        }
    }
}

/// Kinds of messages to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DownKind {
    /// `Welcome`.
    Welcome,
    /// How far a stream is committed.
    Ack,
    /// A catalogue is lacking.
    Need,
    /// Send nothing for a while.
    Pause,
    /// A request to act.
    Command,
    /// Tell the present.
    Watch,
    /// A batch that will never be taken.
    Refuse,
}

impl DownKind {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 7] = [
        Self::Welcome,
        Self::Ack,
        Self::Need,
        Self::Pause,
        Self::Command,
        Self::Watch,
        Self::Refuse,
    ];

    /// The last level of its topic.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::Ack => "ack",
            Self::Need => "need",
            Self::Pause => "pause",
            Self::Command => "command",
            Self::Watch => "watch",
            Self::Refuse => "refuse",
        }
    }
}

/// Why a topic is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Not six levels that begin with `fieldgate`, or of the other direction.
    #[error("topic is not of the form `fieldgate/1/SHARD/GATEWAY/{direction}/KIND`")]
    Shape {
        /// `up` or `down`.
        direction: &'static str,
    },
    /// Of a version that is not spoken here.
    #[error("topic version is not `1`")]
    Version,
    /// The gateway's level is no id.
    #[error("topic names no gateway")]
    Gateway(#[source] IdError),
    /// There is no such kind in this direction.
    #[error("topic kind is not known")]
    Kind,
    /// The shard is not the gateway's.
    #[error("topic shard is not the gateway's, which is `{0:02}`")]
    Shard(u8),
}

/// The gateway's shard, 0 to 63: the first byte of the SHA-256 of its id, modulo 64.
pub fn shard(gateway: &GatewayId) -> u8 {
    let digest: [u8; 32] = Sha256::digest(gateway.as_str()).into();
    digest[0] % SHARDS
}

/// Where a gateway publishes messages of a kind.
pub fn up_topic(gateway: &GatewayId, kind: UpKind) -> String {
    format!("{}/up/{}", prefix(gateway), kind.as_str())
}

/// Where an instance publishes messages of a kind for a gateway.
pub fn down_topic(gateway: &GatewayId, kind: DownKind) -> String {
    format!("{}/down/{}", prefix(gateway), kind.as_str())
}

/// What a gateway subscribes to.
pub fn down_filter(gateway: &GatewayId) -> String {
    format!("{}/down/+", prefix(gateway))
}

/// Who published in which kind; the shard must be the gateway's.
pub fn parse_up(topic: &str) -> Result<(GatewayId, UpKind), TopicError> {
    let (shard, gateway, kind) = parse(topic, "up")?;
    let kind = UpKind::ALL.into_iter().find(|known| known.as_str() == kind);
    check_shard(gateway, shard, kind)
}

/// Who is spoken to in which kind; the shard must be the gateway's.
pub fn parse_down(topic: &str) -> Result<(GatewayId, DownKind), TopicError> {
    let (shard, gateway, kind) = parse(topic, "down")?;
    let kind = DownKind::ALL.into_iter().find(|known| known.as_str() == kind);
    check_shard(gateway, shard, kind)
}

fn prefix(gateway: &GatewayId) -> String {
    format!("fieldgate/1/{:02}/{gateway}", shard(gateway))
}

/// The levels of shard, gateway and kind.
fn parse<'t>(
    topic: &'t str,
    direction: &'static str,
) -> Result<(&'t str, GatewayId, &'t str), TopicError> {
    let shape = TopicError::Shape { direction };
    let mut levels = topic.split('/');
    let mut level = || levels.next().ok_or(TopicError::Shape { direction });
    if level()? != "fieldgate" {
        return Err(shape);
    }
    if level()? != "1" {
        return Err(TopicError::Version);
    }
    let (shard, gateway) = (level()?, level()?);
    if level()? != direction {
        return Err(shape);
    }
    let kind = level()?;
    if level().is_ok() {
        return Err(shape);
    }
    Ok((shard, GatewayId::new(gateway).map_err(TopicError::Gateway)?, kind))
}

fn check_shard<K>(
    gateway: GatewayId,
    found: &str,
    kind: Option<K>,
) -> Result<(GatewayId, K), TopicError> {
    let kind = kind.ok_or(TopicError::Kind)?;
    let shard = shard(&gateway);
    if found == format!("{shard:02}") { Ok((gateway, kind)) } else { Err(TopicError::Shard(shard)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(id: &str) -> GatewayId {
        GatewayId::new(id).expect("an id")
    }

    #[test]
    fn a_topic_is_read_back_as_it_was_built() {
        let id = gateway("pump-house_3");
        for kind in UpKind::ALL {
            assert_eq!(parse_up(&up_topic(&id, kind)), Ok((id.clone(), kind)));
            assert!(parse_down(&up_topic(&id, kind)).is_err());
        }
        for kind in DownKind::ALL {
            assert_eq!(parse_down(&down_topic(&id, kind)), Ok((id.clone(), kind)));
            assert!(parse_up(&down_topic(&id, kind)).is_err());
        }
    }

    #[test]
    fn a_gateways_shard_never_changes() {
        // `printf %s a | sha256sum` begins with ca, and 0xca % 64 is 10.
        assert_eq!(shard(&gateway("a")), 10);
        assert_eq!(up_topic(&gateway("a"), UpKind::Batch), "fieldgate/1/10/a/up/batch");
        assert_eq!(down_filter(&gateway("a")), "fieldgate/1/10/a/down/+");
    }

    #[test]
    fn a_foreign_topic_is_refused_with_what_is_foreign() {
        let shape = TopicError::Shape { direction: "up" };
        for (topic, error) in [
            ("", shape.clone()),
            ("fieldgate", shape.clone()),
            ("other/1/10/a/up/batch", shape.clone()),
            ("fieldgate/2/10/a/up/batch", TopicError::Version),
            ("fieldgate/1/11/a/up/batch", TopicError::Shard(10)),
            ("fieldgate/1/010/a/up/batch", TopicError::Shard(10)),
            ("fieldgate/1/10//up/batch", TopicError::Gateway(IdError::Length(0))),
            ("fieldgate/1/10/+/up/batch", TopicError::Gateway(IdError::Character('+'))),
            ("fieldgate/1/10/a/down/batch", shape.clone()),
            ("fieldgate/1/10/a/up/ack", TopicError::Kind),
            ("fieldgate/1/10/a/up", shape.clone()),
            ("fieldgate/1/10/a/up/batch/", shape),
        ] {
            assert_eq!(parse_up(topic), Err(error), "{topic}");
        }
    }
}
