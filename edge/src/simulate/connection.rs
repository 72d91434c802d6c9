//! One connection or line: finds requests in what comes, and lets answers go with their faults.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::faults::Wire;
use super::frame::{Frame, Framing, Taken, crc};
use super::pty::Pty;
use super::world::{Answer, Ask};

/// A pause within a frame is shorter, even from a client on a loaded machine; what is unfinished
/// after it is noise.
const QUIET: Duration = Duration::from_millis(20);
/// Between bytes that are sent one by one: long enough to make each a segment of its own.
const SPLIT_PAUSE: Duration = Duration::from_millis(1);
/// What is read at once; the longest frame has 513 bytes.
const READ_MAX: usize = 1_024;

/// The way from one door to the devices behind it.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub(super) bus: usize,
    pub(super) framing: Framing,
    pub(super) asks: mpsc::Sender<Ask>,
}

/// What carries the bytes.
pub(super) enum Medium {
    Stream(TcpStream),
    Line(Pty),
}

/// Serves until the other side has had enough.
pub(super) async fn serve(mut medium: Medium, port: Port) -> io::Result<()> {
    let mut heard = Vec::new();
    loop {
        let is_waiting = !heard.is_empty() && port.framing == Framing::Rtu;
        let is_quiet = if is_waiting {
            match timeout(QUIET, medium.hear(&mut heard)).await {
                Ok(sent) => medium.settle(&sent?).await,
                Err(_) => true,
            }
        } else {
            let sent = medium.hear(&mut heard).await?;
            medium.settle(&sent).await
        };
        loop {
            match port.framing.take(&mut heard, is_quiet) {
                Taken::Frame(request) => {
                    if let Some(answer) = port.ask(&request).await {
                        send(&mut medium, port.framing, &request, answer).await?;
                    }
                }
                Taken::Nothing => break,
                Taken::OutOfStep => return Ok(()),
            }
        }
    }
}

impl Port {
    async fn ask(&self, request: &Frame) -> Option<Answer> {
        let (done, answer) = oneshot::channel();
        let ask = Ask::Modbus {
            bus: self.bus,
            framing: self.framing,
            unit: request.unit,
            pdu: request.pdu.clone(),
            done,
        };
        // Without the devices' owner everything is about to end.
        self.asks.send(ask).await.ok()?;
        answer.await.ok()?
    }
}

impl Medium {
    /// Adds what comes to `heard` and gives what was sent; an error once nothing can come.
    async fn hear(&mut self, heard: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Line(line) => line.hear(heard).await,
            Self::Stream(stream) => {
                let mut sent = Vec::with_capacity(READ_MAX);
                if stream.read_buf(&mut sent).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                heard.extend(&sent);
                Ok(sent)
            }
        }
    }

    /// Lets pass the time that `sent` takes; nothing is quiet then.
    async fn settle(&self, sent: &[u8]) -> bool {
        if let Self::Line(line) = self {
            line.settle(sent).await;
        }
        false
    }

    async fn say(&mut self, bytes: &[u8], is_split: bool) -> io::Result<()> {
        match self {
            Self::Line(line) => line.say(bytes, is_split, SPLIT_PAUSE).await,
            Self::Stream(stream) if is_split => {
                for byte in bytes {
                    stream.write_u8(*byte).await?;
                    sleep(SPLIT_PAUSE).await;
                }
            }
            Self::Stream(stream) => stream.write_all(bytes).await?,
        }
        Ok(())
    }
}

async fn send(
    medium: &mut Medium,
    framing: Framing,
    request: &Frame,
    answer: Answer,
) -> io::Result<()> {
    let Answer { pdu, wire } = answer;
    if let Some(late) = wire.late {
        sleep(Duration::from_millis(late.0)).await;
    }
    let is_split = wire.is_split;
    medium.say(&on_wire(framing, request, pdu, wire), is_split).await
}

/// All bytes that an answer makes.
fn on_wire(framing: Framing, request: &Frame, pdu: Vec<u8>, wire: Wire) -> Vec<u8> {
    let Frame { transaction, unit, .. } = *request;
    let another = transaction ^ 0x5555;
    let mut bytes = wire.noise;
    if wire.is_foreign_first {
        let mut unit = unit;
        unit.0 = unit.0 % 247 + 1;
        let foreign = Frame { transaction: another, unit, pdu: pdu.clone() };
        bytes.extend(framing.encode(&foreign, 0));
    }
    let transaction = if wire.is_of_another { another } else { transaction };
    let body: Vec<u8> = [unit.0].into_iter().chain(pdu.iter().copied()).collect();
    bytes.extend(framing.encode(&Frame { transaction, unit, pdu }, wire.spoil));
    let sum = crc(&body).to_le_bytes();
    bytes.extend(sum.into_iter().chain(std::iter::repeat(0)).take(usize::from(wire.trailing)));
    bytes
}

#[cfg(test)]
mod tests {
    use fieldgate_modbus::register::UnitId;

    use super::*;

    #[test]
    fn faults_stand_around_the_answer_in_their_order() {
        let request = Frame { transaction: 1, unit: UnitId(247), pdu: vec![17] };
        let wire =
            Wire { noise: vec![0xEE], is_foreign_first: true, trailing: 3, ..Wire::default() };
        let bytes = on_wire(Framing::Tcp, &request, vec![17, 0], wire);
        let foreign = [0x55, 0x54, 0, 0, 0, 3, 1, 17, 0];
        let answer = [0, 1, 0, 0, 0, 3, 247, 17, 0];
        let [low, high] = crc(&[247, 17, 0]).to_le_bytes();
        assert_eq!(bytes, [&[0xEE], &foreign[..], &answer, &[low, high, 0]].concat());
        let wire = Wire { is_of_another: true, ..Wire::default() };
        let bytes = on_wire(Framing::Tcp, &request, vec![17, 0], wire);
        assert_eq!(bytes[..2], [0x55, 0x54]);
    }
}
