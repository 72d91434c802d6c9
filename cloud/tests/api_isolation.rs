//! Every route against every wrong caller and every nonsense, generated from the OpenAPI document.

mod api_support;

use api_support::{Answer, Server};
use serde_json::{Value, json};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// One operation of the document.
struct Operation {
    method: String,
    path: String,
    open: bool,
    parameters: Vec<Value>,
    body: Option<Value>,
}

fn operations(server: &Server) -> Vec<Operation> {
    let document = server.get("/v1/openapi.json", "").json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = schema["$ref"].as_str().map(|reference| {
                let name = reference.rsplit('/').next().expect("a name");
                document["components"]["schemas"][name].clone()
            });
            operations.push(Operation {
                method: method.to_ascii_uppercase(),
                path: path.clone(),
                open: operation["security"] == json!([{}]),
                parameters: operation["parameters"].as_array().cloned().unwrap_or_default(),
                body,
            });
        }
    }
    assert!(operations.len() >= 20, "{} operations", operations.len());
    operations
}

/// The path with an id: of the caller's own, of a stranger, or of nobody.
fn path_of(path: &str, whose: &str) -> String {
    let id = if path.contains("/signals/{id}") {
        format!("g-{whose}.pump.pressure")
    } else if path.contains("/commands/") {
        format!("cmd-{whose}")
    } else if path.contains("/tokens/") {
        whose.to_owned()
    } else {
        format!("g-{whose}")
    };
    path.replace("{id}", &id)
}

/// A body that is right, as far as its words go.
fn fine_body(operation: &Operation) -> Option<Value> {
    operation.body.as_ref().map(|schema| {
        let names = schema["properties"].as_object().expect("properties").keys();
        let fine = names.filter_map(|name| {
            let value = match name.as_str() {
                "gateway" => json!("g-acme"),
                "device" => json!("pump"),
                "signal" => json!("setpoint"),
                "value" => json!(5),
                "name" | "id" => json!("something"),
                "scopes" => json!("read"),
                "parent" => json!("management"),
                _ => return None,
            };
            Some((name.clone(), value))
        });
        Value::Object(fine.collect())
    })
}

fn call(server: &Server, operation: &Operation, path: &str, token: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {}", api_support::token_text(token));
    let authorization = if token.is_empty() { "" } else { &bearer };
    let headers = [("authorization", authorization), ("content-type", "application/json")];
    server.call(&operation.method, path, &headers, Some(body))
}

fn assert_problem(answer: &Answer, status: u16, about: &str) {
    assert_eq!(answer.status, status, "{about}: {answer:?}");
    assert_eq!(answer.media, "application/problem+json", "{about}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{about}");
    assert!(problem["code"].is_string() && problem["detail"].is_string(), "{about}");
}

#[test]
fn nobody_sees_anything_without_a_token() {
    let server = Server::start();
    for operation in operations(&server) {
        let path = path_of(&operation.path, "acme");
        let answer = call(&server, &operation, &path, "", "{}");
        let about = format!("{} {path}", operation.method);
        if operation.open {
            assert_eq!(answer.status, 200, "{about}");
        } else {
            assert_problem(&answer, 401, &about);
            assert!(answer.authenticate.starts_with("Bearer"), "{about}");
        }
        if !operation.open {
            let answer = call(&server, &operation, &path, "unknown", "{}");
            assert_problem(&answer, 401, &about);
        }
    }
}

#[test]
fn another_tenants_thing_is_a_thing_that_does_not_exist() {
    let server = Server::start();
    let request = json!({"gateway": "g-beta", "device": "pump", "signal": "setpoint", "value": 5});
    let theirs = server.post("/v1/commands", "beta", &request);
    assert_eq!(theirs.status, 202, "{theirs:?}");
    let theirs = theirs.json()["id"].as_str().expect("an id").to_owned();
    let mut checked = 0;
    for operation in operations(&server).iter().filter(|operation| operation.path.contains("{id}"))
    {
        let foreign = path_of(&operation.path, "beta").replace("cmd-beta", &theirs);
        let absent = path_of(&operation.path, "nobody");
        let mut query = String::new();
        for parameter in operation.parameters.iter().filter(|p| p["in"] == "query") {
            if parameter["required"] == true {
                let value = if parameter["name"] == "to" { 9 } else { 1 };
                query += &format!("&{}={value}", parameter["name"].as_str().expect("a name"));
            }
        }
        let query = query.trim_start_matches('&');
        let foreign = call(&server, operation, &format!("{foreign}?{query}"), "acme", "{}");
        let absent = call(&server, operation, &format!("{absent}?{query}"), "acme", "{}");
        assert_problem(&foreign, 404, &operation.path);
        assert_eq!(foreign, absent, "{} {}", operation.method, operation.path);
        checked += 1;
    }
    assert!(checked >= 9, "{checked} routes with an id");
    let ours = server.post("/v1/commands", "acme", &request);
    let absent = json!({"gateway": "g-x", "device": "pump", "signal": "setpoint", "value": 5});
    assert_eq!(ours, server.post("/v1/commands", "acme", &absent));
    assert_problem(&ours, 404, "a command for a stranger's gateway");
    let list = server.get("/v1/commands?gateway=g-beta", "acme").json();
    assert_eq!(list["items"], json!([]));
}

