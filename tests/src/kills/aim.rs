//! Whom to kill and when: at any moment, or while a thread that commits is at it.

use std::fs;
use std::time::{Duration, Instant};

use super::Party;
use crate::harness::pause;

/// Latest moment of a kill after everybody was ready, if it is not aimed.
const MOMENT_MAX: Duration = Duration::from_millis(400);
/// How long to lie in wait for a commit: some flushes of a loaded machine.
const WAIT_MAX: Duration = Duration::from_millis(1_500);
/// Threads that commit, as the programs name them.
const COMMITTERS: [&str; 3] = ["buffer", "journal", "store"];
/// System calls of a commit (x86-64 and aarch64): write, pwrite64, fsync, fdatasync, ftruncate.
#[cfg(target_arch = "x86_64")]
const COMMIT_CALLS: [&str; 5] = ["1", "18", "74", "75", "77"];
#[cfg(not(target_arch = "x86_64"))]
const COMMIT_CALLS: [&str; 5] = ["64", "68", "82", "83", "46"];

/// One kill.
pub(super) struct Aim {
    pub(super) party: Party,
    /// `None`: as soon as a commit is under way.
    at: Option<Duration>,
}

impl Aim {
    /// The `number`th kill of a seed.
    pub(super) fn draw(seed: u64, number: u64) -> Self {
        let drawn = mix(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number));
        let party = Party::ALL[usize::try_from(drawn % 3).unwrap_or(0)];
        let micros = mix(drawn) % u64::try_from(MOMENT_MAX.as_micros()).unwrap_or(1);
        let at = Some(Duration::from_micros(micros));
        Self { party, at: at.filter(|_| drawn & 0x100 == 0 || party == Party::Broker) }
    }

    /// Waits for the moment; whether a commit is under way then.
    pub(super) fn wait(&self, process: u32) -> bool {
        if let Some(at) = self.at {
            pause(at);
            return is_committing(process);
        }
        let deadline = Instant::now() + WAIT_MAX;
        while Instant::now() < deadline {
            if is_committing(process) {
                return true;
            }
        }
        false
    }
}

/// Whether a thread that commits is in a system call that writes or syncs. What cannot be read is
/// not counted.
fn is_committing(process: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    threads.flatten().any(|thread| {
        let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let call = || read("syscall");
        COMMITTERS.contains(&read("comm").trim())
            && call().split(' ').next().is_some_and(|number| COMMIT_CALLS.contains(&number))
    })
}

/// splitmix64.
fn mix(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[test]
fn a_kill_is_drawn_alike_each_time_and_all_kinds_are_drawn() {
    let draw = |number| Aim::draw(7, number);
    let same =
        |number| draw(number).party == draw(number).party && draw(number).at == draw(number).at;
    assert!((0..100).all(same));
    for party in Party::ALL {
        assert!((0..100).any(|number| draw(number).party == party), "{party:?}");
    }
    assert!((0..100).any(|number| draw(number).at.is_none()));
}
