//! The console over HTTP: links, sessions, and what a foreign site cannot do.

mod api_support;

use api_support::{Answer, Server};
use serde_json::json;

fn open(server: &Server) -> String {
    let answer = server.call("GET", "/console/login/link-acme", &[], None);
    assert_eq!((answer.status, answer.location.as_str()), (303, "/console/"), "{answer:?}");
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(answer.cookie.contains(word), "{}", answer.cookie);
    }
    answer.cookie.split(';').next().expect("a cookie").to_owned()
}

fn get(server: &Server, path: &str, cookie: &str) -> Answer {
    server.call("GET", path, &[("cookie", cookie)], None)
}

#[test]
fn a_link_opens_the_console_once() {
    let server = Server::start();
    let cookie = open(&server);
    let again = server.call("GET", "/console/login/link-acme", &[], None);
    assert_eq!((again.status, again.cookie.as_str()), (410, ""));
    let fleet = get(&server, "/console/", &cookie);
    assert_eq!(fleet.status, 200);
    assert!(fleet.body.contains("pump-house-acme") && !fleet.body.contains("g-beta"));
    assert_eq!(get(&server, "/console/", "fieldgate_session=0000").status, 401);
    assert_eq!(get(&server, "/console/", "").status, 401);
    assert_eq!(get(&server, "/v1/gateways", &cookie).status, 200);
}

#[test]
fn a_page_shows_one_tenant_and_holds_nothing_inline() {
    let server = Server::start();
    let cookie = open(&server);
    let page = get(&server, "/console/gateways/g-acme", &cookie);
    assert_eq!(page.status, 200);
    for expected in ["grundfos-cue@2", "setpoint", "Pressure 6.1 bar above 6.0 bar", "no_answer"] {
        assert!(page.body.contains(expected), "{expected} is missing");
    }
    for inline in ["<script>", "<style", " style=", " onclick="] {
        assert!(!page.body.contains(inline), "{inline}");
    }
    assert!(page.body.contains("run, &#34;auto&#34;"), "escaped: {}", page.body);
    let foreign = get(&server, "/console/gateways/g-beta", &cookie);
    let absent = get(&server, "/console/gateways/g-none", &cookie);
    assert_eq!((foreign.status, &foreign), (404, &absent));
    for asset in ["console.css", "gateway.js", "fleet.js", "uplot.js", "uplot.css", "icon.svg"] {
        assert_eq!(get(&server, &format!("/console/assets/{asset}"), "").status, 200, "{asset}");
    }
}

#[test]
fn a_session_commands_only_from_our_own_pages() {
    let server = Server::start();
    let cookie = open(&server);
    let body = json!({"gateway": "g-acme", "device": "pump", "signal": "setpoint", "value": 5});
    for (origin, status) in
        [(server.address.as_str(), 202), ("https://evil.example", 403), ("", 403)]
    {
        let headers =
            [("cookie", cookie.as_str()), ("content-type", "application/json"), ("origin", origin)];
        let answer = server.call("POST", "/v1/commands", &headers, Some(&body.to_string()));
        assert_eq!(answer.status, status, "{origin}: {answer:?}");
    }
}

#[test]
fn a_link_from_another_site_leads_on_from_our_own() {
    let server = Server::start();
    let headers = [("sec-fetch-site", "cross-site")];
    let page = server.call("GET", "/console/gateways/g-acme", &headers, None);
    assert_eq!(page.status, 200);
    assert!(page.body.contains("0;url=/console/gateways/g-acme"), "{}", page.body);
}

/// Serves the seeded database for looking at it in a browser; `FIELDGATE_LOOK` names the file
/// that the address is written to.
#[test]
#[ignore = "serves until its standard input ends"]
fn serves_for_looking() {
    let file = std::env::var("FIELDGATE_LOOK").expect("FIELDGATE_LOOK");
    let server = Server::start();
    std::fs::write(&file, &server.address).expect("a file");
    std::io::stdin().lines().for_each(drop);
}
