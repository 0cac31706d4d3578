//! Events, and their columns.

use std::borrow::Cow;

use arrow_schema::TimeUnit;

use crate::rows::times::{TimestampFormat, append_timestamp};

/// The kind of an event. Its number is the value of the column `event_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    Person = 0,
    Auction = 1,
    Bid = 2,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    Number,
    Text,
    /// A TIMESTAMP(3), as milliseconds since 1970.
    Time,
}

use ColumnType::{Number, Text, Time};

impl EventKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Person, Self::Auction, Self::Bid];

    /// The name of its column in the stream of all events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Auction => "auction",
            Self::Bid => "bid",
        }
    }

    /// The columns of its events.
    pub(super) fn columns(self) -> &'static [(&'static str, ColumnType)] {
        match self {
            Self::Person => &[
                ("id", Number),
                ("name", Text),
                ("emailAddress", Text),
                ("creditCard", Text),
                ("city", Text),
                ("state", Text),
                ("dateTime", Time),
                ("extra", Text),
            ],
            Self::Auction => &[
                ("id", Number),
                ("itemName", Text),
                ("description", Text),
                ("initialBid", Number),
                ("reserve", Number),
                ("dateTime", Time),
                ("expires", Time),
                ("seller", Number),
                ("category", Number),
                ("extra", Text),
            ],
            Self::Bid => &[
                ("auction", Number),
                ("bidder", Number),
                ("price", Number),
                ("channel", Text),
                ("url", Text),
                ("dateTime", Time),
                ("extra", Text),
            ],
        }
    }
}

/// A value of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    Number(i64),
    Text(Cow<'a, str>),
    /// Milliseconds since 1970.
    Time(i64),
}

/// An event: a value for each column of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    pub kind: EventKind,
    pub values: Vec<Value<'a>>,
}

impl Event<'_> {
    /// Appends the values as a line of CSV, with times as SQL writes them. No value needs quotes.
    pub fn append_csv(&self, line: &mut Vec<u8>) {
        for (index, value) in self.values.iter().enumerate() {
            if index > 0 {
                line.push(b',');
            }
            match value {
                Value::Number(number) => line.extend_from_slice(number.to_string().as_bytes()),
                Value::Text(text) => line.extend_from_slice(text.as_bytes()),
                Value::Time(time) => append_timestamp(line, *time, TimeUnit::Millisecond, false, TimestampFormat::Sql),
            }
        }
        line.push(b'\n');
    }
}
