//! As much of an MQTT 3.1.1 client as a gateway that only sends needs: the load of a benchmark should
//! cost little itself.

use anyhow::{Context, Result, bail, ensure};
use fieldgate_model::GatewayId;
use fieldgate_wire::{DownKind, UpKind, down_filter, parse_down, up_topic};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

/// In seconds; longer than any benchmark is silent.
const KEEP_ALIVE: u16 = 600;

/// The longest packet that a cloud sends us.
const PACKET_MAX: usize = 128 * 1024;

/// A gateway's connection.
pub(super) struct Client<S> {
    stream: BufReader<S>,
    gateway: GatewayId,
    packet_id: u16,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Logs in and subscribes.
    pub(super) async fn connect(stream: S, gateway: GatewayId, secret: &str) -> Result<Self> {
        let mut client =
            Self { stream: BufReader::with_capacity(1024, stream), gateway, packet_id: 0 };
        let id = client.gateway.as_str().to_owned();
        // Clean session, user name and password.
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0xc2];
        body.extend(KEEP_ALIVE.to_be_bytes());
        for part in [&id, &id, secret] {
            put_text(&mut body, part);
        }
        client.send(0x10, &body).await?;
        let (kind, body) = client.packet().await?;
        ensure!(kind == 0x20 && body.get(1) == Some(&0), "not let in: {kind:#x} {body:?}");
        let mut body = vec![0, 1];
        put_text(&mut body, &down_filter(&client.gateway));
        // Downlinks at QoS 0: every answer of the cloud is said again if it is lost.
        body.push(0);
        client.send(0x82, &body).await?;
        let (kind, _) = client.packet().await?;
        ensure!(kind == 0x90, "not subscribed: {kind:#x}");
        Ok(client)
    }

    /// Publishes at `QoS` 1; whoever reads passes the PUBACK by.
    pub(super) async fn publish(&mut self, kind: UpKind, payload: &[u8]) -> Result<()> {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        let mut body = Vec::with_capacity(payload.len() + 64);
        put_text(&mut body, &up_topic(&self.gateway, kind));
        body.extend(self.packet_id.to_be_bytes());
        body.extend(payload);
        self.send(0x32, &body).await
    }

    /// The next message down.
    pub(super) async fn next(&mut self) -> Result<(DownKind, Vec<u8>)> {
        loop {
            let (kind, mut body) = self.packet().await?;
            if kind & 0xf0 != 0x30 {
                continue;
            }
            let length = body.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes));
            let end = 2 + usize::from(length);
            let topic = body.get(2..end).context("a packet is cut")?;
            let (_, kind) = parse_down(std::str::from_utf8(topic)?)?;
            return Ok((kind, body.split_off(end)));
        }
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        let mut packet = vec![kind];
        let mut length = body.len();
        while length >= 0x80 {
            packet.push(length.to_le_bytes()[0] | 0x80);
            length >>= 7;
        }
        packet.push(length.to_le_bytes()[0]);
        packet.extend(body);
        self.stream.get_mut().write_all(&packet).await.context("the cloud does not read")?;
        self.stream.get_mut().flush().await.context("the cloud does not read")
    }

    async fn packet(&mut self) -> Result<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await.context("the cloud has closed")?;
        let mut length = 0_usize;
        for shift in [0, 7, 14, 21] {
            let byte = self.stream.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if length > PACKET_MAX {
            bail!("a packet of {length} bytes");
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok((kind, body))
    }
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    body.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend(text.as_bytes());
}