#[test]
fn nonsense_in_a_parameter_is_named_and_never_breaks_the_service() {
    let server = Server::start();
    let nonsense =
        ["%00", "-1.5", "%F0%9F%92%A5", "1e999", "'%3B--", "%ff", "..%2f", "99999999999999999999"];
    for operation in operations(&server) {
        let body = fine_body(&operation).unwrap_or_default().to_string();
        for parameter in &operation.parameters {
            let name = parameter["name"].as_str().expect("a name");
            for value in nonsense {
                let (path, expected): (String, &[u16]) = match parameter["in"].as_str() {
                    Some("path") => (operation.path.replace("{id}", value), &[400, 404]),
                    // A number may be a time, and has the shape of an id.
                    Some("query") if ["from", "to", "gateway"].contains(&name) => {
                        let path = path_of(&operation.path, "acme");
                        (format!("{path}?{name}={value}"), &[200, 400])
                    }
                    Some("query") => {
                        let path = path_of(&operation.path, "acme");
                        (format!("{path}?{name}={value}"), &[400])
                    }
                    _ => continue,
                };
                let answer = call(&server, &operation, &path, "boss", &body);
                let own = call(&server, &operation, &path, "acme", &body);
                for answer in [answer, own] {
                    let fine = expected.contains(&answer.status)
                        || answer.status == 403
                        || (answer.status == 404 && parameter["in"] == "query");
                    assert!(fine, "{} {path}: {answer:?}", operation.method);
                }
            }
        }
        let path = path_of(&operation.path, "acme");
        let unknown = call(&server, &operation, &format!("{path}?nonsense=1"), "acme", &body);
        assert!(unknown.status < 500, "{path}: {unknown:?}");
    }
}

#[test]
fn nonsense_in_a_body_is_named_and_never_breaks_the_service() {
    let server = Server::start();
    let long = "x".repeat(5000);
    let nonsense = [
        json!(null),
        json!([]),
        json!({"a": 1}),
        json!(""),
        json!("\u{0}"),
        json!(-1),
        json!(1e308),
        json!(true),
        json!(long),
        json!("../.."),
        json!("'; --"),
        json!(0.5),
    ];
    for operation in operations(&server) {
        let Some(fine) = fine_body(&operation) else { continue };
        let path = path_of(&operation.path, "acme");
        let schema = operation.body.as_ref().expect("a body");
        for name in schema["properties"].as_object().expect("properties").keys() {
            for value in &nonsense {
                let mut body = fine.clone();
                body[name] = value.clone();
                let answer = call(&server, &operation, &path, "boss", &body.to_string());
                assert!(answer.status < 500, "{path} {body}: {answer:?}");
                if *value == json!([]) {
                    assert_problem(&answer, 400, &format!("{path} {name}"));
                    let named = answer.json()["errors"][0]["name"].clone();
                    assert_eq!(named, json!(name), "{path}");
                }
            }
        }
        for (body, status) in [("", 400), ("{", 400), ("[]", 400), ("\u{1}", 400)] {
            assert_problem(&call(&server, &operation, &path, "boss", body), status, &path);
        }
        let large = json!({"name": "x".repeat(70_000)}).to_string();
        assert_problem(&call(&server, &operation, &path, "boss", &large), 413, &path);
        let all = call(&server, &operation, &path, "boss", r#"{"a":1,"b":2}"#).json();
        assert!(all["errors"].as_array().is_some_and(|errors| errors.len() >= 3), "{all}");
    }
}

#[test]
fn a_path_or_method_that_nobody_serves_is_a_problem() {
    let server = Server::start();
    assert_problem(&server.get("/v1/nothing", "acme"), 404, "unknown route");
    assert_problem(&server.get("/nothing", ""), 404, "unknown route");
    let headers = [("authorization", "")];
    assert_problem(&server.call("DELETE", "/v1/gateways", &headers, None), 405, "wrong method");
    let text = [("authorization", "Bearer x"), ("content-type", "text/plain")];
    assert_problem(&server.call("POST", "/v1/commands", &text, Some("{}")), 401, "bad token");
}

#[test]
fn a_scope_that_is_missing_forbids() {
    let server = Server::start();
    let body = json!({"gateway": "g-acme", "device": "pump", "signal": "setpoint", "value": 5});
    assert_problem(&server.post("/v1/commands", "acme-reader", &body), 403, "command");
    assert_problem(&server.get("/v1/tokens", "acme-reader"), 403, "tokens");
    assert_problem(&server.get("/v1/tenants", "acme"), 403, "tenants");
    for (token, scopes, tenant, status) in [
        ("acme", "read command", None, 201),
        ("acme", "management", None, 403),
        ("acme", "read", Some("beta"), 403),
        ("acme", "read", Some("acme"), 201),
        ("boss", "read", Some("beta"), 201),
        ("boss", "management", Some("beta"), 403),
    ] {
        let body = json!({"name": "t", "scopes": scopes, "tenant": tenant});
        let answer = server.post("/v1/tokens", token, &body);
        assert_eq!(answer.status, status, "{token} {body}: {answer:?}");
    }
}

#[test]
fn a_revoked_token_opens_nothing() {
    let server = Server::start();
    let body = json!({"name": "t", "scopes": "read"});
    let fresh = server.post("/v1/tokens", "acme", &body).json();
    let bearer = format!("Bearer {}", fresh["token"].as_str().expect("a token"));
    let gateways = || server.call("GET", "/v1/gateways", &[("authorization", &bearer)], None);
    assert_eq!(gateways().status, 200);
    let path = format!("/v1/tokens/{}", fresh["id"].as_str().expect("an id"));
    let admin = format!("Bearer {}", api_support::token_text("acme"));
    assert_eq!(server.call("DELETE", &path, &[("authorization", &admin)], None).status, 204);
    assert_eq!(gateways().status, 401);
}
