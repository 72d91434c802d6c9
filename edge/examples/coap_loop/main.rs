//! Our CoAP endpoint: one confirmable GET after the other, each as soon as the one before it is
//! answered, and nothing else. `tests/bench coap` runs it beside libcoap's client, whose arguments it
//! takes and whose words it prints.
//!
//! ```text
//! coap_loop PORT PATH SECONDS
//! ```

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fieldgate_edge::clock::Clock;
use fieldgate_edge::drivers::coap::{CoapRequest, Endpoint, EndpointOptions};
use fieldgate_model::Millis;
use rustix::time::{ClockId, clock_gettime};

/// An answer on loopback takes microseconds; a server that is gone ends the loop.
const ANSWER_AT_MOST: Millis = Millis::from_secs(5);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, path, seconds] = arguments.as_slice() else {
        bail!("usage: coap_loop PORT PATH SECONDS");
    };
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().context("not a port")?));
    let seconds = seconds.parse().context("not a number of seconds")?;
    let length = Duration::try_from_secs_f64(seconds).context("not a time")?;
    // One thread and a task on it, as in the daemon.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asking = ask(server, path.clone(), length);
    runtime.block_on(async { tokio::spawn(asking).await.context("the loop broke off")? })
}

async fn ask(server: SocketAddr, path: String, length: Duration) -> Result<()> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = Endpoint::open(EndpointOptions::new("loop", any), None)?;
    let (mut requests, mut failed) = (0_u64, 0_u64);
    let (started, cpu) = (Instant::now(), cpu_us());
    while started.elapsed() < length {
        let request = CoapRequest::get([path.as_str()], Clock.now() + ANSWER_AT_MOST);
        let answer = endpoint.request(server, request).await;
        requests += 1;
        failed += u64::from(!answer.is_ok_and(|answer| answer.code.is_success()));
    }
    let (seconds, cpu_us) = (started.elapsed().as_secs_f64(), cpu_us() - cpu);
    let figures = serde_json::json!({
        "requests": requests, "failed": failed, "seconds": seconds, "cpu_us": cpu_us,
    });
    writeln!(std::io::stdout(), "{figures}").context("nobody reads the figures")
}

/// What all threads of this process have used of a processor.
fn cpu_us() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}
