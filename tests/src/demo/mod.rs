//! The demo: the whole product on one machine, with what goes wrong in real life, and a count of
//! every sample at the end.
//!
//! What is told, in order: two tenants, a gateway each, a simulated device each; samples arrive; an
//! alarm comes and goes; a command writes a set-point; the cloud is killed; a gateway is killed in
//! the outage; both come back; everything that was flushed is there, once.

mod feed;
mod options;
mod report;
mod screen;
mod stop;
mod story;
mod tenant;
mod world;

pub use options::Options;

use anyhow::Result;

use crate::harness;
use screen::Screen;
use stop::Stop;

/// Runs the demo. `Ok(false)`: it ran to its end, and something was lost, doubled or executed twice.
pub fn run(options: &Options) -> Result<bool> {
    let stop = Stop::on_signals()?;
    Screen::new(options.json).say("Building fieldgate and fieldgate-cloud …")?;
    harness::build()?;
    // Its clock starts here: how long the build took is not part of the story.
    let mut screen = Screen::new(options.json);
    let mut world = world::World::start(&mut screen)?;
    let told = story::tell(&mut world, &mut screen, options, &stop);
    // Whatever happened, an explanation should not stand in the middle of a table.
    screen.leave_table()?;
    told?;
    screen.say("Stopping both gateways (SIGTERM), and counting every sample …")?;
    let report = report::close(&mut world, options.outage())?;
    let is_clean = report.is_clean();
    report.tell(&mut screen)?;
    Ok(is_clean)
}
