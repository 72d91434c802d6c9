//! The figures of a running instance, as Prometheus reads them (text exposition 0.0.4).
//!
//! Every stage counts into the one [`Metrics`] it is given; nothing here is a tenant's name or a
//! gateway's id, so the page is safe to scrape and its size is bounded by the routes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::link::Reading;

/// A figure that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// `more` more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The figure.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A figure that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One up.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One down; stays at zero if it is there.
    pub fn down(&self) {
        // Fails only at zero, which is where it shall stay.
        let lowered =
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        lowered.unwrap_or_default();
    }

    /// To `value`.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The figure.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One answered kind of request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RequestKey {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Default)]
struct RequestFigures {
    count: u64,
    micros: u64,
}

/// The figures of one instance.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Messages given to the link for gateways.
    pub link_messages_out: Counter,
    /// Batches committed, gaps included.
    pub ingest_batches: Counter,
    /// Samples committed.
    pub ingest_samples: Counter,
    /// Events and outcomes committed.
    pub ingest_events: Counter,
    /// Payload bytes committed.
    pub ingest_bytes: Counter,
    /// Batches that were already there.
    pub ingest_duplicates: Counter,
    /// Messages that could not be read or placed.
    pub ingest_rejected: Counter,
    /// Times that a gateway was asked to pause.
    pub ingest_pauses: Counter,
    /// Stretches of batches that became blocks, or stay as they are.
    pub upkeep_blocks: Counter,
    /// Rows of rollups that were made.
    pub upkeep_rollups: Counter,
    /// Batches and blocks whose times were written anew.
    pub upkeep_restamped: Counter,
    /// Batches refused for good.
    pub ingest_refused: Counter,
    /// Transactions committed.
    pub store_commits: Counter,
    /// Time spent in commits, in microseconds.
    pub store_commit_micros: Counter,
    /// Size of the database with its log, in bytes.
    pub store_bytes: Gauge,
    /// Commands accepted.
    pub commands_accepted: Counter,
    /// Commands given to the link.
    pub commands_sent: Counter,
    /// Commands that ended, whichever way.
    pub commands_closed: Counter,
    /// Live streams open.
    pub live_streams: Gauge,
    // The one lock outside the store: telemetry, held for an insert.
    requests: Mutex<BTreeMap<RequestKey, RequestFigures>>,
}

/// What kind of figure a line is.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

impl Metrics {
    /// Counts one answered request; `route` is the pattern, never the path.
    pub fn count_request(&self, route: &str, method: &'static str, status: u16, micros: u64) {
        let key = RequestKey { route: route.to_owned(), method, status };
        let Ok(mut requests) = self.requests.lock() else { return };
        let figures = requests.entry(key).or_default();
        figures.count += 1;
        figures.micros += micros;
    }

    /// The page (content type `text/plain; version=0.0.4`).
    ///
    /// `link` is what the link counts itself.
    pub fn render(&self, link: &[Reading]) -> String {
        let mut page = String::from(
            "# HELP fieldgate_build_info The build that is running.\n\
             # TYPE fieldgate_build_info gauge\n",
        );
        line(&mut page, "fieldgate_build_info", concat_version(), 1);
        for (name, help, kind, value) in self.figures() {
            let word = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            writeln!(page, "# HELP {name} {help}\n# TYPE {name} {word}").unwrap_or_default();
            line(&mut page, name, "", value);
        }
        self.render_commit_time(&mut page);
        render_link(&mut page, link);
        self.render_requests(&mut page);
        page
    }

