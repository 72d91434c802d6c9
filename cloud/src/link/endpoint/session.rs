//! One gateway's MQTT 3.1.1 session without its socket: bytes in, steps and bytes out.
//!
//! The codec below parses and keeps packet ids; what a peer may do is decided here, because the
//! codec delivers packets before CONNECT, packet id 0, wildcards and `QoS` 2 alike.
//!
//! # Invariants
//!
//! - Nothing that comes from the peer can panic: no builder that is fed by it is unwrapped.
//! - A packet's length is checked before memory is taken for it, and before CONNECT has been
//!   accepted it may be [`CONNECT_BYTES_MAX`] only.
//! - No answer follows a refusal but the CONNACK that tells it.

use fieldgate_model::GatewayId;
use fieldgate_wire::{MESSAGE_BYTES_MAX, UpKind, down_topic, parse_up};
use mqtt_protocol_core::mqtt;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Connection, ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait as _, Packet, v3_1_1};
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, MqttError, SubackReturnCode};

use super::subscription::{Filter, Subscriptions};
use crate::link::{Down, DropReason, Qos, Refusal};

/// A login is two ids and a secret, some 220 bytes; the rest is room for later fields.
const CONNECT_BYTES_MAX: u32 = 4 * 1024;

/// Fixed header, topic and packet id around a message: a topic has at most 110 bytes.
const ENVELOPE_BYTES_MAX: usize = 256;

/// `QoS` 1 downlinks that may be unacknowledged: what a slow line holds, and no more memory.
pub(super) const WINDOW_MAX: usize = 32;

/// MQTT 3.1.1 section 3.1.1: packet type 1, flags 0.
const CONNECT_FIRST_BYTE: u8 = 0x10;

/// What the peer has done that somebody else must act on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It asks to be `gateway`; call [`Session::accept`] or [`Session::refuse`] before reading on.
    Login {
        /// Client id and user name.
        gateway: GatewayId,
        /// The password, empty when there is none.
        secret: Vec<u8>,
    },
    /// It has published; call [`Session::acknowledge`] with `packet_id` when it is taken in.
    Message {
        /// By its topic.
        kind: UpKind,
        /// What it says.
        payload: Vec<u8>,
        /// Of a `QoS` 1 publish.
        packet_id: Option<u16>,
    },
    /// It has said DISCONNECT.
    Bye,
}

/// Where a session stands.
enum State {
    /// Waits for CONNECT, of which this much has been seen.
    Fresh(FirstHeader),
    /// Somebody checks the secret.
    Checking,
    /// Logged in.
    Open { gateway: GatewayId, subscriptions: Subscriptions },
    /// Refused, or left.
    Over,
}

/// One connection's MQTT state.
pub(super) struct Session {
    codec: Connection<mqtt::role::Server>,
    state: State,
    keep_alive_secs: u16,
    unacknowledged: usize,
    out: Vec<u8>,
}

impl Session {
    pub(super) fn new() -> Self {
        let packet_max = u32::try_from(MESSAGE_BYTES_MAX + ENVELOPE_BYTES_MAX)
            .expect("a message is far below 4 GiB");
        let options = ConnectionOptions::new().maximum_packet_size_recv(packet_max);
        Self {
            // A fixed version: an undetermined one has unreachable code that a peer can reach.
            codec: Connection::with_options(mqtt::Version::V3_1_1, options),
            state: State::Fresh(FirstHeader::default()),
            keep_alive_secs: 0,
            unacknowledged: 0,
            out: Vec::new(),
        }
    }

