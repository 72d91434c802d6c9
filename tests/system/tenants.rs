//! One tenant cannot see, touch or even name what belongs to another.

use anyhow::{Result, ensure};
use fieldgate_tests::harness::{Api, Reply};
use serde_json::{Value, json};

use crate::rig::{PUMP, Rig};

#[test]
fn a_foreign_thing_and_one_that_does_not_exist_are_the_same_to_a_tenant() -> Result<()> {
    let mut rig = Rig::start("isolation")?;
    rig.arrives()?;
    rig.cloud.add_tenant("other")?;
    let token = rig.cloud.add_token("other", "read command", "spy")?;
    let spy = rig.cloud.api(Some(&token));
    let (theirs, nobody) = (rig.gateway.as_str(), "0000000000000000");
    let paths = [
        "/v1/gateways/{}",
        "/v1/gateways/{}/devices",
        "/v1/gateways/{}/signals",
        "/v1/gateways/{}/live",
        "/v1/signals/{}.demo-pump.reads/samples",
    ];
    for path in paths {
        let foreign = spy.get(&path.replace("{}", theirs))?;
        let missing = spy.get(&path.replace("{}", nobody))?;
        same_404(path, &foreign, &missing)?;
    }
    let command = |gateway: &str| json!({"gateway": gateway, "device": PUMP, "signal": "speed_setpoint", "value": 1});
    let foreign = spy.post("/v1/commands", &command(theirs))?;
    let missing = spy.post("/v1/commands", &command(nobody))?;
    same_404("POST /v1/commands", &foreign, &missing)?;
    for list in ["/v1/gateways", "/v1/alarms", "/v1/commands"] {
        let items = spy.json(list)?.get("items").and_then(Value::as_array).map(Vec::len);
        ensure!(items == Some(0), "{list} shows {items:?} of another tenant");
    }
    Ok(())
}

#[test]
fn without_a_good_token_there_is_nothing_to_see() -> Result<()> {
    let rig = Rig::start("tokens")?;
    let good = rig.api.token().unwrap_or_default();
    let cut = good.split_at(good.len() - 1).0;
    for token in [None, Some(""), Some("nonsense"), Some(cut)] {
        let reply = Api::new(&rig.cloud.http(), token).get("/v1/gateways")?;
        problem(&reply, 401)?;
    }
    let reader = rig.cloud.add_token("acme", "read", "reader")?;
    let body = json!({
        "gateway": rig.gateway, "device": PUMP, "signal": "speed_setpoint", "value": 1,
    });
    let reply = rig.cloud.api(Some(&reader)).post("/v1/commands", &body)?;
    problem(&reply, 403)
}

fn same_404(what: &str, foreign: &Reply, missing: &Reply) -> Result<()> {
    problem(foreign, 404)?;
    problem(missing, 404)?;
    let (foreign, missing) = (&foreign.text, &missing.text);
    ensure!(
        foreign == missing,
        "{what} tells a foreign id from a missing one: {foreign} {missing}"
    );
    Ok(())
}

/// An answer of RFC 9457 with this status.
pub(crate) fn problem(reply: &Reply, status: u16) -> Result<()> {
    ensure!(reply.status == status, "answered {}, not {status}: {}", reply.status, reply.text);
    let media = reply.content_type.split(';').next().unwrap_or_default();
    ensure!(media == "application/problem+json", "`{media}`: {}", reply.text);
    let in_body = reply.json()?.get("status").and_then(Value::as_u64);
    ensure!(in_body == Some(u64::from(status)), "{}", reply.text);
    Ok(())
}
