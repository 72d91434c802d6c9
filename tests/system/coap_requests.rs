//! CoAP against peers that others wrote: requests of every kind, links, and a network that loses.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use fieldgate_coap::message::Kind;
use fieldgate_coap::option::OptionNumber;
use fieldgate_edge::clock::Clock;
use fieldgate_edge::drivers::coap::{
    CoapRequest, Code, ContentFormat, Link, Method, RequestError, Transmission,
};
use fieldgate_model::Millis;
use fieldgate_tests::harness::{CoapServer, Scratch, free_udp_port};

use crate::coap_kit::{Gateway, PATIENCE, fast, get, send};

const USUAL: fn() -> Transmission = Transmission::default;

/// Every method, as one who waits for an acknowledgement and as one who does not.
async fn each_method(peer: SocketAddr, created: &str, deleted: &[&str]) -> Result<()> {
    for confirmable in [true, false] {
        let mut gateway = Gateway::open(USUAL())?;
        let as_asked = |request| CoapRequest { confirmable, ..request };
        let rows = [
            (send(Method::Put, &[created], b"one"), &[Code::CREATED, Code::CHANGED][..]),
            (get(&[created]), &[Code::CONTENT]),
            (send(Method::Post, &[created], b"two"), &[Code::CREATED, Code::CHANGED]),
            (send(Method::Delete, deleted, b""), &[Code::DELETED]),
        ];
        let count = rows.len();
        for (request, codes) in rows {
            let shown = format!("{} {:?}", request.method, request.path);
            let response = gateway.ask(peer, as_asked(request)).await?;
            ensure!(codes.contains(&response.code), "{shown}, {confirmable}: {response:?}");
        }
        let kind = if confirmable { Kind::Confirmable } else { Kind::NonConfirmable };
        ensure!(gateway.sent(kind) == count, "{:?}", gateway.seen());
        let answers = if confirmable { Kind::Acknowledgement } else { Kind::NonConfirmable };
        ensure!(gateway.received(answers) == count, "{:?}", gateway.seen());
    }
    Ok(())
}

#[tokio::test]
async fn libcoap_serves_each_method_confirmable_and_not() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-methods")?;
    let server = CoapServer::libcoap(scratch.path(), &["-d", "10"])?;
    each_method(server.listen(), "dyn", &["dyn"]).await
}

#[tokio::test]
async fn aiocoap_serves_each_method_confirmable_and_not() -> Result<()> {
    let scratch = Scratch::new("fieldgate-aiocoap-methods")?;
    let server = CoapServer::plugtest(scratch.path())?;
    each_method(server.listen(), "test", &["test"]).await
}

#[tokio::test]
async fn an_answer_that_takes_long_comes_apart_and_nothing_is_repeated_meanwhile() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-separate")?;
    let libcoap = CoapServer::libcoap(scratch.path(), &[])?;
    let aiocoap = CoapServer::plugtest(scratch.path())?;
    let apart = CoapRequest { query: vec!["3".to_owned()], ..get(&["async"]) };
    for (peer, request, payload) in
        [(libcoap.listen(), apart, "done"), (aiocoap.listen(), get(&["separate"]), "apart")]
    {
        let mut gateway = Gateway::open(USUAL())?;
        let found = gateway.expect(peer, request, Code::CONTENT).await?;
        ensure!(found == payload.as_bytes(), "{found:?}");
        // The empty acknowledgement ended repetition; the answer was acknowledged.
        ensure!(gateway.sent(Kind::Confirmable) == 1, "{:?}", gateway.seen());
        ensure!(gateway.sent(Kind::Acknowledgement) == 1, "{:?}", gateway.seen());
        ensure!(gateway.endpoint.counters().retransmissions == 0);
    }
    Ok(())
}

#[tokio::test]
async fn tokens_paths_and_arguments_arrive_as_they_were_meant() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-options")?;
    let server = CoapServer::plugtest(scratch.path())?;
    let mut gateway = Gateway::open(USUAL())?;
    let path = gateway.expect(server.listen(), get(&["a", "b", "c"]), Code::CONTENT).await?;
    ensure!(path == b"a/b/c", "{path:?}");
    let query = ["first=1", "second=2", "third=ä&3"].map(str::to_owned).to_vec();
    let request = CoapRequest { query, ..get(&["query"]) };
    let found = gateway.expect(server.listen(), request, Code::CONTENT).await?;
    ensure!(found == "first=1&second=2&third=ä&3".as_bytes(), "{found:?}");
    let accept = Some(ContentFormat::TEXT);
    let response = gateway.ask(server.listen(), CoapRequest { accept, ..get(&["held"]) }).await?;
    ensure!(response.content_format == Some(ContentFormat::TEXT), "{response:?}");
    ensure!(response.payload == b"21.5" && response.max_age == Millis::from_secs(60));
    let missing = gateway.ask(server.listen(), get(&["no", "such"])).await?;
    ensure!(missing.code == Code::NOT_FOUND, "{missing:?}");
    let tokens: Vec<usize> =
        gateway.seen().iter().map(|(_, message)| message.token.bytes().len()).collect();
    ensure!(tokens.iter().all(|length| *length == 8), "{tokens:?}");
    Ok(())
}

