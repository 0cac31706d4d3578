//! Nexmark: an auction site's persons, auctions and bids, for measuring. The distributions are those of the generator for Flink
//! (github.com/nexmark/nexmark), but here event i depends only on the settings and i, so that two systems can read the same events.

mod columns;
mod event;
mod generator;
mod population;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod texts;

pub use self::event::{Event, EventKind, Value};
pub use self::generator::Generator;
pub use self::settings::Settings;
pub(crate) use self::source::build;
