//! Two ends of a serial line, made of pseudo-terminals by socat, and a hand-made unit on one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fieldgate_edge::config::{Echo, PortPath, Rs485, SerialEndpoint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_serial::SerialStream;

/// Longer than socat needs to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a unit says, bit by bit.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    Bytes(Vec<u8>),
    Wait(Duration),
}

/// A line with two ends.
pub(crate) struct Cable {
    /// For the gateway.
    pub(crate) near: PathBuf,
    far: PathBuf,
    folder: PathBuf,
    socat: Child,
    tasks: JoinSet<()>,
}

impl Cable {
    pub(crate) async fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fieldgate-cable-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let (near, far) = (folder.join("near"), folder.join("far"));
        let end = |path: &Path| format!("PTY,link={},raw,echo=0", path.display());
        let socat = Command::new("socat")
            .args([end(&near), end(&far)])
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("socat is installed");
        let deadline = Instant::now() + PATIENCE;
        while !(near.exists() && far.exists()) {
            assert!(Instant::now() < deadline, "socat makes its links");
            sleep(Duration::from_millis(5)).await;
        }
        Self { near, far, folder, socat, tasks: JoinSet::new() }
    }

    /// Puts units on the far end: each whole request of 8 bytes is given to `answer`.
    pub(crate) fn serve(&mut self, mut answer: impl FnMut([u8; 8]) -> Vec<Say> + Send + 'static) {
        self.listen(move |heard| {
            let request = <[u8; 8]>::try_from(heard.get(..8)?).ok()?;
            Some((8, answer(request)))
        });
    }

    /// Puts units on the far end: `answer` is given all that was heard, and says how much of it it
    /// has understood.
    pub(crate) fn listen(
        &mut self,
        mut answer: impl FnMut(&[u8]) -> Option<(usize, Vec<Say>)> + Send + 'static,
    ) {
        let builder = tokio_serial::new(self.far.to_string_lossy(), 9_600);
        let mut port = SerialStream::open(&builder).expect("the far end opens");
        self.tasks.spawn(async move {
            let mut heard = Vec::new();
            let mut buffer = [0; 256];
            while let Ok(count @ 1..) = port.read(&mut buffer).await {
                heard.extend_from_slice(&buffer[..count]);
                while let Some((used, says)) = answer(&heard) {
                    heard.drain(..used);
                    for say in says {
                        match say {
                            Say::Bytes(bytes) => port.write_all(&bytes).await.expect("it writes"),
                            Say::Wait(time) => sleep(time).await,
                        }
                    }
                }
            }
        });
    }

    /// The near end as an endpoint.
    pub(crate) fn endpoint(&self) -> SerialEndpoint {
        endpoint(&self.near)
    }

    /// Pulls the plug: both ends are gone.
    pub(crate) async fn unplug(mut self) {
        self.tasks.shutdown().await;
        self.socat.kill().await.expect("it runs");
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // What is left of it is in the way of nobody.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// A port without parity, which a pseudo-terminal has not.
pub(crate) fn endpoint(port: &Path) -> SerialEndpoint {
    SerialEndpoint {
        port: PortPath::new(port).expect("absolute"),
        line: "115200-8N1".parse().expect("a line"),
        rs485: Rs485::Auto,
        echo: Echo::Auto,
    }
}

/// The answer to a read of holding registers: the unit and the start address in the first two.
pub(crate) fn good(request: [u8; 8]) -> Vec<u8> {
    let [unit, function, high, low, _, count, ..] = request;
    let mut body = vec![unit, function, count * 2, 0, unit, high, low];
    body.resize(3 + usize::from(count) * 2, 0);
    sealed(body)
}

/// With its CRC (MODBUS over Serial Line V1.02, appendix B), the low byte first.
pub(crate) fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let mut crc = 0xFFFF_u16;
    for byte in &body {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
        }
    }
    body.extend(crc.to_le_bytes());
    body
}
