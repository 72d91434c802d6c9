//! What one unit is asked, and what its answers say.

use std::time::Instant;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadRequest, Table, UnitId};
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;
use fieldgate_rules::sunspec::FoundModel;
use serde::{Deserialize, Serialize};

use crate::cli::sunspec;

/// Questions that one identification may take: seven objects are named by the specification, and a
/// device that sends them one by one needs a question each.
const IDENTIFICATION_QUESTIONS_MAX: usize = 8;
/// Names of the objects of FC 43/14 (MODBUS Application Protocol Specification V1.1b3, 6.21).
const OBJECTS: [&str; 7] = ["vendor", "product", "revision", "url", "name", "model", "application"];

/// A unit that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) unit: u8,
    /// The line's settings at which it answered.
    pub(super) line: Option<String>,
    /// What it said to which question, in words.
    pub(super) answers: Vec<(String, String)>,
    /// The objects of its identification by name.
    pub(super) identification: Vec<(String, String)>,
    /// Its answer to FC 17, as far as it is text.
    pub(super) server_id: Option<String>,
    /// The models that it says it has.
    pub(super) sunspec: Option<SunSpec>,
    /// Fastest answer in microseconds.
    pub(super) response_us: u64,
    /// It answered, and what came was damaged: two devices may have this id.
    pub(super) is_garbled: bool,
}

/// A `SunSpec` device, which says itself what it measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SunSpec {
    /// Holding register where `SunS` lies.
    pub(super) base: u16,
    /// Ids, in the order of their addresses.
    pub(super) models: Vec<u16>,
}

/// Asks one question.
pub(super) trait Ask {
    /// The answer, or why there is none.
    fn ask(&mut self, unit: UnitId, request: &Request, timeout: Millis) -> Result<Reply, Fault>;
}

/// Asks a unit everything, if it answers anything: an exception is a sign of life, but one from a
/// gateway which does not reach the unit is none.
pub(super) fn probe(
    asked: &mut impl Ask,
    unit: u8,
    line: Option<String>,
    timeout: Millis,
) -> Result<Option<Found>, Fault> {
    let mut found = Found {
        unit,
        line,
        answers: Vec::new(),
        identification: Vec::new(),
        server_id: None,
        sunspec: None,
        response_us: u64::MAX,
        is_garbled: false,
    };
    let read = |table| Request::Read(ReadRequest { table, start: 0, count: 1 });
    if !found.note(asked, &read(Table::HoldingRegister), timeout)?.is_alive() {
        return Ok(None);
    }
    found.note(asked, &read(Table::InputRegister), timeout)?;
    if let Said::Reply(Reply::ServerId(bytes)) =
        found.note(asked, &Request::ReportServerId, timeout)?
    {
        found.server_id = Some(text(&bytes));
    }
    found.identify(asked, timeout)?;
    found.sunspec = models(asked, &found, timeout);
    Ok(Some(found))
}

/// Looks for `SunS` where it may lie. A device that does not know FC 3 has no such registers, and
/// one that answers garbled would be asked in vain.
fn models(asked: &mut impl Ask, found: &Found, timeout: Millis) -> Option<SunSpec> {
    let knows_function = found.answers.first().is_some_and(|(_, said)| said != "exception 1");
    if found.is_garbled || !knows_function {
        return None;
    }
    let unit = UnitId(found.unit);
    let its = sunspec::discover(|request| asked.ask(unit, request, timeout)).ok()?;
    let id = |model: &FoundModel| model.id;
    Some(SunSpec { base: its.base, models: its.models.iter().map(id).collect() })
}

enum Said {
    Reply(Reply),
    Exception,
    Garbled,
    Nothing,
}

impl Said {
    const fn is_alive(&self) -> bool {
        match self {
            Self::Reply(_) | Self::Exception | Self::Garbled => true,
            Self::Nothing => false,
        }
    }
}

impl Found {
    /// Asks, and keeps what was said. A line that does not open ends the scan.
    fn note(
        &mut self,
        asked: &mut impl Ask,
        request: &Request,
        timeout: Millis,
    ) -> Result<Said, Fault> {
        let start = Instant::now();
        let said = asked.ask(UnitId(self.unit), request, timeout);
        let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (words, said) = match said {
            Ok(reply) => ("answers".to_owned(), Said::Reply(reply)),
            // The gateway says that it did not reach the unit.
            Err(Fault::Exception(0x0A | 0x0B) | Fault::NoAnswer) => {
                ("no answer".to_owned(), Said::Nothing)
            }
            Err(Fault::Exception(code)) => (format!("exception {code}"), Said::Exception),
            Err(Fault::Checksum | Fault::Malformed) => {
                self.is_garbled = true;
                ("garbled".to_owned(), Said::Garbled)
            }
            // Some hosts hang up when they do not serve a unit; the next question opens it anew.
            Err(Fault::LinkLost) => ("hung up".to_owned(), Said::Nothing),
            Err(Fault::NoLink) => return Err(Fault::NoLink),
        };
        if said.is_alive() {
            self.response_us = self.response_us.min(took);
        }
        self.answers.push((question(request), words));
        Ok(said)
    }

    fn identify(&mut self, asked: &mut impl Ask, timeout: Millis) -> Result<(), Fault> {
        let mut next = Some(0);
        // Basic first: what every device that knows the function has.
        for _ in 0..IDENTIFICATION_QUESTIONS_MAX {
            let Some(object) = next else { break };
            let request = Request::DeviceId { level: 1, object };
            let Said::Reply(Reply::DeviceId(id)) = self.note(asked, &request, timeout)? else {
                break;
            };
            for (number, bytes) in id.objects {
                let name = OBJECTS.get(usize::from(number)).map(|name| (*name).to_owned());
                let name = name.unwrap_or_else(|| format!("object {number}"));
                if !self.identification.iter().any(|(known, _)| *known == name) {
                    self.identification.push((name, text(&bytes)));
                }
            }
            // A device that names the same object again would be asked for ever.
            next = id.next.filter(|next| *next > object);
        }
        // However many questions it took, it is one.
        self.answers.dedup();
        Ok(())
    }

