//! CoAP over DTLS with pre-shared keys, against libcoap's programs on OpenSSL: right keys, wrong keys,
//! and handshakes that stall.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use fieldgate_edge::clock::Clock;
use fieldgate_edge::drivers::coap::{
    CoapRequest, Code, Endpoint, EndpointOptions, Incoming, Method, Notification, PskDevice,
    PskIdentity, PskKey, RequestError, Security, Transmission,
};
use fieldgate_model::Millis;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;

/// For anything that takes at most seconds on an idle machine.
const PATIENCE: Millis = Millis::from_secs(60);
const KEY: &str = "s3cret-of-the-meter";

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn device(peer: Option<SocketAddr>, identity: &str, key: &str) -> PskDevice {
    PskDevice { peer, identity: PskIdentity::new(identity), key: PskKey::new(key) }
}

fn open(devices: Vec<PskDevice>, incoming: Option<mpsc::Sender<Incoming>>) -> Endpoint {
    let mut options = EndpointOptions::new("field", loopback(0));
    options.security = Security::Psk(devices);
    options.transmission = Transmission { ack_timeout: Millis(500), ..Transmission::default() };
    Endpoint::open(options, incoming).expect("a free port")
}

fn get(path: &str) -> CoapRequest {
    CoapRequest::get([path], Clock.now() + PATIENCE)
}

/// libcoap's server, and where it takes DTLS: one port above the other.
struct Server {
    child: Child,
    secure: SocketAddr,
}

impl Server {
    async fn start() -> Self {
        let probe = UdpSocket::bind(loopback(0)).expect("a free port");
        let port = probe.local_addr().expect("an address").port() & !1;
        drop(probe);
        Self::start_at(port).await
    }

