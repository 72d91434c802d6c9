//! `fieldgate sync`: how the uplink is, what holds it up first.

use std::path::Path;

use fieldgate_model::Millis;

use super::args::DaemonArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::format::{duration, table};
use super::screen::{self, Style, Talk, data_is_coloured, paint};
use crate::socket::message::Ask;
use crate::socket::uplink::Uplink;

/// Shows the uplink, and ends with a finding if something holds it up.
pub(super) fn sync(config: &Path, args: &DaemonArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let uplink: Uplink = Daemon::find(config, args, talk)?.ask(Ask::Sync)?;
    if args.json {
        screen::print_json(&uplink)?;
    } else {
        screen::print(&text(&uplink, data_is_coloured()))?;
    }
    Ok(if wrong(&uplink).is_empty() { Exit::Good } else { Exit::Findings })
}

/// What holds it up, in sentences.
fn wrong(its: &Uplink) -> Vec<String> {
    let mut wrong = Vec::new();
    match (its.state.as_str(), &its.pause) {
        ("disconnected" | "connected", _) => wrong.push("the cloud is not reached".to_owned()),
        (_, Some(reason)) => {
            let until = its.paused_until.as_deref().unwrap_or("it says otherwise");
            wrong.push(format!("the cloud takes nothing until {until}: {reason}"));
        }
        (_, None) => {}
    }
    if let Some(why) = &its.commands_wait {
        let why = match why.as_str() {
            "journal_lost" => "the journal of commands was lost",
            "forked" => "the cloud holds another history under this gateway's name",
            _ => "the cloud doubts this gateway's identity",
        };
        let what = format!("{why}: commands wait until somebody readopts it in the cloud");
        wrong.push(what);
    }
    if its.set_aside > 0 {
        wrong.push(format!("{} batches were refused for good, and are gaps now", its.set_aside));
    }
    wrong
}

fn text(its: &Uplink, is_coloured: bool) -> String {
    let mut text = String::new();
    for wrong in wrong(its) {
        text.push_str(&paint(is_coloured, Style::Red, &format!("wrong: {wrong}")));
        text.push('\n');
    }
    let time = |millis: Option<u64>| millis.map_or("-".to_owned(), |it| duration(Millis(it)));
    let owner = its.owner.as_deref().unwrap_or("nobody yet");
    let epoch = its.epoch.map_or(String::new(), |epoch| format!(", epoch {epoch}"));
    let acked = its.acked_at.as_deref().unwrap_or("never");
    let backlog = format!("{} records, oldest {} old", its.backlog, time(its.behind_ms));
    let mut rows = vec![
        vec!["state".to_owned(), its.state.clone()],
        vec!["owner".to_owned(), format!("{owner}{epoch}")],
        vec!["backlog".to_owned(), backlog],
        vec!["last ack".to_owned(), format!("{acked}, after {}", time(its.ack_after_ms))],
        vec![
            "since start".to_owned(),
            format!(
                "{} batches sent, {} refused for good, {} clients built anew, {} messages of \
                 others, {} not understood",
                its.batches_sent, its.set_aside, its.rebuilt, its.stale, its.malformed
            ),
        ],
    ];
    rows.push(Vec::new());
    rows.push(["stream", "committed", "sealed", "held from", "incarnation"].map(Into::into).into());
    for line in &its.streams {
        rows.push(vec![
            line.stream.clone(),
            line.committed.to_string(),
            line.sealed.to_string(),
            line.first.to_string(),
            line.incarnation.clone(),
        ]);
    }
    let (head, tail) = rows.split_at(5);
    text.push_str(&table(head.to_vec()));
    text.push_str(&table(tail.to_vec()));
    text
}
