//! One suite for every way between gateway and cloud: the cloud's own endpoint, Mosquitto with its
//! default of forgetting, NATS with JetStream, and RabbitMQ with its MQTT plugin. Nothing of a
//! gateway or a cloud knows which it is.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{
    CloudOptions, Meddler, Mosquitto, Nats, RABBITMQ_LOGIN, RabbitMq, Scratch, free_port, until,
};
use serde_json::{Value, json};

use crate::rig::{PATIENCE, PUMP, Parts, Rig, text};

/// Polls between two faults: a few batches.
const SOME: u64 = 15;

/// A half-open connection is noticed within this time, keep-alive or not.
const HALF_OPEN_AT_MOST: Duration = Duration::from_secs(45);

/// Signals of a device whose catalogue fills a message and a part of another.
const WIDE: usize = 900;

#[test]
fn the_clouds_own_endpoint_conforms() -> Result<()> {
    conforms(Kind::Own)
}

#[test]
fn mosquitto_conforms() -> Result<()> {
    conforms(Kind::Mosquitto)
}

#[test]
fn nats_conforms() -> Result<()> {
    conforms(Kind::Nats)
}

#[test]
fn rabbitmq_conforms() -> Result<()> {
    conforms(Kind::RabbitMq)
}

/// What stands between gateway and cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Own,
    Mosquitto,
    Nats,
    RabbitMq,
}

/// The running thing.
enum Broker {
    Own,
    Mosquitto(Mosquitto),
    Nats(Nats),
    RabbitMq(RabbitMq),
}

/// One link under test, with a relay on the gateway's side of it.
struct World {
    rig: Rig,
    broker: Broker,
    meddler: Meddler,
    commands: u64,
    _scratch: Scratch,
}

fn conforms(kind: Kind) -> Result<()> {
    let mut world = World::start(kind)?;
    let step = |what: &'static str| move || format!("{kind:?}: {what}");
    world.everything_arrives().with_context(step("all streams, and messages of 60 KiB"))?;
    world.doubled_and_turned_round().with_context(step("doubled and turned round"))?;
    world.session_lost().with_context(step("a session lost"))?;
    world.half_open().with_context(step("a half-open connection"))?;
    world.killed().with_context(step("killed and started empty"))?;
    world.settle().with_context(step("the count at the end"))
}

impl World {
    fn start(kind: Kind) -> Result<Self> {
        let scratch = Scratch::new("fieldgate-link")?;
        let port = free_port()?;
        let place = format!("127.0.0.1:{port}");
        let arguments = match kind {
            Kind::Own => ["--mqtt-plain".to_owned(), place.clone()],
            Kind::Mosquitto | Kind::Nats => ["--broker".to_owned(), format!("mqtt://{place}")],
            Kind::RabbitMq => ["--broker".to_owned(), format!("mqtt://{RABBITMQ_LOGIN}@{place}")],
        };
        let meddler = Meddler::start(&place)?;
        let parts = Parts {
            options: CloudOptions { arguments: arguments.to_vec() },
            url: Some(format!("mqtt://{}", meddler.address())),
            profiles: vec![("wide.toml", wide_profile()?)],
            rest: "[[device]]\nname = \"wide\"\nprofile = \"wide\"\nbus = \"bus-1\"\nunit = 1\n\
                   every = \"1 h\"\n"
                .to_owned(),
        };
        let rig = Rig::start_of("link", parts)?;
        let broker = match kind {
            Kind::Own => Broker::Own,
            Kind::Mosquitto => Broker::Mosquitto(Mosquitto::start_on(scratch.path(), port)?),
            Kind::Nats => Broker::Nats(Nats::start(scratch.path(), port)?),
            Kind::RabbitMq => {
                let users = [(rig.gateway.clone(), rig.secret()?)];
                Broker::RabbitMq(RabbitMq::start(scratch.path(), port, &users)?)
            }
        };
        Ok(Self { rig, broker, meddler, commands: 0, _scratch: scratch })
    }

