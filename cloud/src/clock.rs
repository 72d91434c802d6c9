//! The one place that asks what time it is.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fieldgate_model::UtcMillis;

/// Tells UTC. Tests bring their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> UtcMillis + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(utc_now))
    }

    /// A clock that `tell` decides.
    pub fn new(tell: impl Fn() -> UtcMillis + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The time.
    pub fn now(&self) -> UtcMillis {
        (self.0)()
    }
}

/// UTC by the machine's clock; 1970 if it stands before that.
pub fn utc_now() -> UtcMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UtcMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
