//! What a stream of events looks like.

use serde::Deserialize;

/// The settings of a generator. The defaults are those of the generator for Flink, where it has the setting.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Equal settings with equal seeds give equal events.
    pub seed: u64,
    /// Event time of the first event, in milliseconds since 1970.
    pub base_time_ms: i64,
    /// Events per second of event time.
    pub events_per_second: u64,
    /// Of as many events as the three proportions add up to, so many are persons.
    pub person_proportion: u64,
    /// So many are auctions.
    pub auction_proportion: u64,
    /// So many are bids.
    pub bid_proportion: u64,
    /// Average size of a person, in bytes. The column `extra` fills what the others leave.
    pub person_bytes: u64,
    /// Average size of an auction, in bytes.
    pub auction_bytes: u64,
    /// Average size of a bid, in bytes.
    pub bid_bytes: u64,
    /// One auction in so many is not by a hot seller.
    pub hot_sellers: u64,
    /// One bid in so many is not for a hot auction.
    pub hot_auctions: u64,
    /// One bid in so many is not by a hot bidder.
    pub hot_bidders: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            // 2020-01-01 00:00:00.
            base_time_ms: 1_577_836_800_000,
            events_per_second: 10_000,
            person_proportion: 1,
            auction_proportion: 3,
            bid_proportion: 46,
            person_bytes: 200,
            auction_bytes: 500,
            bid_bytes: 100,
            hot_sellers: 4,
            hot_auctions: 2,
            hot_bidders: 4,
        }
    }
}

/// Greatest value of proportions and ratios.
const MOST: u64 = i32::MAX as u64;

/// Greatest average size, in bytes.
pub(super) const MOST_BYTES: u64 = 512 << 10;

impl Settings {
    /// Checks the ranges. The error names the setting.
    pub(super) fn check(&self) -> Result<(), String> {
        let ranges = [
            ("events_per_second", self.events_per_second, 1, MOST),
            ("person_proportion", self.person_proportion, 0, MOST),
            ("auction_proportion", self.auction_proportion, 0, MOST),
            ("bid_proportion", self.bid_proportion, 0, MOST),
            ("person_bytes", self.person_bytes, 0, MOST_BYTES),
            ("auction_bytes", self.auction_bytes, 0, MOST_BYTES),
            ("bid_bytes", self.bid_bytes, 0, MOST_BYTES),
            ("hot_sellers", self.hot_sellers, 1, MOST),
            ("hot_auctions", self.hot_auctions, 1, MOST),
            ("hot_bidders", self.hot_bidders, 1, MOST),
        ];
        if let Some((name, value, least, most)) = ranges.iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
            return Err(format!("{name} is {value}; it must be from {least} to {most}"));
        }
        if self.proportions() == 0 {
            return Err("one of person_proportion, auction_proportion and bid_proportion must be greater than 0".to_owned());
        }
        Ok(())
    }

    /// The sum of the proportions.
    pub(super) fn proportions(&self) -> u64 {
        self.person_proportion + self.auction_proportion + self.bid_proportion
    }
}
