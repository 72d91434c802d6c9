//! Observation of resources of peers that others wrote.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fieldgate_coap::message::Kind;
use fieldgate_coap::option::OptionNumber;
use fieldgate_edge::drivers::Direction;
use fieldgate_edge::drivers::coap::{Code, Loss, Notification, Observation, Transmission};
use fieldgate_model::Millis;
use fieldgate_tests::harness::{CoapServer, Scratch, until};
use tokio::time::timeout;

use crate::coap_kit::{Gateway, PATIENCE, fast, get};

/// The next thing that an observation brings.
async fn next(observation: &mut Observation) -> Result<Notification> {
    let next = timeout(Duration::from_millis(PATIENCE.0), observation.next()).await;
    next.context("nothing came")?.context("the observation is over")
}

async fn fresh(observation: &mut Observation) -> Result<Vec<u8>> {
    match next(observation).await? {
        Notification::Fresh(response) => Ok(response.payload),
        Notification::Lost(loss) => bail!("lost: {loss}"),
    }
}

async fn observe(gateway: &Gateway, peer: SocketAddr, path: &str) -> Result<Observation> {
    Ok(gateway.endpoint.observe(peer, get(&[path]), PATIENCE).await?)
}

fn number(payload: &[u8]) -> Result<u32> {
    Ok(std::str::from_utf8(payload)?.trim().parse()?)
}

#[tokio::test]
async fn each_change_of_a_resource_of_aiocoap_comes_once_and_in_order() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-observe")?;
    let server = CoapServer::plugtest(scratch.path())?;
    let mut gateway = Gateway::open(Transmission::default())?;
    let mut observation = observe(&gateway, server.listen(), "obs").await?;
    let mut before = number(&fresh(&mut observation).await?)?;
    for _ in 0..8 {
        let found = number(&fresh(&mut observation).await?)?;
        ensure!(found > before, "{found} after {before}");
        before = found;
    }
    // Confirmable or not, as it was sent.
    let confirmable = gateway.received(Kind::Confirmable);
    ensure!(gateway.sent(Kind::Acknowledgement) >= confirmable.saturating_sub(1));
    Ok(())
}

#[tokio::test]
async fn libcoap_notifies_confirmable_and_not() -> Result<()> {
    for flags in [&[][..], &["-N"]] {
        let scratch = Scratch::new("fieldgate-coap-observe-libcoap")?;
        let server = CoapServer::libcoap(scratch.path(), flags)?;
        let mut gateway = Gateway::open(Transmission::default())?;
        let mut observation = observe(&gateway, server.listen(), "time").await?;
        for _ in 0..4 {
            let found = fresh(&mut observation).await?;
            ensure!(!found.is_empty());
        }
        let confirmable = gateway.received(Kind::Confirmable);
        ensure!(gateway.sent(Kind::Acknowledgement) >= confirmable.saturating_sub(1));
    }
    Ok(())
}

#[tokio::test]
async fn an_observation_that_is_dropped_is_ended_at_the_peer() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-observe-stop")?;
    let mut server = CoapServer::plugtest(scratch.path())?;
    let mut gateway = Gateway::open(Transmission::default())?;
    let mut observation = observe(&gateway, server.listen(), "obs").await?;
    fresh(&mut observation).await?;
    fresh(&mut observation).await?;
    drop(observation);
    gateway
        .until("a word of the end", |gateway| {
            gateway.seen().iter().any(|(direction, message)| {
                *direction == Direction::Sent
                    && message.options.uint(OptionNumber::OBSERVE) == Some(1)
            })
        })
        .await?;
    let ended = |server: &mut CoapServer| server.process().stderr().contains("observers: 0");
    gateway.until("the server to forget us", |_| ended(&mut server)).await?;
    Ok(())
}

#[tokio::test]
async fn a_resource_that_goes_ends_its_observation_with_the_reason() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-observe-gone")?;
    let server = CoapServer::plugtest(scratch.path())?;
    let gateway = Gateway::open(Transmission::default())?;
    let mut observation = observe(&gateway, server.listen(), "obs-once").await?;
    loop {
        match next(&mut observation).await? {
            Notification::Fresh(_) => {}
            Notification::Lost(loss) => {
                ensure!(loss == Loss::Refused(Code::NOT_FOUND), "{loss}");
                break;
            }
        }
    }
    ensure!(observation.next().await.is_none(), "nothing comes behind the end");
    Ok(())
}