    /// Takes at most one packet from the front of `bytes`; says how many bytes it has used.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, Option<Step>), Refusal> {
        if let State::Fresh(header) = &mut self.state {
            header.check(bytes)?;
        }
        let mut cursor = Cursor::new(bytes);
        let events = self.codec.recv(&mut cursor);
        let used = usize::try_from(cursor.position()).unwrap_or(bytes.len());
        let step = match self.apply(events) {
            Ok(Some(packet)) => self.receive(packet),
            Ok(None) => Ok(None),
            Err(refusal) => Err(refusal),
        };
        if step.is_err() {
            self.state = State::Over;
        }
        Ok((used, step?))
    }

    /// Lets the peer in as `gateway`. No session is ever resumed: downlinks come from the database.
    pub(super) fn accept(&mut self, gateway: GatewayId) {
        self.state = State::Open { gateway, subscriptions: Subscriptions::default() };
        self.answer_connect(ConnectReturnCode::Accepted);
    }

    /// Turns the peer away; the answer is in [`Session::out`].
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.state = State::Over;
        self.answer_connect(if refusal == Refusal::Unavailable {
            ConnectReturnCode::ServerUnavailable
        } else {
            ConnectReturnCode::BadUserNameOrPassword
        });
    }

    /// Answers a `QoS` 1 publish with PUBACK.
    pub(super) fn acknowledge(&mut self, packet_id: u16) -> Result<(), Refusal> {
        let puback = v3_1_1::Puback::builder().packet_id(packet_id).build();
        self.send(puback.map_err(|_| Refusal::PacketIdZero)?)
    }

    /// Queues a downlink with the lower of its own and the subscription's `QoS`.
    pub(super) fn push(&mut self, down: Down) -> Result<(), DropReason> {
        let State::Open { gateway, subscriptions } = &self.state else {
            return Err(DropReason::Offline);
        };
        let granted = subscriptions.qos(down.kind).ok_or(DropReason::NotSubscribed)?;
        if down.payload.len() > MESSAGE_BYTES_MAX {
            return Err(DropReason::TooLarge);
        }
        let qos = granted.min(down.qos);
        if qos == Qos::AtLeastOnce && self.unacknowledged >= WINDOW_MAX {
            return Err(DropReason::WindowFull);
        }
        let mut publish = v3_1_1::Publish::builder()
            .topic_name(down_topic(gateway, down.kind))
            .expect("our own topics are MQTT strings")
            .payload(down.payload);
        if qos == Qos::AtLeastOnce {
            let packet_id =
                self.codec.acquire_packet_id().expect("the window is far below 65,535 ids");
            publish = publish.qos(mqtt::packet::Qos::AtLeastOnce).packet_id(packet_id);
            self.unacknowledged += 1;
        }
        let publish = publish.build().expect("topic, id and payload are set");
        self.send(publish).map_err(|_| DropReason::Offline)
    }

    /// What is to be written to the peer; the writer takes off what it has written.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The keep-alive of CONNECT in seconds, 0 for none.
    pub(super) fn keep_alive_secs(&self) -> u16 {
        self.keep_alive_secs
    }

    /// Writes what the codec wants written; gives the packet it has parsed.
    ///
    /// The codec tells some errors without asking to close, so every error closes.
    fn apply(&mut self, events: Vec<Event>) -> Result<Option<Packet>, Refusal> {
        let mut received = None;
        let mut refusal = None;
        for event in events {
            match event {
                Event::NotifyPacketReceived(packet) => received = Some(packet),
                Event::RequestSendPacket { packet, .. } => {
                    self.out.extend(packet.to_continuous_buffer());
                }
                Event::NotifyError(error) => refusal = Some(refusal_of(error)),
                Event::RequestClose => refusal = refusal.or(Some(Refusal::Malformed)),
                // Timers are deadlines of the connection's task; ids are the codec's own affair.
                Event::NotifyPacketIdReleased(_)
                | Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_) => {}
            }
        }
        refusal.map_or(Ok(received), Err)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the codec's enum: 21 packets not for us")]
    fn receive(&mut self, packet: Packet) -> Result<Option<Step>, Refusal> {
        match packet {
            Packet::V3_1_1Connect(connect) => self.receive_connect(&connect).map(Some),
            Packet::V3_1_1Publish(publish) => self.receive_publish(&publish).map(Some),
            Packet::V3_1_1Subscribe(subscribe) => self.receive_subscribe(&subscribe),
            Packet::V3_1_1Unsubscribe(unsubscribe) => self.receive_unsubscribe(&unsubscribe),
            Packet::V3_1_1Puback(_) => {
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
                Ok(None)
            }
            Packet::V3_1_1Pingreq(_) => {
                let pong = v3_1_1::Pingresp::builder().build().map_err(|_| Refusal::Malformed)?;
                self.send(pong).map(|()| None)
            }
            Packet::V3_1_1Disconnect(_) => {
                self.state = State::Over;
                Ok(Some(Step::Bye))
            }
            _ => Err(Refusal::Malformed),
        }
    }

    fn receive_connect(&mut self, connect: &v3_1_1::Connect) -> Result<Step, Refusal> {
        let State::Fresh(_) = self.state else {
            return Err(Refusal::Malformed);
        };
        if connect.will_flag() {
            self.answer_connect(ConnectReturnCode::NotAuthorized);
            return Err(Refusal::Will);
        }
        let gateway = GatewayId::new(connect.client_id())
            .ok()
            .filter(|gateway| connect.user_name() == Some(gateway.as_str()));
        let Some(gateway) = gateway else {
            self.answer_connect(ConnectReturnCode::IdentifierRejected);
            return Err(Refusal::Identity);
        };
        self.keep_alive_secs = connect.keep_alive();
        self.state = State::Checking;
        let secret = connect.password().unwrap_or_default().to_vec();
        Ok(Step::Login { gateway, secret })
    }

    fn receive_publish(&mut self, publish: &v3_1_1::Publish) -> Result<Step, Refusal> {
        let State::Open { gateway, .. } = &self.state else {
            return Err(Refusal::BeforeConnect);
        };
        if publish.qos() == mqtt::packet::Qos::ExactlyOnce {
            return Err(Refusal::Qos2);
        }
        if publish.packet_id() == Some(0) {
            return Err(Refusal::PacketIdZero);
        }
        if publish.retain() {
            return Err(Refusal::Retain);
        }
        let topic = publish.topic_name();
        if topic.contains(['+', '#', '\0']) {
            return Err(Refusal::BadTopic);
        }
        let (sender, kind) = parse_up(topic).map_err(|_| Refusal::ForeignTopic)?;
        if sender != *gateway {
            return Err(Refusal::ForeignTopic);
        }
        // A copy, so that the packet around the payload is freed.
        let payload = publish.payload().as_slice().to_vec();
        if payload.len() > MESSAGE_BYTES_MAX {
            return Err(Refusal::Oversize);
        }
        Ok(Step::Message { kind, payload, packet_id: publish.packet_id() })
    }

    fn receive_subscribe(
        &mut self,
        subscribe: &v3_1_1::Subscribe,
    ) -> Result<Option<Step>, Refusal> {
        let State::Open { gateway, subscriptions } = &mut self.state else {
            return Err(Refusal::BeforeConnect);
        };
        let mut codes = Vec::new();
        for entry in subscribe.entries() {
            let (qos, code) = match entry.sub_opts().qos() {
                mqtt::packet::Qos::AtMostOnce => {
                    (Qos::AtMostOnce, SubackReturnCode::SuccessMaximumQos0)
                }
                mqtt::packet::Qos::AtLeastOnce | mqtt::packet::Qos::ExactlyOnce => {
                    (Qos::AtLeastOnce, SubackReturnCode::SuccessMaximumQos1)
                }
            };
            subscriptions.insert(Filter::parse(entry.topic_filter(), gateway)?, qos);
            codes.push(code);
        }
        let suback = v3_1_1::Suback::builder()
            .packet_id(subscribe.packet_id())
            .return_codes(codes)
            .build()
            .map_err(|_| Refusal::PacketIdZero)?;
        self.send(suback).map(|()| None)
    }

    fn receive_unsubscribe(
        &mut self,
        unsubscribe: &v3_1_1::Unsubscribe,
    ) -> Result<Option<Step>, Refusal> {
        let State::Open { gateway, subscriptions } = &mut self.state else {
            return Err(Refusal::BeforeConnect);
        };
        for entry in unsubscribe.entries() {
            subscriptions.remove(Filter::parse(entry.as_str(), gateway)?);
        }
        let unsuback = v3_1_1::Unsuback::builder()
            .packet_id(unsubscribe.packet_id())
            .build()
            .map_err(|_| Refusal::PacketIdZero)?;
        self.send(unsuback).map(|()| None)
    }

    fn answer_connect(&mut self, code: ConnectReturnCode) {
        let connack = v3_1_1::Connack::builder().session_present(false).return_code(code).build();
        let events = self.codec.send(connack.expect("both fields are set").into());
        // A refusal makes the codec ask to close, which the caller is about to do.
        drop(self.apply(events));
    }

    fn send(&mut self, packet: impl Into<Packet>) -> Result<(), Refusal> {
        let events = self.codec.send(packet.into());
        self.apply(events).map(drop)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the codec's enum: 50 ways to be malformed")]
fn refusal_of(error: MqttError) -> Refusal {
    match error {
        MqttError::PacketTooLarge => Refusal::Oversize,
        MqttError::UnsupportedProtocolVersion => Refusal::Version,
        MqttError::ClientIdentifierNotValid => Refusal::Identity,
        _ => Refusal::Malformed,
    }
}

/// The fixed header of the first packet, as far as it has come: a gate in front of the codec.
#[derive(Default)]
struct FirstHeader {
    seen: u32,
    length: u32,
    complete: bool,
}

impl FirstHeader {
    fn check(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        for byte in bytes {
            if self.seen == 0 && *byte != CONNECT_FIRST_BYTE {
                return Err(Refusal::BeforeConnect);
            }
            // MQTT 3.1.1 section 2.2.3: at most four length bytes, seven bits each, low first.
            if self.complete || self.seen > 4 {
                break;
            }
            if self.seen > 0 {
                self.length |= u32::from(byte & 0x7f) << (7 * (self.seen - 1));
                self.complete = byte & 0x80 == 0;
            }
            self.seen += 1;
        }
        if self.length > CONNECT_BYTES_MAX { Err(Refusal::Oversize) } else { Ok(()) }
    }
}