#[tokio::test]
async fn a_network_that_loses_a_third_of_all_costs_repetitions_and_no_answer() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-lossy")?;
    let server = CoapServer::libcoap(scratch.path(), &["-l", "30%"])?;
    let gateway = Gateway::open(fast())?;
    for _ in 0..25 {
        gateway.expect(server.listen(), get(&["time"]), Code::CONTENT).await?;
    }
    let counters = gateway.endpoint.counters();
    ensure!(counters.retransmissions > 0 && counters.answers == 25, "{counters:?}");
    // What is not confirmable is lost, or not; each ends, and the next one is not harmed.
    let mut answered = 0;
    for _ in 0..40 {
        let deadline = Clock.now() + Millis(300);
        let request = CoapRequest { confirmable: false, deadline, ..get(&["time"]) };
        match gateway.endpoint.request(server.listen(), request).await {
            Ok(response) => answered += usize::from(response.code == Code::CONTENT),
            Err(error) => ensure!(error == RequestError::Timeout, "{error}"),
        }
    }
    ensure!(answered > 0 && answered < 40, "{answered} of 40");
    Ok(())
}

#[tokio::test]
async fn a_separate_answer_survives_a_network_that_loses() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-lossy-apart")?;
    let server = CoapServer::libcoap(scratch.path(), &["-l", "30%"])?;
    let gateway = Gateway::open(fast())?;
    let request = CoapRequest { query: vec!["1".to_owned()], ..get(&["async"]) };
    let found = gateway.expect(server.listen(), request, Code::CONTENT).await?;
    ensure!(found == b"done", "{found:?}");
    Ok(())
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_known_at_once() -> Result<()> {
    let gateway = Gateway::open(USUAL())?;
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_udp_port()?));
    let begun = Clock.now();
    let error = gateway.endpoint.request(nobody, get(&["x"])).await.expect_err("nobody there");
    ensure!(error == RequestError::Unreachable, "{error}");
    // Long before the first repetition, even on a loaded machine.
    ensure!(Clock.now().since(begun) < Millis::from_secs(30), "the deadline is a minute away");
    ensure!(gateway.endpoint.counters().unreachable == 1);
    // Another one is not concerned.
    let scratch = Scratch::new("fieldgate-coap-nobody")?;
    let server = CoapServer::libcoap(scratch.path(), &[])?;
    for _ in 0..5 {
        let (lost, found) = tokio::join!(
            gateway.endpoint.request(nobody, get(&["x"])),
            gateway.endpoint.request(server.listen(), get(&["time"])),
        );
        ensure!(lost == Err(RequestError::Unreachable), "{lost:?}");
        ensure!(found.as_ref().is_ok_and(|it| it.code == Code::CONTENT), "{found:?}");
    }
    Ok(())
}

async fn links(gateway: &Gateway, peer: SocketAddr) -> Result<Vec<Link>> {
    let mut discovery = gateway.endpoint.discover(peer, PATIENCE).await?;
    let found = discovery.next().await;
    let found = found.ok_or_else(|| anyhow::anyhow!("nobody answered"))?;
    ensure!(found.peer == peer);
    Ok(found.links?)
}

#[tokio::test]
async fn the_resources_of_both_peers_are_discovered() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-links")?;
    let libcoap = CoapServer::libcoap(scratch.path(), &[])?;
    let aiocoap = CoapServer::plugtest(scratch.path())?;
    let gateway = Gateway::open(USUAL())?;
    let found = links(&gateway, libcoap.listen()).await?;
    let time = found.iter().find(|link| link.target == "/time");
    let is_ticks = |link: &&Link| link.resource_types().any(|kind| kind == "ticks");
    ensure!(time.filter(is_ticks).is_some_and(Link::is_observable), "{found:?}");
    let found = links(&gateway, aiocoap.listen()).await?;
    let observable = found.iter().filter(|link| link.is_observable()).count();
    ensure!(observable == 3 && found.iter().any(|link| link.target == "/a/b/c"), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn resources_can_be_asked_for_by_their_kind() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-filter")?;
    let server = CoapServer::libcoap(scratch.path(), &[])?;
    let mut gateway = Gateway::open(USUAL())?;
    let query = vec!["rt=ticks".to_owned()];
    let request = CoapRequest { query, ..get(&[".well-known", "core"]) };
    let response = gateway.ask(server.listen(), request).await?;
    ensure!(response.content_format == Some(ContentFormat::LINK_FORMAT), "{response:?}");
    let found = fieldgate_coap::link::parse(&response.payload)?;
    ensure!(found.len() == 1 && found[0].target == "/time", "{found:?}");
    let asked = gateway.seen()[0].1.options.first(OptionNumber::URI_QUERY).map(<[u8]>::to_vec);
    ensure!(asked == Some(b"rt=ticks".to_vec()));
    Ok(())
}
