//! What a connected gateway that says nothing costs the cloud in memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fieldgate_wire::{DownKind, UpKind};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::cost;
use super::fleet::Sealer;
use super::inside::SECRET;
use super::mqtt::Client;
use super::over_mqtt::cloud;
use super::poll::{as_f64, round};
use crate::harness::{Cloud, Scratch};

/// Gateways that connect before memory is looked at: what the first ones cost is paid once.
const WARM_UP: usize = 50;

pub(super) fn run(gateways: usize, length: Duration) -> Result<Value> {
    Ok(json!({
        "work": { "gateways": gateways, "idle_s": length.as_secs() },
        "kib_per_gateway": {
            "plain": side(gateways, length, false)?,
            "tls": side(gateways, length, true)?,
        },
    }))
}

fn side(gateways: usize, length: Duration, is_tls: bool) -> Result<Value> {
    let scratch = Scratch::new("fieldgate-bench")?;
    let mut cloud = cloud(&scratch, gateways + WARM_UP)?;
    let pid = cloud.process().id();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (before, after) = runtime.block_on(async {
        let warm = connect(&cloud, 0..WARM_UP, is_tls).await?;
        let before = cost::of(pid)?;
        let all = connect(&cloud, WARM_UP..WARM_UP + gateways, is_tls).await?;
        tokio::time::sleep(length).await;
        let after = cost::of(pid)?;
        drop((warm, all));
        Ok::<_, anyhow::Error>((before, after))
    })?;
    cloud.process().must_run()?;
    cloud.stop()?;
    let each = |before: u64, after: u64| {
        round(as_f64(after.saturating_sub(before)) / as_f64(gateways as u64) / 1024.0)
    };
    Ok(json!({
        "resident": each(before.resident, after.resident),
        "anonymous": each(before.anonymous, after.anonymous),
    }))
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Gateways that are welcomed and then say nothing.
async fn connect(
    cloud: &Cloud,
    numbers: std::ops::Range<usize>,
    is_tls: bool,
) -> Result<Vec<Client<Box<dyn Stream>>>> {
    let address = cloud.announced(if is_tls { "mqtts" } else { "mqtt_plain" })?;
    let connector = connector(cloud)?;
    let mut clients = Vec::new();
    for number in numbers {
        let sealer = Sealer::new(number, 1, 1);
        let stream = TcpStream::connect(&address).await?;
        let stream: Box<dyn Stream> = if is_tls {
            let name = ServerName::try_from("localhost")?;
            Box::new(connector.connect(name, stream).await.context("no TLS")?)
        } else {
            Box::new(stream)
        };
        let mut client = Client::connect(stream, sealer.id.clone(), SECRET).await?;
        client.publish(UpKind::Hello, &sealer.hello()).await?;
        let (kind, _) = client.next().await?;
        ensure!(kind == DownKind::Welcome, "{kind:?} for a Hello");
        clients.push(client);
    }
    Ok(clients)
}

/// Trusts the cloud's own authority.
fn connector(cloud: &Cloud) -> Result<TlsConnector> {
    let now = fieldgate_cloud::clock::utc_now();
    let identity = fieldgate_cloud::identity::Identity::open(&cloud.data(), &[], now)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(identity.ca().as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
