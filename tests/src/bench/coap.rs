//! CoAP requests one after the other, each as soon as the one before it is answered: our endpoint and
//! libcoap's own client, both of the same libcoap server.
//!
//! The two take turns, so that neither has the better half of the machine's minute.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::peer::{Loop, RawLoop};
use super::poll::round;
use crate::harness::{CoapServer, Scratch};

/// Turns of each side.
const TURNS: u32 = 5;
/// A resource of libcoap's server: a text of 15 bytes.
const PATH: &str = "time";

pub(super) fn run(length: Duration) -> Result<Value> {
    let scratch = Scratch::new("fieldgate-bench")?;
    let (ours, theirs) = (RawLoop::endpoint()?, RawLoop::libcoap()?);
    // Said little, so that its log costs neither side.
    let server = CoapServer::libcoap(scratch.path(), &["-v", "0"])?;
    let port = server.listen().port().to_string();
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