#[tokio::test]
async fn a_resource_that_cannot_be_observed_is_read_once_and_said_to_be_so() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-observe-held")?;
    let server = CoapServer::plugtest(scratch.path())?;
    let gateway = Gateway::open(Transmission::default())?;
    let mut observation = observe(&gateway, server.listen(), "held").await?;
    ensure!(fresh(&mut observation).await? == b"21.5");
    ensure!(next(&mut observation).await? == Notification::Lost(Loss::NotObservable));
    Ok(())
}

#[tokio::test]
async fn a_server_that_restarted_and_forgot_us_is_asked_again() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-observe-restart")?;
    let mut server = CoapServer::libcoap(scratch.path(), &[])?;
    let peer = server.listen();
    let mut gateway = Gateway::open(fast())?;
    let mut observation = observe(&gateway, peer, "time").await?;
    fresh(&mut observation).await?;
    server.process().kill()?;
    let _server = CoapServer::libcoap_at(scratch.path(), peer.port(), &[])?;
    // It knows nobody; `/time` holds for a second, and then it is registered anew.
    let registered = |gateway: &mut Gateway| {
        let seen = gateway.seen().iter();
        let asked = seen.filter(|(direction, message)| {
            *direction == Direction::Sent && message.options.uint(OptionNumber::OBSERVE) == Some(0)
        });
        asked.count()
    };
    gateway.until("another registration", |gateway| registered(gateway) >= 2).await?;
    for _ in 0..3 {
        fresh(&mut observation).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_to_whoever_observes() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-observe-dead")?;
    let mut server = CoapServer::libcoap(scratch.path(), &[])?;
    let gateway = Gateway::open(fast())?;
    let patience = Millis::from_secs(5);
    let mut observation =
        gateway.endpoint.observe(server.listen(), get(&["time"]), patience).await?;
    fresh(&mut observation).await?;
    server.process().kill()?;
    loop {
        if let Notification::Lost(loss) = next(&mut observation).await? {
            ensure!(matches!(loss, Loss::Failed(_)), "{loss}");
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_server_whose_observer_is_gone_is_told_so_with_a_reset() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-observe-reset")?;
    let mut server = CoapServer::plugtest(scratch.path())?;
    // Whoever had this port before observed `/obs`, and was killed without a word.
    let before = UdpSocket::bind("127.0.0.1:0").context("no socket")?;
    let request = b"\x44\x01\x00\x01TOKN\x60\x53obs";
    before.send_to(request, server.listen()).context("cannot send")?;
    let what = "the registration";
    until(what, Duration::from_millis(PATIENCE.0), || {
        Ok(server.process().stderr().contains("observers: 1").then_some(()))
    })?;
    let bind = before.local_addr().context("it has an address")?;
    drop(before);
    let mut gateway = Gateway::open_at(bind, Transmission::default(), None)?;
    gateway.until("a reset", |gateway| gateway.sent(Kind::Reset) > 0).await?;
    until("the server to forget us", Duration::from_millis(PATIENCE.0), || {
        Ok(server.process().stderr().contains("observers: 0").then_some(()))
    })
}

#[tokio::test]
async fn a_long_resource_is_observed_whole() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-observe-large")?;
    let server = CoapServer::plugtest(scratch.path())?;
    let gateway = Gateway::open(Transmission::default())?;
    let mut observation = observe(&gateway, server.listen(), "obs-large").await?;
    for _ in 0..3 {
        let found = fresh(&mut observation).await?;
        let mut counts = found.split(|byte| *byte == b' ').filter(|count| !count.is_empty());
        let first = counts.next().context("a count")?;
        // Of one count throughout: never the head of one and the tail of another.
        ensure!(found.len() > 2_000 && counts.all(|count| count == first), "{found:?}");
    }
    Ok(())
}