    async fn start_at(port: u16) -> Self {
        let child = Command::new("coap-server-openssl")
            .args(["-A", "127.0.0.1", "-p", &port.to_string(), "-k", KEY, "-h", "fieldgate"])
            .args(["-d", "10", "-v", "7"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("libcoap3-bin is installed");
        let server = Self { child, secure: loopback(port + 1) };
        // Its plain port answers a ping as soon as it serves.
        let plain = loopback(port);
        let is_there = tokio::task::spawn_blocking(move || {
            let socket = UdpSocket::bind(loopback(0)).expect("a free port");
            socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
            (0..150).any(|_| {
                let is_sent = socket.send_to(&[0x40, 0, 0, 1], plain).is_ok();
                is_sent && socket.recv(&mut [0; 16]).is_ok()
            })
        });
        assert!(is_there.await.expect("it does not panic"), "libcoap's server does not answer");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Runs libcoap's client against our server.
fn push(
    to: SocketAddr,
    identity: &str,
    key: &str,
    payload: &str,
) -> tokio::task::JoinHandle<Output> {
    let url = format!("coaps://{to}/up");
    let [identity, key, payload] = [identity, key, payload].map(str::to_owned);
    tokio::task::spawn_blocking(move || {
        Command::new("coap-client-openssl")
            .args(["-B", "10", "-v", "6", "-m", "post", "-u", &identity, "-k", &key])
            .args(["-e", &payload, &url])
            .stdin(Stdio::null())
            .output()
            .expect("libcoap3-bin is installed")
    })
}

fn was_changed(output: &Output) -> bool {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).contains("c:2.04")
}

async fn next(incoming: &mut mpsc::Receiver<Incoming>) -> Incoming {
    let next = timeout(Duration::from_millis(PATIENCE.0), incoming.recv()).await;
    next.expect("a push in time").expect("the endpoint is open")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_the_right_key_is_read_written_and_observed() {
    let server = Server::start().await;
    let endpoint = open(vec![device(Some(server.secure), "gateway", KEY)], None);
    let time = endpoint.request(server.secure, get("time")).await.expect("an answer");
    assert_eq!(time.code, Code::CONTENT);
    let payload: Vec<u8> = (0..3_000_u32).map(|at| b'a' + (at % 26) as u8).collect();
    let put = CoapRequest { method: Method::Put, payload: payload.clone(), ..get("example_data") };
    let stored = endpoint.request(server.secure, put).await.expect("an answer");
    assert!(stored.code.is_success(), "{stored:?}");
    let found = endpoint.request(server.secure, get("example_data")).await.expect("an answer");
    assert_eq!(found.payload, payload);
    let observed = endpoint.observe(server.secure, get("time"), PATIENCE).await;
    let mut observation = observed.expect("room");
    for _ in 0..3 {
        let next = timeout(Duration::from_millis(PATIENCE.0), observation.next()).await;
        let next = next.expect("a notification in time").expect("it is open");
        assert!(matches!(next, Notification::Fresh(_)), "{next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_told_and_the_right_one_works_after_it() {
    let server = Server::start().await;
    let wrong = open(vec![device(Some(server.secure), "gateway", "wrong")], None);
    let error = wrong.request(server.secure, get("time")).await.expect_err("no session");
    assert_eq!(error, RequestError::Security);
    let none = open(vec![], None);
    let error = none.request(server.secure, get("time")).await.expect_err("no key");
    assert_eq!(error, RequestError::Security);
    let right = open(vec![device(Some(server.secure), "gateway", KEY)], None);
    let time = right.request(server.secure, get("time")).await.expect("an answer");
    assert_eq!(time.code, Code::CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_a_handshake_delays_nobody_else() {
    let server = Server::start().await;
    let mute = UdpSocket::bind(loopback(0)).expect("a free port");
    let stalled = mute.local_addr().expect("an address");
    let devices = [stalled, server.secure].map(|peer| device(Some(peer), "gateway", KEY));
    let endpoint = open(devices.to_vec(), None);
    let (other, begun) = (endpoint.clone(), Clock.now());
    let waiting = tokio::spawn(async move { other.request(stalled, get("time")).await });
    for _ in 0..5 {
        let time = endpoint.request(server.secure, get("time")).await.expect("an answer");
        assert_eq!(time.code, Code::CONTENT);
    }
    assert!(!waiting.is_finished(), "the others were answered first");
    let error = waiting.await.expect("it does not panic").expect_err("nobody answers");
    assert!([RequestError::Timeout, RequestError::Security].contains(&error), "{error}");
    assert!(Clock.now().since(begun) < PATIENCE, "and its own end comes in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarted_is_spoken_to_in_a_new_session() {
    let server = Server::start().await;
    let peer = server.secure;
    let endpoint = open(vec![device(Some(peer), "gateway", KEY)], None);
    endpoint.request(peer, get("time")).await.expect("an answer");
    drop(server);
    let _server = Server::start_at(peer.port() - 1).await;
    // It knows nothing of the session; once that shows, there is another one.
    let end = Clock.now() + PATIENCE;
    loop {
        let deadline = Clock.now() + Millis::from_secs(3);
        let request = CoapRequest { deadline, ..get("time") };
        match endpoint.request(peer, request).await {
            Ok(time) => return assert_eq!(time.code, Code::CONTENT),
            Err(error) => assert!(Clock.now() < end, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_wrong_key_is_not_served_and_the_next_one_is() {
    let (sender, mut incoming) = mpsc::channel(4);
    let devices = vec![device(None, "meter", KEY), device(None, "other", "another key")];
    let endpoint = open(devices, Some(sender));
    for (identity, key) in [("meter", "wrong"), ("nobody", KEY), ("other", KEY)] {
        let refused = push(endpoint.local(), identity, key, "forged").await;
        assert!(!was_changed(&refused.expect("it ran")), "{identity} with {key}");
    }
    assert!(incoming.try_recv().is_err());
    for (identity, key) in [("meter", KEY), ("other", "another key")] {
        let client = push(endpoint.local(), identity, key, "21.5");
        let pushed = next(&mut incoming).await;
        assert_eq!(pushed.request.payload, b"21.5");
        assert_eq!(pushed.identity, Some(PskIdentity::new(identity)));
        pushed.reply.send(Code::CHANGED);
        assert!(was_changed(&client.await.expect("it ran")), "{identity} with {key}");
    }
}

/// The first datagram of a handshake, as a client of ours sends it.
async fn hello() -> Vec<u8> {
    let mute = tokio::net::UdpSocket::bind(loopback(0)).await.expect("a free port");
    let peer = mute.local_addr().expect("an address");
    let endpoint = open(vec![device(Some(peer), "meter", KEY)], None);
    let asked = tokio::spawn(async move { endpoint.request(peer, get("time")).await });
    let mut hello = vec![0; 2_048];
    let length = mute.recv(&mut hello).await.expect("a datagram");
    asked.abort();
    hello.truncate(length);
    hello
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_stall_delay_no_device_and_are_forgotten() {
    let (sender, mut incoming) = mpsc::channel(4);
    let endpoint = open(vec![device(None, "meter", KEY)], Some(sender));
    let (hello, to) = (hello().await, endpoint.local());
    // More than are kept, each from an address of its own, and none goes on.
    let sockets: Vec<UdpSocket> =
        (0..200).map(|_| UdpSocket::bind(loopback(0)).expect("a free port")).collect();
    let mut answered = 0;
    for socket in &sockets {
        socket.send_to(&hello, to).expect("it is taken");
    }
    let first = &sockets[0];
    first.set_read_timeout(Some(Duration::from_millis(PATIENCE.0))).expect("a timeout");
    let mut reply = [0; 2_048];
    let length = first.recv(&mut reply).expect("a request for a cookie");
    answered += length;
    assert!(answered <= 3 * hello.len(), "{answered} bytes for {}", hello.len());
    let client = push(to, "meter", KEY, "21.5");
    let pushed = next(&mut incoming).await;
    assert_eq!(pushed.identity, Some(PskIdentity::new("meter")));
    pushed.reply.send(Code::CHANGED);
    assert!(was_changed(&client.await.expect("it ran")));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_handshake_are_answered_with_nothing() {
    let (sender, mut incoming) = mpsc::channel(4);
    let endpoint = open(vec![device(None, "meter", KEY)], Some(sender));
    let socket = UdpSocket::bind(loopback(0)).expect("a free port");
    let plain = b"\x40\x02\x00\x07\xB2up\xFF21.5";
    let records: [&[u8]; 5] = [
        plain,
        b"",
        b"\x16",
        b"\x17\xFE\xFD\x00\x01\x00\x00\x00\x00\x00\x00\x00\x04abcd",
        &[0x16; 60],
    ];
    for record in records {
        socket.send_to(record, endpoint.local()).expect("it is taken");
    }
    // A good device behind them shows that all of them have been looked at.
    let client = push(endpoint.local(), "meter", KEY, "21.5");
    next(&mut incoming).await.reply.send(Code::CHANGED);
    assert!(was_changed(&client.await.expect("it ran")));
    socket.set_nonblocking(true).expect("it can be");
    assert!(socket.recv(&mut [0; 64]).is_err(), "somebody answered");
    assert!(incoming.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_shows_nowhere() {
    let (tap, mut heard) = broadcast::channel(64);
    let mut options = EndpointOptions::new("field", loopback(0));
    options.security = Security::Psk(vec![device(None, "meter", KEY)]);
    options.tap = Some(tap);
    assert!(!format!("{options:?}").contains(KEY));
    let (sender, mut incoming) = mpsc::channel(4);
    let endpoint = Endpoint::open(options, Some(sender)).expect("a free port");
    let client = push(endpoint.local(), "meter", KEY, "21.5");
    let pushed = next(&mut incoming).await;
    assert!(!format!("{pushed:?} {endpoint:?}").contains(KEY));
    pushed.reply.send(Code::CHANGED);
    assert!(was_changed(&client.await.expect("it ran")));
    let tapped = heard.try_recv().expect("what came is shown");
    assert!(!tapped.bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()));
    assert!(tapped.bytes.windows(4).any(|window| window == b"21.5"), "and shown decrypted");
}
