//! What is said in a world by those who should not, and what commands and catalogues there are.

use fieldgate_model::{
    Action, BootId, Catalogue, CatalogueDevice, CatalogueId, CatalogueSignal, Command, CommandId,
    Cursor, DeviceName, Digest, Epoch, Hello, IncarnationId, InstanceId, Millis, Outcome, Owner,
    Position, Scale, SignalName, Stream, UtcMillis, Value, ValueKind, Welcome,
};
use fieldgate_wire::{
    Ack, Answer, CatalogueChunk, CommandMessage, DownKind, JournalState, Need, Pause, PauseReason,
    UpKind,
};

use super::World;
use crate::disk::{EdgeDisk, true_utc};
use crate::rng::Rng;

impl World {
    /// Another instance, or the owner in an epoch that is over, tries everything.
    pub(super) fn speak_as_stranger(&mut self) -> bool {
        let Some(owner) = self.edge_disk.fence.owner().cloned() else { return false };
        let stranger = InstanceId::new("b").expect("an id");
        let sender = match self.rng.below(3) {
            0 => Owner { instance: stranger, epoch: owner.epoch },
            1 => Owner { instance: stranger, epoch: Epoch(owner.epoch.0 + 1) },
            _ => Owner { instance: owner.instance, epoch: Epoch(owner.epoch.0 - 1) },
        };
        let line = &self.edge_disk.lines[self.rng.below(self.edge_disk.lines.len())];
        let ((incarnation, stream), stored) = (line.name, line.stored);
        let (kind, body) = match self.rng.below(5) {
            0 => {
                let utc = true_utc(self.clocks.now);
                let cursors = Vec::new();
                let welcome =
                    Welcome { owner: sender, utc, cursors, contested: false, readopted: 0 };
                (DownKind::Welcome, fieldgate_wire::encode_welcome(&welcome))
            }
            1 => {
                let (committed, chain) = (stored, line.chain);
                let cursor = Cursor { incarnation, stream, committed, chain };
                let ack = Ack { owner: sender, cursor, releasable: committed };
                (DownKind::Ack, fieldgate_wire::encode_ack(&ack))
            }
            2 => {
                let retry_after = Millis::from_secs(86_400);
                let pause = Pause { owner: sender, reason: PauseReason::Quota, retry_after };
                (DownKind::Pause, fieldgate_wire::encode_pause(&pause))
            }
            3 => {
                let catalogue = fieldgate_wire::catalogue_id(&self.catalogue);
                let need = Need { owner: sender, catalogue };
                (DownKind::Need, fieldgate_wire::encode_need(&need))
            }
            _ => {
                self.fresh += 1;
                let command = command(self.fresh, self.clocks.cloud_utc(), &mut self.rng);
                let message = CommandMessage { owner: sender, command };
                (DownKind::Command, fieldgate_wire::encode_command(&message))
            }
        };
        self.link.send_down(kind, body);
        true
    }

    /// The owner names lines and catalogues that are none, and asks for silence without end.
    pub(super) fn speak_as_broken_owner(&mut self) -> bool {
        let Some(owner) = self.edge_disk.fence.owner().cloned() else { return false };
        let (kind, body) = match self.rng.below(3) {
            0 => {
                let (incarnation, stream) = (IncarnationId([0xee; 16]), Stream::Samples);
                let committed = Position(1 + self.rng.below(1_000) as u64);
                let cursor = Cursor { incarnation, stream, committed, chain: Digest([0xee; 32]) };
                let ack = Ack { owner, cursor, releasable: committed };
                (DownKind::Ack, fieldgate_wire::encode_ack(&ack))
            }
            1 => {
                let retry_after = Millis(u64::MAX >> 1);
                let pause = Pause { owner, reason: PauseReason::NotReady, retry_after };
                (DownKind::Pause, fieldgate_wire::encode_pause(&pause))
            }
            _ => {
                let need = Need { owner, catalogue: CatalogueId([0xee; 32]) };
                (DownKind::Need, fieldgate_wire::encode_need(&need))
            }
        };
        self.link.send_down(kind, body);
        true
    }

