//! Mosquitto as an external broker. Its persistence is off, as by default: what it has
//! acknowledged and not delivered is gone when it is killed.

use anyhow::Result;
use fieldgate_tests::harness::{CloudOptions, Mosquitto, Scratch};

use crate::rig::Rig;

#[test]
fn a_broker_that_forgets_everything_loses_and_doubles_nothing() -> Result<()> {
    let own = Scratch::new("fieldgate-mosquitto")?;
    let mut broker = Mosquitto::start(own.path())?;
    let url = broker.url();
    let options = CloudOptions { arguments: vec!["--broker".to_owned(), url.clone()] };
    let mut rig = Rig::start_with("broker", options, |_, _| Ok(url))?;
    rig.arrives()?;
    for _ in 0..3 {
        rig.polls(20)?;
        broker.kill()?;
        rig.polls(10)?;
        broker.restart()?;
        rig.arrives()?;
    }
    rig.settle().map(drop)
}
