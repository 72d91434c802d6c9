//! `fieldgate run`: the daemon, from its configuration to its last words.

use std::path::Path;

use tokio::sync::oneshot;

use super::failure::{Exit, Failure};
use super::screen::Talk;
use super::signals::Stop;
use crate::config::Loaded;
use crate::{pipeline, telemetry};

/// Runs the daemon until it is stopped.
pub(super) fn run(config: &Path, talk: &mut Talk) -> Result<Exit, Failure> {
    let loaded = super::load(config, talk)?;
    telemetry::start();
    // One thread: the daemon waits far more than it works, and what is slow has its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(until_stopped(loaded));
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn until_stopped(loaded: Loaded) -> Result<Exit, Failure> {
    let mut stop = Stop::catch()?;
    let (order, ordered) = oneshot::channel::<()>();
    let daemon = pipeline::run(loaded.config, loaded.problems, async {
        // It never brings a message: the sender's end is the order.
        drop(ordered.await);
    });
    let impatient = async {
        stop.next().await;
        drop(order);
        stop.next().await;
    };
    tokio::select! {
        ended = daemon => match ended {
            Ok(()) => Ok(Exit::Good),
            Err(error) => Err(Failure::from_error(error)),
        },
        () = impatient => {
            let hint = "what was flushed is safe; the next start says what is not";
            Err(Failure::refused("ended at once by a second signal").hint(hint))
        }
    }
}
