//! CoAP requests one after the other, each as soon as the one before it is answered: our endpoint and
//! libcoap's own client, both of the same libcoap server.
//!
//! The two take turns, so that neither has the better half of the machine's minute.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::peer::{Loop, RawLoop};
use super::poll::round;
use crate::harness::{Process, Scratch, coap_client, free_udp_port, until};

/// Turns of each side.
const TURNS: u32 = 5;
/// A resource of libcoap's server: a text of 15 bytes.
const PATH: &str = "time";
/// It binds a port; this is for a loaded machine.
const START_AT_MOST: Duration = Duration::from_secs(20);

pub(super) fn run(length: Duration) -> Result<Value> {
    let scratch = Scratch::new("fieldgate-bench")?;
    let (ours, theirs) = (RawLoop::endpoint()?, RawLoop::libcoap()?);
    let (_server, port) = serve(&scratch)?;
    let turn = length / TURNS;
    let arguments = [port, PATH.to_owned(), turn.as_secs_f64().to_string()];
    let mut sums = [Loop::default(); 2];
    for _ in 0..TURNS {
        for (side, sum) in [&ours, &theirs].into_iter().zip(&mut sums) {
            sum.add(side.run(&arguments, turn, &scratch)?);
        }
    }
    let [ours, theirs] = sums;
    let rate = |sum: Loop| sum.requests / sum.seconds;
    let cost = |sum: Loop| sum.cpu_us / sum.requests.max(1.0);
    let side = |sum: Loop| json!({ "requests_per_s": rate(sum).round(), "cpu_us_per_request": round(cost(sum)) });
    Ok(json!({
        "work": { "server": "coap-server-notls", "request": "GET /time, confirmable", "in_flight": 1, "turns": TURNS },
        "fieldgate_endpoint": side(ours),
        "libcoap_loop": side(theirs),
        "ratio": {
            "rate_over_libcoap": round(rate(ours) / rate(theirs)),
            "cpu_per_request_over_libcoap": round(cost(ours) / cost(theirs)),
        },
    }))
}

/// libcoap's server, and its port.
fn serve(scratch: &Scratch) -> Result<(Process, String)> {
    let port = free_udp_port()?.to_string();
    let arguments = ["-A", "127.0.0.1", "-p", &port, "-v", "0"];
    let program = Path::new("/usr/bin/coap-server-notls");
    let process = Process::start("coap-server", program, arguments, scratch.path())?;
    let url = format!("coap://127.0.0.1:{port}/{PATH}");
    until("libcoap's server", START_AT_MOST, || {
        let ended = coap_client(scratch.path(), &["-B", "1", &url])?;
        Ok((!ended.stdout.trim().is_empty()).then_some(()))
    })?;
    Ok((process, port))
}
