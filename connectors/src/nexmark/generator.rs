//! Makes events.

use std::borrow::Cow;

use super::event::{Event, EventKind, Value};
use super::population::FIRST_ID;
use super::settings::Settings;
use super::texts::{Texts, one_of, price, text};
use crate::random::Random;

const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const FIRST_NAMES: [&str; 11] = ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];

/// Makes the events of some settings.
pub struct Generator {
    settings: Settings,
    texts: Texts,
}

impl Generator {
    /// The error says which setting is out of range.
    pub fn new(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        let texts = Texts::new(settings.seed);
        Ok(Self { settings, texts })
    }

    /// The event of this number, counted from 0.
    pub fn event(&self, number: u64) -> Event<'_> {
        let random = &mut Random::new(self.settings.seed, number);
        let kind = self.settings.kind(number);
        let values = match kind {
            EventKind::Person => self.person(number, random),
            EventKind::Auction => self.auction(number, random),
            EventKind::Bid => self.bid(number, random),
        };
        Event { kind, values }
    }

    fn person(&self, number: u64, random: &mut Random) -> Vec<Value<'_>> {
        let name = format!("{} {}", one_of(&FIRST_NAMES, random), one_of(&LAST_NAMES, random));
        let email = format!("{}@{}.com", text(7, random), text(5, random));
        let mut digits = || random.below(10_000);
        let card = format!("{:04} {:04} {:04} {:04}", digits(), digits(), digits(), digits());
        let (city, state) = (one_of(&CITIES, random), one_of(&STATES, random));
        let size = 8 + name.len() + email.len() + card.len() + city.len() + state.len();
        let extra = self.texts.extra(size, self.settings.person_bytes, random);
        vec![
            id(FIRST_ID + self.settings.newest_person(number)),
            owned(name),
            owned(email),
            owned(card),
            shared(city),
            shared(state),
            Value::Time(self.settings.time_of(number)),
            Value::Text(extra),
        ]
    }

    fn auction(&self, number: u64, random: &mut Random) -> Vec<Value<'_>> {
        let seller = self.settings.seller(number, random);
        let category = FIRST_CATEGORY + random.below(CATEGORIES);
        let first_bid = price(random);
        let expires = self.settings.expires(number, random);
        let (name, description) = (text(20, random), text(100, random));
        let reserve = first_bid + price(random);
        let size = 6 * 8 + name.len() + description.len();
        let extra = self.texts.extra(size, self.settings.auction_bytes, random);
        vec![
            id(FIRST_ID + self.settings.newest_auction(number)),
            owned(name),
            owned(description),
            Value::Number(first_bid),
            Value::Number(reserve),
            Value::Time(self.settings.time_of(number)),
            Value::Time(expires),
            id(seller),
            id(category),
            Value::Text(extra),
        ]
    }

    fn bid(&self, number: u64, random: &mut Random) -> Vec<Value<'_>> {
        let auction = self.settings.auction(number, random);
        let bidder = self.settings.bidder(number, random);
        let price = price(random);
        let (channel, url) = self.texts.channel(random);
        let extra = self.texts.extra(4 * 8, self.settings.bid_bytes, random);
        vec![
            id(auction),
            id(bidder),
            Value::Number(price),
            shared(channel),
            shared(url),
            Value::Time(self.settings.time_of(number)),
            Value::Text(extra),
        ]
    }
}

fn id(number: u64) -> Value<'static> {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn owned(text: String) -> Value<'static> {
    Value::Text(Cow::Owned(text))
}

fn shared(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}
