//! Down: a request to act.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fieldgate_model::{
    Action, Command, CommandId, DeviceName, Owner, SignalName, UtcMillis, Value,
};
use minicbor::{Decode, Encode};

use super::parts::{OwnerDto, ValueDto, id, text};
use super::{read, write};
use crate::CommandMessage;
use crate::error::{DecodeError, Wrong};

#[derive(Encode, Decode)]
#[cbor(map)]
struct CommandMessageDto {
    #[n(0)]
    owner: OwnerDto,
    #[n(1)]
    id: String,
    #[n(2)]
    action: ActionDto,
    #[n(3)]
    not_after: i64,
    #[n(4)]
    retry_safe: bool,
    #[n(5)]
    dry_run: bool,
    #[n(6)]
    by: String,
}

#[derive(Encode, Decode)]
#[cbor(map)]
enum ActionDto {
    #[n(0)]
    Write {
        #[n(0)]
        device: String,
        #[n(1)]
        signal: String,
        #[n(2)]
        value: ValueDto,
        #[n(3)]
        verify: bool,
    },
}

/// The bytes of a command.
pub fn encode_command(message: &CommandMessage) -> Vec<u8> {
    let command = &message.command;
    write(&CommandMessageDto {
        owner: (&message.owner).into(),
        id: command.id.to_string(),
        action: (&command.action).into(),
        not_after: command.not_after.0,
        retry_safe: command.retry_safe,
        dry_run: command.dry_run,
        by: command.by.clone(),
    })
}

/// The command in a message.
pub fn decode_command(bytes: &[u8]) -> Result<CommandMessage, DecodeError> {
    read::<CommandMessageDto, CommandMessage>("command", bytes)
}

impl TryFrom<CommandMessageDto> for CommandMessage {
    type Error = Wrong;

    fn try_from(dto: CommandMessageDto) -> Result<Self, Wrong> {
        Ok(Self {
            owner: Owner::try_from(dto.owner)?,
            command: Command {
                id: id("id", CommandId::new, dto.id)?,
                action: Action::try_from(dto.action)?,
                not_after: UtcMillis(dto.not_after),
                retry_safe: dto.retry_safe,
                dry_run: dto.dry_run,
                by: text("by", dto.by)?,
            },
        })
    }
}

impl From<&Action> for ActionDto {
    fn from(action: &Action) -> Self {
        match action {
            Action::Write { device, signal, value, verify } => Self::Write {
                device: device.to_string(),
                signal: signal.to_string(),
                value: value.into(),
                verify: *verify,
            },
        }
    }
}

impl TryFrom<ActionDto> for Action {
    type Error = Wrong;

    fn try_from(dto: ActionDto) -> Result<Self, Wrong> {
        match dto {
            ActionDto::Write { device, signal, value, verify } => Ok(Self::Write {
                device: id("device", DeviceName::new, device)?,
                signal: id("signal", SignalName::new, signal)?,
                value: Value::try_from(value)?,
                verify,
            }),
        }
    }
}