    fn figures(&self) -> [(&'static str, &'static str, Kind, u64); 18] {
        use Kind::{Counter as C, Gauge as G};
        [
            ("fieldgate_downlinks_total", "Given to the link.", C, self.link_messages_out.get()),
            ("fieldgate_ingest_batches_total", "Batches committed.", C, self.ingest_batches.get()),
            ("fieldgate_ingest_samples_total", "Samples committed.", C, self.ingest_samples.get()),
            ("fieldgate_ingest_events_total", "Events committed.", C, self.ingest_events.get()),
            ("fieldgate_ingest_bytes_total", "Bytes committed.", C, self.ingest_bytes.get()),
            (
                "fieldgate_ingest_duplicates_total",
                "Known batches.",
                C,
                self.ingest_duplicates.get(),
            ),
            ("fieldgate_ingest_rejected_total", "Unreadable.", C, self.ingest_rejected.get()),
            ("fieldgate_ingest_pauses_total", "Pauses asked for.", C, self.ingest_pauses.get()),
            ("fieldgate_upkeep_blocks_total", "Blocks made.", C, self.upkeep_blocks.get()),
            ("fieldgate_upkeep_rollups_total", "Rollups made.", C, self.upkeep_rollups.get()),
            ("fieldgate_upkeep_restamped_total", "Moved in time.", C, self.upkeep_restamped.get()),
            ("fieldgate_ingest_refused_total", "Batches refused.", C, self.ingest_refused.get()),
            ("fieldgate_store_commits_total", "Transactions.", C, self.store_commits.get()),
            ("fieldgate_store_bytes", "Size of the database.", G, self.store_bytes.get()),
            ("fieldgate_commands_accepted_total", "Accepted.", C, self.commands_accepted.get()),
            ("fieldgate_commands_sent_total", "Commands sent.", C, self.commands_sent.get()),
            ("fieldgate_commands_closed_total", "Commands ended.", C, self.commands_closed.get()),
            ("fieldgate_live_streams", "Live streams open.", G, self.live_streams.get()),
        ]
    }

    fn render_commit_time(&self, page: &mut String) {
        let name = "fieldgate_store_commit_seconds_total";
        let seconds = seconds(self.store_commit_micros.get());
        writeln!(page, "# HELP {name} Time in commits.\n# TYPE {name} counter").unwrap_or_default();
        writeln!(page, "{name} {seconds}").unwrap_or_default();
    }

    fn render_requests(&self, page: &mut String) {
        let Ok(requests) = self.requests.lock() else { return };
        page.push_str(
            "# HELP fieldgate_http_requests_total Requests answered.\n\
             # TYPE fieldgate_http_requests_total counter\n",
        );
        for (key, figures) in requests.iter() {
            line(page, "fieldgate_http_requests_total", &key.labels(), figures.count);
        }
        page.push_str(
            "# HELP fieldgate_http_request_seconds_total Time until the answer began.\n\
             # TYPE fieldgate_http_request_seconds_total counter\n",
        );
        for (key, figures) in requests.iter() {
            let value = seconds(figures.micros);
            line(page, "fieldgate_http_request_seconds_total", &key.labels(), value);
        }
    }
}

impl RequestKey {
    fn labels(&self) -> String {
        // Patterns are ours: no quote or backslash can stand in one.
        format!(
            "{{route=\"{}\",method=\"{}\",status=\"{}\"}}",
            self.route, self.method, self.status
        )
    }
}

fn render_link(page: &mut String, link: &[Reading]) {
    let mut last = "";
    for reading in link {
        if reading.name != last {
            let word = if reading.name.ends_with("_total") { "counter" } else { "gauge" };
            writeln!(page, "# TYPE {} {word}", reading.name).unwrap_or_default();
            last = reading.name;
        }
        let labels = reading.label.map(|(label, value)| format!("{{{label}=\"{value}\"}}"));
        line(page, reading.name, labels.as_deref().unwrap_or_default(), reading.value);
    }
}

fn concat_version() -> &'static str {
    concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}")
}

fn line(page: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    writeln!(page, "{name}{labels} {value}").unwrap_or_default();
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_name_and_a_number() {
        let metrics = Metrics::default();
        metrics.ingest_samples.add(41);
        metrics.live_streams.down();
        metrics.count_request("/v1/gateways/{id}", "GET", 200, 1_500_000);
        let page = metrics.render(&[Reading {
            name: "fieldgate_link_refused_total",
            label: Some(("reason", "secret")),
            value: 3,
        }]);
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(name.starts_with("fieldgate_"), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
        for expected in [
            "fieldgate_ingest_samples_total 41\n",
            "fieldgate_live_streams 0\n",
            "fieldgate_http_requests_total\
             {route=\"/v1/gateways/{id}\",method=\"GET\",status=\"200\"} 1\n",
            "status=\"200\"} 1.500000\n",
            "fieldgate_link_refused_total{reason=\"secret\"} 3\n",
        ] {
            assert!(page.contains(expected), "{expected} is missing in {page}");
        }
    }
}