    /// What it is, in one line.
    pub(super) fn identity(&self) -> String {
        if self.identification.is_empty() {
            return self.server_id.clone().unwrap_or_default();
        }
        let texts: Vec<&str> = self.identification.iter().map(|(_, text)| text.as_str()).collect();
        texts.join(", ")
    }
}

fn question(request: &Request) -> String {
    match request.function() {
        43 => "FC 43/14".to_owned(),
        function => format!("FC {function}"),
    }
}

/// Bytes as text, without what cannot be shown.
fn text(bytes: &[u8]) -> String {
    let shown = bytes.iter().filter(|byte| matches!(byte, 0x20..=0x7E));
    let shown: String = shown.map(|byte| char::from(*byte)).collect();
    shown.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use fieldgate_modbus::register::ReadReply;
    use fieldgate_modbus::request::DeviceId;

    use super::*;

    /// Answers by function code.
    struct Scripted(fn(&Request) -> Result<Reply, Fault>);

    impl Ask for Scripted {
        fn ask(&mut self, _: UnitId, request: &Request, _: Millis) -> Result<Reply, Fault> {
            (self.0)(request)
        }
    }

    fn probed(script: fn(&Request) -> Result<Reply, Fault>) -> Result<Option<Found>, Fault> {
        probe(&mut Scripted(script), 7, None, Millis(1))
    }

    #[test]
    fn an_exception_is_a_sign_of_life_and_one_of_a_gateway_is_none() {
        for (code, is_found) in [(1, true), (2, true), (6, true), (0x0A, false), (0x0B, false)] {
            let found = match code {
                1 => probed(|_| Err(Fault::Exception(1))),
                2 => probed(|_| Err(Fault::Exception(2))),
                6 => probed(|_| Err(Fault::Exception(6))),
                0x0A => probed(|_| Err(Fault::Exception(0x0A))),
                _ => probed(|_| Err(Fault::Exception(0x0B))),
            };
            assert_eq!(found.expect("the line opens").is_some(), is_found, "{code}");
        }
        assert_eq!(probed(|_| Err(Fault::NoAnswer)), Ok(None));
        assert_eq!(probed(|_| Err(Fault::NoLink)), Err(Fault::NoLink));
    }

    #[test]
    fn what_is_damaged_is_called_so() {
        let found = probed(|_| Err(Fault::Checksum)).expect("the line opens").expect("alive");
        assert!(found.is_garbled);
        assert_eq!(found.answers[0], ("FC 3".to_owned(), "garbled".to_owned()));
    }

    #[test]
    fn a_device_that_has_the_mark_of_sunspec_is_asked_for_its_models() {
        let found = probed(|request| match request {
            Request::Read(read) => {
                let words = match (read.table, read.start) {
                    (Table::HoldingRegister, 40_000) => vec![0x5375, 0x6E53],
                    (Table::HoldingRegister, 40_002) => vec![1, 66],
                    (Table::HoldingRegister, 40_070) => vec![103, 50],
                    (Table::HoldingRegister, 40_122) => vec![0xFFFF, 0],
                    _ => return Err(Fault::Exception(2)),
                };
                Ok(Reply::Read(ReadReply::Registers(words)))
            }
            Request::Write(_)
            | Request::ReadWrite { .. }
            | Request::ReportServerId
            | Request::DeviceId { .. } => Err(Fault::Exception(1)),
        });
        let found = found.expect("the line opens").expect("alive");
        assert_eq!(found.sunspec, Some(SunSpec { base: 40_000, models: vec![1, 103] }));

        let other = probed(|request| match request {
            Request::Read(ReadRequest { table: Table::HoldingRegister, start: 0, .. }) => {
                Ok(Reply::Read(ReadReply::Registers(vec![0])))
            }
            Request::Read(_)
            | Request::Write(_)
            | Request::ReadWrite { .. }
            | Request::ReportServerId
            | Request::DeviceId { .. } => Err(Fault::Exception(2)),
        });
        assert_eq!(other.expect("the line opens").expect("alive").sunspec, None);
    }

    #[test]
    fn identification_goes_on_until_the_device_has_said_all_and_ends_with_one_that_repeats() {
        let found = probed(|request| match request {
            Request::DeviceId { object: 0, .. } => Ok(Reply::DeviceId(DeviceId {
                conformity: 1,
                next: Some(1),
                objects: vec![(0, b"Maker".to_vec())],
            })),
            Request::DeviceId { .. } => Ok(Reply::DeviceId(DeviceId {
                conformity: 1,
                next: Some(1),
                objects: vec![(1, b"Meter\0 3".to_vec())],
            })),
            Request::ReportServerId => Ok(Reply::ServerId(vec![b'S', 0xFF])),
            Request::Read(_) => Ok(Reply::Read(ReadReply::Registers(vec![0]))),
            Request::Write(_) | Request::ReadWrite { .. } => Err(Fault::Exception(1)),
        });
        let found = found.expect("the line opens").expect("alive");
        assert_eq!(found.identity(), "Maker, Meter 3");
        assert_eq!(found.server_id.as_deref(), Some("S"));
        let questions: Vec<&str> = found.answers.iter().map(|(asked, _)| asked.as_str()).collect();
        assert_eq!(questions, ["FC 3", "FC 4", "FC 17", "FC 43/14"]);
    }
}