    /// Under the gateway's identity arrives what no sound gateway says; none of it may count.
    pub(super) fn speak_as_broken_gateway(&mut self) {
        let what = self.rng.below(4);
        let (kind, body) = match what {
            0 => {
                let stranger = InstanceId::new("b").expect("an id");
                let hello = Hello {
                    gateway: self.gateway.clone(),
                    boot: BootId([0xee; 16]),
                    owner: Some(Owner { instance: stranger, epoch: Epoch(1_000_000) }),
                    burned: Epoch(1_000_000),
                    heads: Vec::new(),
                    open_commands: 0,
                    generation: 0,
                    software: "broken".to_owned(),
                    at: Millis(0),
                    utc: None,
                    doubt: None,
                };
                (UpKind::Hello, fieldgate_wire::encode_hello(&hello))
            }
            1 => {
                let command = CommandId::new("nobody-asked").expect("an id");
                let state = JournalState::Closed(Outcome::Done { read_back: None });
                let answer = Answer::Command { command, state };
                (UpKind::Answer, fieldgate_wire::encode_answer(&answer))
            }
            2 => {
                let chunk = CatalogueChunk {
                    catalogue: CatalogueId([0xee; 32]),
                    index: 0,
                    count: 1,
                    bytes: vec![0xee; 16],
                };
                (UpKind::Catalogue, fieldgate_wire::encode_catalogue_chunk(&chunk))
            }
            _ => match self.edge_disk.batches.last() {
                Some(sealed) => {
                    let mut batch = (*sealed.batch).clone();
                    // Far beyond any cursor, and of the length that it had.
                    let shift = 1_000_000;
                    batch.first = Position(batch.first.0 + shift);
                    batch.next = Position(batch.next.0 + shift);
                    (UpKind::Batch, fieldgate_wire::encode_batch(&batch))
                }
                None => (UpKind::Batch, vec![0xa0]),
            },
        };
        self.without_effect_on_cloud(&format!("word {what} of a broken gateway"), |world| {
            world.on_cloud(|cloud, base| cloud.deliver(kind, body, base));
        });
    }
}

/// Whether a message comes from nobody whom the gateway obeys, or may obey.
pub(super) fn is_stale(kind: DownKind, body: &[u8], disk: &EdgeDisk) -> bool {
    let sender = match kind {
        DownKind::Welcome => fieldgate_wire::decode_welcome(body).map(|welcome| welcome.owner),
        DownKind::Ack => fieldgate_wire::decode_ack(body).map(|ack| ack.owner),
        DownKind::Need => fieldgate_wire::decode_need(body).map(|need| need.owner),
        DownKind::Pause => fieldgate_wire::decode_pause(body).map(|pause| pause.owner),
        DownKind::Command => fieldgate_wire::decode_command(body).map(|message| message.owner),
        DownKind::Watch => fieldgate_wire::decode_watch(body).map(|watch| watch.owner),
        DownKind::Refuse => fieldgate_wire::decode_refuse(body).map(|refuse| refuse.owner),
    };
    let sender = sender.expect("what is under way was encoded here");
    match disk.fence.owner() {
        Some(owner) if kind == DownKind::Welcome && owner.instance == sender.instance => {
            sender.epoch < owner.epoch
        }
        Some(owner) => *owner != sender,
        None => kind != DownKind::Welcome || sender.epoch <= disk.fence.burned(),
    }
}

