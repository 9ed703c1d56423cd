//! How calls are made in time, and how long they took. Nothing here knows what is called.

mod closed;
mod gap;
mod latency;
mod open;
mod pace;
mod schedule;

pub use closed::closed_loop;
pub use gap::longest_gap;
pub use latency::{Latency, Quantiles};
pub use open::{Answered, Offer, open_loop};
pub use pace::Pace;
pub use schedule::Arrivals;
