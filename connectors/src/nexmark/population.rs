//! Which persons and auctions exist at an event. This is arithmetic on the number of the event, so no state is needed.

use super::event::EventKind;
use super::settings::Settings;
use crate::random::Random;

/// Ids begin here, so that they differ from row numbers.
pub(super) const FIRST_ID: u64 = 1_000;

/// Of so many consecutive ids, the first (or, for bidders, the second) is hot while they are the newest.
const HOT_BATCH: u64 = 100;

/// So many auctions are open at an event, on average.
const OPEN_AUCTIONS: u64 = 100;

/// So many persons sell and bid.
const ACTIVE_PERSONS: u64 = 1_000;

/// Sellers, bidders and auctions may be so many ids ahead of the newest person or auction, as if events had overtaken each other.
const LEAD: u64 = 10;

impl Settings {
    /// The kind of an event.
    pub(super) fn kind(&self, number: u64) -> EventKind {
        let offset = number % self.proportions();
        if offset < self.person_proportion {
            EventKind::Person
        } else if offset < self.person_proportion + self.auction_proportion {
            EventKind::Auction
        } else {
            EventKind::Bid
        }
    }

    /// Event time of an event, in milliseconds since 1970.
    pub(super) fn time_of(&self, number: u64) -> i64 {
        let millis = u128::from(number) * 1_000 / u128::from(self.events_per_second);
        self.base_time_ms.saturating_add(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// The newest person at an event, counted from 0.
    pub(super) fn newest_person(&self, number: u64) -> u64 {
        let (round, offset) = (number / self.proportions(), number % self.proportions());
        round * self.person_proportion + offset.min(self.person_proportion.saturating_sub(1))
    }

    /// The newest auction at an event that is no person, counted from 0.
    pub(super) fn newest_auction(&self, number: u64) -> u64 {
        let (round, offset) = (number / self.proportions(), number % self.proportions());
        let offset = offset.saturating_sub(self.person_proportion);
        round * self.auction_proportion + offset.min(self.auction_proportion.saturating_sub(1))
    }

    /// A person that sells at this event.
    pub(super) fn seller(&self, number: u64, random: &mut Random) -> u64 {
        FIRST_ID
            + match random.below(self.hot_sellers) {
                0 => self.active_person(number, random),
                _ => self.newest_person(number) / HOT_BATCH * HOT_BATCH,
            }
    }

    /// A person that bids at this event.
    pub(super) fn bidder(&self, number: u64, random: &mut Random) -> u64 {
        let bidder = match random.below(self.hot_bidders) {
            0 => self.active_person(number, random),
            // The second one, so that hot bidders are not hot sellers.
            _ => self.newest_person(number) / HOT_BATCH * HOT_BATCH + 1,
        };
        // The generator for Flink adds the first id twice. So the bidders of most bids are persons that come later.
        FIRST_ID + FIRST_ID + bidder
    }

    /// An auction that is bid for at this event.
    pub(super) fn auction(&self, number: u64, random: &mut Random) -> u64 {
        let newest = self.newest_auction(number);
        let auction = match random.below(self.hot_auctions) {
            0 => {
                let oldest = newest.saturating_sub(OPEN_AUCTIONS);
                oldest + random.below(newest - oldest + 1 + LEAD)
            }
            _ => newest / HOT_BATCH * HOT_BATCH,
        };
        FIRST_ID + auction
    }

    /// When an auction ends that begins with this event.
    pub(super) fn expires(&self, number: u64, random: &mut Random) -> i64 {
        let begins = self.time_of(number);
        let events = OPEN_AUCTIONS * self.proportions() / self.auction_proportion.max(1);
        let horizon = self.time_of(number.saturating_add(events)).saturating_sub(begins);
        let length = 1 + random.below(u64::try_from(horizon.saturating_mul(2)).unwrap_or_default().max(1));
        begins.saturating_add_unsigned(length)
    }

    fn active_person(&self, number: u64, random: &mut Random) -> u64 {
        let persons = self.newest_person(number) + 1;
        let active = persons.min(ACTIVE_PERSONS);
        persons - active + random.below(active + LEAD)
    }
}
