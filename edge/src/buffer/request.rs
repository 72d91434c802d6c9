//! What the buffer's thread can be asked.

use fieldgate_model::{CatalogueId, Digest, Gap, IncarnationId, Position, Stream};
use tokio::sync::oneshot;

use super::tail::Intake;

/// What the thread can be asked.
#[derive(Debug)]
pub(super) enum Request {
    Append {
        intake: Intake,
        durable: Option<oneshot::Sender<()>>,
    },
    Tick,
    Load {
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
        reply: oneshot::Sender<Option<(Vec<u8>, Position)>>,
    },
    ChainAt {
        incarnation: IncarnationId,
        stream: Stream,
        at: Position,
        reply: oneshot::Sender<Option<Digest>>,
    },
    Lost {
        incarnation: IncarnationId,
        stream: Stream,
        reply: oneshot::Sender<Gap>,
    },
    Catalogue {
        id: CatalogueId,
        reply: oneshot::Sender<Option<Vec<u8>>>,
    },
    Release {
        incarnation: IncarnationId,
        stream: Stream,
        before: Position,
    },
    Reincarnate {
        incarnation: IncarnationId,
        reply: oneshot::Sender<()>,
    },
    Stop {
        reply: oneshot::Sender<()>,
    },
}