    fn everything_arrives(&mut self) -> Result<()> {
        self.rig.polls(SOME)?;
        self.rig.arrives()?;
        let path = format!("/v1/gateways/{}/signals", self.rig.gateway);
        until("the catalogue of several messages", PATIENCE, || {
            let signals = self.rig.api.json(&path)?;
            let count = signals.get("items").and_then(Value::as_array).map_or(0, Vec::len);
            Ok((count > WIDE).then_some(()))
        })?;
        self.rig.simulator.pin_register(PUMP, "hr:2", 100)?;
        self.alarm("active")?;
        self.rig.simulator.pin_register(PUMP, "hr:2", 325)?;
        self.alarm("normal")?;
        let command = self.command()?;
        for time in ["sent_at", "received_at", "started_at", "closed_at"] {
            let id = text(&command, "id")?;
            until(&format!("`{time}` of {id}"), PATIENCE, || {
                let command = self.rig.api.json(&format!("/v1/commands/{id}"))?;
                Ok(command.get(time).is_some_and(Value::is_string).then_some(()))
            })?;
        }
        Ok(())
    }

    fn doubled_and_turned_round(&mut self) -> Result<()> {
        self.meddler.meddle(true);
        self.rig.polls(2 * SOME)?;
        self.command()?;
        self.rig.arrives()?;
        self.meddler.meddle(false);
        let (doubled, turned) = self.meddler.counts();
        ensure!(doubled > 0 && turned > 0, "doubled {doubled}, turned round {turned}");
        Ok(())
    }

    fn session_lost(&mut self) -> Result<()> {
        self.rig.polls(SOME)?;
        self.meddler.cut();
        self.rig.polls(SOME)?;
        self.rig.arrives()?;
        self.command().map(drop)
    }

    fn half_open(&mut self) -> Result<()> {
        self.meddler.hold();
        until("the silent client to be built anew", HALF_OPEN_AT_MOST, || {
            let uplink = self.rig.uplink()?;
            Ok(uplink.get("rebuilt").and_then(Value::as_u64).filter(|count| *count > 0))
        })?;
        self.rig.arrives()?;
        self.meddler.cut();
        Ok(())
    }

    fn killed(&mut self) -> Result<()> {
        self.rig.polls(SOME)?;
        match &mut self.broker {
            Broker::Own => self.rig.cloud.kill()?,
            Broker::Mosquitto(broker) => broker.kill()?,
            Broker::Nats(broker) => broker.kill()?,
            Broker::RabbitMq(broker) => broker.kill()?,
        }
        self.rig.polls(SOME)?;
        match &mut self.broker {
            Broker::Own => self.rig.cloud.restart()?,
            Broker::Mosquitto(broker) => broker.restart()?,
            Broker::Nats(broker) => broker.restart_empty()?,
            Broker::RabbitMq(broker) => broker.restart_empty()?,
        }
        self.rig.arrives()?;
        self.command().map(drop)
    }

    /// Every command was executed once, and every value is there once.
    fn settle(self) -> Result<()> {
        let writes = self.rig.simulator.counts(PUMP)?.writes;
        ensure!(writes == self.commands, "{} commands, {writes} writes", self.commands);
        let tally = self.rig.settle()?;
        ensure!(tally.unflushed == 0, "nobody killed the edge: {tally:?}");
        Ok(())
    }

    /// A write of the set-point, to its end.
    fn command(&mut self) -> Result<Value> {
        self.commands += 1;
        let value = 1000.0 + 10.0 * f64::from(u32::try_from(self.commands)?);
        let command = self.rig.command(value, &json!({"verify": true, "ttl": "10m"}))?;
        let command = self.rig.closed(&command)?;
        ensure!(text(&command, "state")? == "done", "{command}");
        Ok(command)
    }

    fn alarm(&self, state: &str) -> Result<()> {
        until(&format!("an alarm that is {state}"), PATIENCE, || {
            let page = self.rig.api.json("/v1/alarms")?;
            let alarms = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let is_it = |alarm: &Value| alarm.get("state") == Some(&json!(state));
            Ok(alarms.first().filter(|alarm| is_it(alarm)).map(drop))
        })
    }
}

/// A profile whose names alone fill more than one message.
fn wide_profile() -> Result<String> {
    let mut text = String::from(
        "[profile]\nname = \"wide\"\nversion = 1\ntitle = \"Wide\"\nsource = \"this test\"\n",
    );
    for number in 0..WIDE {
        writeln!(text, "[[signal]]\nname = \"{:x<50}{number:04}\"", "signal_")?;
        writeln!(text, "read = \"hr:0\"\ntype = \"u16\"\nunit = \"1/min\"")?;
    }
    Ok(text)
}
