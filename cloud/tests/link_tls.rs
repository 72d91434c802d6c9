//! The endpoint over TLS, with the client library that gateways use and the authority they pin.

mod link_support;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use fieldgate_cloud::identity::{Identity, crypto_provider, new_secret};
use fieldgate_cloud::link::{Down, LinkEvent, Qos, Refusal, Up};
use fieldgate_model::UtcMillis;
use fieldgate_wire::{DownKind, UpKind, down_filter, down_topic, up_topic};
use link_support::{PATIENCE, World, gateway, limits};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS,
    TlsConfiguration, Transport,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::timeout;

/// An identity in a folder of its own, removed when the test is over.
struct Fixture {
    folder: PathBuf,
    identity: Identity,
}

impl Fixture {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("fieldgate-link-{}", new_secret()));
        let now = UtcMillis(1_790_000_000_000);
        let identity = Identity::open(&folder, &[], now).expect("the folder is writable");
        Self { folder, identity }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).expect("the test's own folder");
    }
}

/// A client of gateway `a` that trusts `ca` alone.
fn client(world: &World, ca: &str, password: &str) -> (AsyncClient, EventLoop) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("PEM")).expect("an authority");
    let config = rustls::ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let port = world.tls.expect("a TLS listener").port();
    let mut options = MqttOptions::new("a", "localhost", port);
    options.set_credentials("a", password);
    // The library's default is 10 KB, below our largest messages.
    options.set_max_packet_size(70_000, 70_000);
    let tls = TlsConfiguration::Rustls(Arc::new(config));
    options.set_transport(Transport::tls_with_config(tls));
    AsyncClient::new(options, 10)
}

/// The next packet for the client.
async fn incoming(event_loop: &mut EventLoop) -> Result<Packet, ConnectionError> {
    let next = async {
        loop {
            if let Event::Incoming(packet) = event_loop.poll().await? {
                return Ok(packet);
            }
        }
    };
    timeout(PATIENCE, next).await.expect("in time")
}

#[tokio::test]
async fn a_gateway_with_the_pinned_authority_publishes_and_hears() {
    let fixture = Fixture::new();
    let tls = fixture.identity.server_config();
    let mut world = World::start_with(limits(), Some(tls)).await;
    let (client, mut event_loop) = client(&world, fixture.identity.ca(), "right");
    let id = gateway("a");
    client.subscribe(down_filter(&id), QoS::AtLeastOnce).await.expect("room");
    let payload = vec![7; 60_000];
    let topic = up_topic(&id, UpKind::Batch);
    client.publish(topic, QoS::AtLeastOnce, false, payload.clone()).await.expect("room");
    let connack = incoming(&mut event_loop).await.expect("a connection");
    assert!(matches!(connack, Packet::ConnAck(connack) if !connack.session_present));
    assert!(matches!(incoming(&mut event_loop).await, Ok(Packet::SubAck(_))));
    assert!(matches!(incoming(&mut event_loop).await, Ok(Packet::PubAck(_))));
    assert_eq!(world.event().await, LinkEvent::Connected(id.clone()));
    let up = Up { gateway: id.clone(), kind: UpKind::Batch, payload: payload.clone() };
    assert_eq!(world.event().await, LinkEvent::Message(up));
    let down = Down {
        gateway: id.clone(),
        kind: DownKind::Command,
        payload: b"go".to_vec(),
        qos: Qos::AtLeastOnce,
    };
    world.handle.down.send(down).await.expect("it runs");
    let Ok(Packet::Publish(command)) = incoming(&mut event_loop).await else {
        panic!("a downlink");
    };
    assert_eq!(command.topic, down_topic(&id, DownKind::Command));
    assert_eq!((command.payload.as_ref(), command.qos), (&b"go"[..], QoS::AtLeastOnce));
    drop((client, event_loop));
    assert_eq!(world.event().await, LinkEvent::Disconnected(id));
}

#[tokio::test]
async fn a_wrong_secret_is_refused_over_tls_too() {
    let fixture = Fixture::new();
    let tls = fixture.identity.server_config();
    let world = World::start_with(limits(), Some(tls)).await;
    let (_client, mut event_loop) = client(&world, fixture.identity.ca(), "wrong");
    let refused = incoming(&mut event_loop).await;
    let code = ConnectReturnCode::BadUserNamePassword;
    assert!(
        matches!(&refused, Err(ConnectionError::ConnectionRefused(found)) if *found == code),
        "{refused:?}"
    );
    world.refused(Refusal::Secret, 1).await;
}

#[tokio::test]
async fn a_gateway_refuses_an_instance_with_another_authority() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let tls = fixture.identity.server_config();
    let world = World::start_with(limits(), Some(tls)).await;
    let (_client, mut event_loop) = client(&world, other.identity.ca(), "right");
    let refused = incoming(&mut event_loop).await;
    assert!(matches!(refused, Err(ConnectionError::Tls(_))), "{refused:?}");
    world.refused(Refusal::Tls, 1).await;
    assert_eq!(world.metrics.connects(), 0);
}

#[tokio::test]
async fn plain_mqtt_on_the_tls_port_is_refused() {
    let fixture = Fixture::new();
    let tls = fixture.identity.server_config();
    let mut world = World::start_with(limits(), Some(tls)).await;
    world.plain = world.tls.expect("a TLS listener");
    let mut peer = world.peer().await;
    peer.send(link_support::CONNECT_A).await;
    world.refused(Refusal::Tls, 1).await;
}
