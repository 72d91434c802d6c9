//! Devices that others wrote push to the gateway.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fieldgate_coap::message::{Kind, Message};
use fieldgate_edge::drivers::coap::{Code, ContentFormat, Incoming, Method, Transmission};
use fieldgate_tests::harness::{Ended, Scratch, coap_client};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::coap_kit::{Gateway, PATIENCE};

/// A gateway, and what is pushed to it.
struct Pushed {
    gateway: Gateway,
    incoming: mpsc::Receiver<Incoming>,
    folder: PathBuf,
    _scratch: Scratch,
}

impl Pushed {
    fn open(name: &str) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let (sender, incoming) = mpsc::channel(16);
        let gateway = Gateway::open_with(Transmission::default(), Some(sender))?;
        let folder = scratch.path().to_path_buf();
        Ok(Self { gateway, incoming, folder, _scratch: scratch })
    }

    /// Runs libcoap's client beside the gateway.
    fn client(&self, arguments: &[&str], path: &str) -> tokio::task::JoinHandle<Result<Ended>> {
        let url = format!("coap://{}/{path}", self.gateway.endpoint.local());
        let usual = ["-B", "20", "-v", "6"];
        let all = usual.iter().chain(arguments);
        let mut arguments: Vec<String> = all.map(|it| (*it).to_owned()).collect();
        arguments.push(url);
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            coap_client(&folder, &arguments)
        })
    }

    async fn next(&mut self) -> Result<Incoming> {
        let next = timeout(Duration::from_millis(PATIENCE.0), self.incoming.recv()).await;
        next.context("nothing was pushed")?.context("the endpoint is closed")
    }
}

/// Whether the client says that it got this code.
fn said(ended: &Ended, code: &str) -> bool {
    let text = [ended.stdout.as_str(), &ended.stderr].concat();
    text.contains(&format!("c:{code}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn libcoap_posts_and_puts_confirmable_and_not() -> Result<()> {
    let mut pushed = Pushed::open("fieldgate-coap-push")?;
    for (flags, method) in [
        (&["-m", "post"][..], Method::Post),
        (&["-m", "put"], Method::Put),
        (&["-m", "post", "-N"], Method::Post),
        (&["-m", "put", "-N"], Method::Put),
    ] {
        let arguments = [flags, &["-t", "json", "-e", "{\"t\":21.5}"]].concat();
        let client = pushed.client(&arguments, "up/now?site=1");
        let incoming = pushed.next().await?;
        let request = &incoming.request;
        ensure!(request.method == method && request.path == ["up", "now"], "{request:?}");
        ensure!(request.query == ["site=1"] && request.payload == b"{\"t\":21.5}", "{request:?}");
        ensure!(request.content_format == Some(ContentFormat::JSON), "{request:?}");
        ensure!(incoming.peer.ip().is_loopback() && incoming.identity.is_none());
        incoming.reply.send(Code::CHANGED);
        let ended = client.await??;
        ensure!(said(&ended, "2.04"), "{ended:?}");
    }
    let confirmable = pushed.gateway.sent(Kind::Acknowledgement);
    ensure!(confirmable == 2 && pushed.gateway.sent(Kind::NonConfirmable) == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn libcoap_posts_a_file_in_blocks() -> Result<()> {
    let mut pushed = Pushed::open("fieldgate-coap-push-blocks")?;
    let file = pushed.folder.join("long");
    let payload: Vec<u8> = (0..5_000_u32).map(|at| b'a' + (at % 26) as u8).collect();
    fs::write(&file, &payload).context("cannot write a file")?;
    let file = file.display().to_string();
    for size in ["64", "1024"] {
        let client = pushed.client(&["-m", "post", "-b", size, "-f", &file], "up");
        let incoming = pushed.next().await?;
        ensure!(incoming.request.payload == payload, "{} bytes", incoming.request.payload.len());
        incoming.reply.send(Code::CHANGED);
        let ended = client.await??;
        ensure!(said(&ended, "2.04"), "{ended:?}");
    }
    let continued = |(_, message): &&(_, Message)| message.code == Code::CONTINUE;
    let continued = pushed.gateway.seen().iter().filter(continued).count();
    ensure!(continued == 78 + 4, "{continued} blocks before the last");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_takes_long_to_be_durable_is_answered_apart() -> Result<()> {
    let mut pushed = Pushed::open("fieldgate-coap-push-slow")?;
    let client = pushed.client(&["-m", "post", "-e", "a payload of some length"], "up");
    let incoming = pushed.next().await?;
    let acknowledged = |gateway: &mut Gateway| gateway.sent(Kind::Acknowledgement) == 1;
    pushed.gateway.until("an empty acknowledgement", acknowledged).await?;
    incoming.reply.send(Code::CHANGED);
    let ended = client.await??;
    ensure!(said(&ended, "2.04"), "{ended:?}");
    ensure!(pushed.gateway.sent(Kind::Confirmable) == 1, "{:?}", pushed.gateway.seen());
    ensure!(pushed.gateway.endpoint.counters().duplicates == 0, "it had no need to repeat");
    ensure!(pushed.gateway.endpoint.counters().pushes == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_on_a_network_that_loses_pushes_once() -> Result<()> {
    let mut pushed = Pushed::open("fieldgate-coap-push-lossy")?;
    for number in 0..3 {
        let payload = format!("reading {number}");
        // The client loses its first datagram, or the answer.
        let client = pushed.client(&["-l", "1", "-m", "post", "-e", &payload], "up");
        let incoming = pushed.next().await?;
        ensure!(incoming.request.payload == payload.as_bytes());
        incoming.reply.send(Code::CHANGED);
        let ended = client.await??;
        ensure!(said(&ended, "2.04"), "{ended:?}");
    }
    ensure!(pushed.incoming.try_recv().is_err(), "a repetition came through");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_nobody_takes_is_to_be_sent_again() -> Result<()> {
    let mut pushed = Pushed::open("fieldgate-coap-push-refused")?;
    let client = pushed.client(&["-m", "post", "-e", "x"], "up");
    drop(pushed.next().await?);
    let ended = client.await??;
    ensure!(said(&ended, "5.00"), "{ended:?}");
    let client = pushed.client(&["-m", "get"], "up");
    let ended = client.await??;
    ensure!(said(&ended, "4.05"), "{ended:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_token_is_answered_without_one() -> Result<()> {
    let mut pushed = Pushed::open("fieldgate-coap-push-no-token")?;
    let device = UdpSocket::bind("127.0.0.1:0").context("no socket")?;
    device.set_read_timeout(Some(Duration::from_millis(PATIENCE.0))).context("no timeout")?;
    let request = b"\x40\x02\x00\x07\xB2up\xFF21.5";
    device.send_to(request, pushed.gateway.endpoint.local()).context("cannot send")?;
    let incoming = pushed.next().await?;
    ensure!(incoming.request.payload == b"21.5", "{:?}", incoming.request);
    incoming.reply.send(Code::CHANGED);
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = [0; 16];
        device.recv(&mut answer).map(|length| answer[..length].to_vec())
    });
    let answer = answer.await?.context("no answer")?;
    ensure!(answer == b"\x60\x44\x00\x07", "{answer:02x?}");
    Ok(())
}