/// A message to the cloud, in the words of a story.
pub(super) fn describe_up(kind: UpKind, body: &[u8]) -> String {
    match kind {
        UpKind::Batch => match fieldgate_wire::decode_envelope(body) {
            Ok(batch) => {
                let what = if batch.is_gap { "gap" } else { "batch" };
                let range = batch.first.0..batch.next.0;
                format!("{what} {:?} {range:?} of {}", batch.stream, short(&batch.incarnation.0))
            }
            Err(error) => format!("batch that is none: {error}"),
        },
        UpKind::Hello => match fieldgate_wire::decode_hello(body) {
            Ok(hello) => {
                let owner = hello.owner.map(|owner| (owner.instance.to_string(), owner.epoch.0));
                format!("hello of boot {}, owner {owner:?}", short(&hello.boot.0))
            }
            Err(error) => format!("hello that is none: {error}"),
        },
        UpKind::Answer => match fieldgate_wire::decode_answer(body) {
            Ok(Answer::Command { command, state }) => format!("answer: {command} {state:?}"),
            Ok(Answer::Stale { what, .. }) => format!("answer: {what:?} was stale"),
            Err(error) => format!("answer that is none: {error}"),
        },
        UpKind::Catalogue | UpKind::Present => format!("{kind:?}"),
    }
}

/// A message to the edge, in the words of a story.
pub(super) fn describe_down(kind: DownKind, body: &[u8]) -> String {
    match kind {
        DownKind::Ack => match fieldgate_wire::decode_ack(body) {
            Ok(Ack { cursor, releasable, .. }) => format!(
                "ack {:?} to {} of {}, releasable to {}",
                cursor.stream,
                cursor.committed.0,
                short(&cursor.incarnation.0),
                releasable.0
            ),
            Err(error) => format!("ack that is none: {error}"),
        },
        DownKind::Welcome => match fieldgate_wire::decode_welcome(body) {
            Ok(welcome) => {
                let contested = if welcome.contested { ", contested" } else { "" };
                format!("welcome in epoch {}{contested}", welcome.owner.epoch.0)
            }
            Err(error) => format!("welcome that is none: {error}"),
        },
        DownKind::Command => match fieldgate_wire::decode_command(body) {
            Ok(message) => {
                format!("command {} until {}", message.command.id, message.command.not_after.0)
            }
            Err(error) => format!("command that is none: {error}"),
        },
        DownKind::Pause => match fieldgate_wire::decode_pause(body) {
            Ok(pause) => format!("pause of {} ms: {}", pause.retry_after.0, pause.reason.as_str()),
            Err(error) => format!("pause that is none: {error}"),
        },
        DownKind::Need | DownKind::Watch | DownKind::Refuse => format!("{kind:?}"),
    }
}

/// Ids of a world are counted in their first eight bytes.
fn short(id: &[u8; 16]) -> u64 {
    let (number, _) = id.split_first_chunk().expect("16 bytes");
    u64::from_be_bytes(*number)
}

/// The `number`th catalogue: three signals whose device's profile has that version.
pub(super) fn catalogue(number: u64) -> Catalogue {
    let signal = |name: &str| CatalogueSignal {
        name: SignalName::new(name).expect("an id"),
        kind: ValueKind::Unsigned,
        unit: String::new(),
        scale: Scale::IDENTITY,
        writable: true,
    };
    Catalogue {
        devices: vec![CatalogueDevice {
            name: DeviceName::new("meter").expect("an id"),
            profile: format!("meter@{number}"),
            signals: ["x", "y", "z"].map(signal).to_vec(),
        }],
    }
}

pub(super) fn command(number: u64, now: UtcMillis, rng: &mut Rng) -> Command {
    let device = ["meter", "pump"][rng.below(2)];
    let life = Millis([500, 5_000, 60_000][rng.below(3)]);
    Command {
        id: CommandId::new(format!("c{number}")).expect("an id"),
        action: Action::Write {
            device: DeviceName::new(device).expect("an id"),
            signal: SignalName::new("x").expect("an id"),
            value: Value::Unsigned(number),
            verify: false,
        },
        not_after: now + life,
        retry_safe: rng.one_in(4),
        dry_run: false,
        by: "operator".to_owned(),
    }
}
