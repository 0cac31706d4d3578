//! The connector `nexmark`, with the options of the one for Flink (github.com/nexmark/nexmark).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_protocol::job_graph::{DataType, Field, OperatorDescriptor, RowField};

use super::option::{ConnectorOption, ignored, only, used};
use super::{Request, SourceDescriptor};
use crate::OptionValue::{Choice, Duration, Flag, Integer, Memory};
use crate::option;
use crate::script::SqlError;

const PROPORTION: crate::OptionValue = Integer(0, i32::MAX as i64);
const RATIO: crate::OptionValue = Integer(1, i32::MAX as i64);

/// Event time advances by this many events a second, by default.
const EVENTS_PER_SECOND: i64 = 10_000;

/// Greatest average size of an event, in bytes.
const MOST_BYTES: u64 = 512 << 10;

pub(super) const OPTIONS: &[ConnectorOption] = &[
    used("events.num", Integer(0, i64::MAX), "0, no end", "After this many events the table ends."),
    used("stop-at", Integer(-1, i64::MAX), "-1, no end", "After this many events the table ends, too."),
    used("first-event.rate", RATIO, "10000", "Events per second of event time."),
    used(
        "next-event.rate",
        RATIO,
        "10000",
        "The rate does not change: the connector for Flink has the option, but no use for it.",
    ),
    used("max-emit-speed", Flag, "true", "Whether events come as fast as possible. If not, they come at 'first-event.rate'."),
    used("person.proportion", PROPORTION, "1", "Of as many events as the three proportions add up to, so many are persons."),
    used("auction.proportion", PROPORTION, "3", "So many are auctions."),
    used("bid.proportion", PROPORTION, "46", "So many are bids."),
    used("person.avg-size", Memory, "200 b", "Average size of a person."),
    used("auction.avg-size", Memory, "500 b", "Average size of an auction."),
    used("bid.avg-size", Memory, "100 b", "Average size of a bid."),
    used("auction.hot-ratio.sellers", RATIO, "4", "One auction in so many is not by a hot seller."),
    used("bid.hot-ratio.auctions", RATIO, "2", "One bid in so many is not for a hot auction."),
    used("bid.hot-ratio.bidders", RATIO, "4", "One bid in so many is not by a hot bidder."),
    used("seed", Integer(0, i64::MAX), "0", "Equal seeds give equal events. The connector for Flink has no such option."),
    used(
        "base-time",
        Integer(0, i64::MAX),
        "1577836800000, which is 2020-01-01 00:00:00",
        "Event time of the first event, in milliseconds since 1970. In the connector for Flink it is the time of the start.",
    ),
    only("keep-alive", Flag, "false", "A table with 'events.num' ends."),
    ignored("rate.shape", Choice(&["SQUARE", "SINE"]), "The rate does not change."),
    ignored("rate.period", Duration, "The rate does not change."),
    ignored("rate.limited", Flag, "'max-emit-speed' limits the rate."),
];

/// Options of the table and of the operator that mean the same number.
const NUMBERS: [(&str, &str); 9] = [
    ("first-event.rate", "events_per_second"),
    ("person.proportion", "person_proportion"),
    ("auction.proportion", "auction_proportion"),
    ("bid.proportion", "bid_proportion"),
    ("auction.hot-ratio.sellers", "hot_sellers"),
    ("bid.hot-ratio.auctions", "hot_auctions"),
    ("bid.hot-ratio.bidders", "hot_bidders"),
    ("seed", "seed"),
    ("base-time", "base_time_ms"),
];

/// Options of the table and of the operator that mean the same size.
const SIZES: [(&str, &str); 3] =
    [("person.avg-size", "person_bytes"), ("auction.avg-size", "auction_bytes"), ("bid.avg-size", "bid_bytes")];

pub(super) fn source(request: &Request<'_>) -> Result<SourceDescriptor, SqlError> {
    let options = &request.options;
    check_columns(request)?;
    let mut set: BTreeMap<String, Value> = BTreeMap::new();
    for (key, name) in NUMBERS {
        if let Some(number) = options.integer(key) {
            set.insert(name.to_owned(), json!(number));
        }
    }
    for (key, name) in SIZES {
        if let Some(bytes) = options.text(key).and_then(option::memory) {
            if bytes > MOST_BYTES {
                return Err(options.invalid(key, &format!("is {bytes} bytes; it must be at most {MOST_BYTES}")));
            }
            set.insert(name.to_owned(), json!(bytes));
        }
    }
    let proportions = ["person.proportion", "auction.proportion", "bid.proportion"];
    if proportions.iter().all(|key| options.integer(key) == Some(0)) {
        return Err(options.invalid("bid.proportion", "and the other proportions are 0, so there are no events"));
    }
    let per_second = options.integer("first-event.rate").unwrap_or(EVENTS_PER_SECOND);
    if options.integer("next-event.rate").is_some_and(|rate| rate != per_second) {
        let path = request.path;
        options.notice(format!("table {path}: option 'next-event.rate' has no effect. The rate stays 'first-event.rate'."));
    }
    if options.text("max-emit-speed").and_then(option::flag) == Some(false) {
        set.insert("rows_per_second".to_owned(), json!(per_second));
    }
    let total = options.integer("events.num").filter(|events| *events > 0);
    let stop = options.integer("stop-at").filter(|events| *events >= 0);
    let rows = [total, stop].into_iter().flatten().min();
    if let Some(rows) = rows {
        set.insert("rows".to_owned(), json!(rows));
    }
    let mut columns = request.wanted_columns();
    set.insert("columns".to_owned(), json!(columns.iter().map(|field| field.name.as_str()).collect::<Vec<_>>()));
    for column in columns.iter_mut().filter(|column| column.data_type == DataType::Int) {
        column.nullable = false;
    }
    let operator = OperatorDescriptor::new("source.nexmark", set);
    Ok(SourceDescriptor { operator, columns, is_bounded: rows.is_some(), notices: options.take_notices() })
}

/// Checks that the table stores no other columns than the events have. Error: `SQL-CATALOG`.
fn check_columns(request: &Request<'_>) -> Result<(), SqlError> {
    for field in &request.stored {
        let known = event_column(&field.name);
        let may_be_null = field.nullable || field.data_type == DataType::Int;
        if !known.as_ref().is_some_and(|known| is_stored_as(known, &field.data_type) && may_be_null) {
            let Field { name, data_type, .. } = field;
            let message = match &known {
                Some(known) => {
                    let not_null = if may_be_null { "" } else { " NOT NULL" };
                    format!("table {}: column {name:?} has type {data_type}{not_null}; it must be {known}", request.path)
                }
                None => format!("table {}: the events of connector 'nexmark' have no column {name:?}", request.path),
            };
            let hint = "its columns are event_type, person, auction and bid; views can take the rows apart";
            return Err(SqlError::new("SQL-CATALOG", message).hint(hint));
        }
    }
    Ok(())
}

/// Whether the types are equal but for the length of texts and what may be null.
fn is_stored_as(known: &DataType, declared: &DataType) -> bool {
    match (known, declared) {
        (DataType::Row(known), DataType::Row(declared)) => {
            known.len() == declared.len()
                && known.iter().zip(declared).all(|(known, declared)| {
                    known.name == declared.name && declared.nullable && is_stored_as(&known.data_type, &declared.data_type)
                })
        }
        (DataType::String, DataType::Varchar(_)) => true,
        _ => known == declared,
    }
}

/// The type of a column of the events.
fn event_column(name: &str) -> Option<DataType> {
    use DataType::{Bigint, String, Timestamp};
    let row = |fields: &[(&str, DataType)]| {
        let field = |(name, data_type): &(&str, DataType)| RowField {
            name: (*name).to_owned(),
            data_type: data_type.clone(),
            nullable: true,
        };
        DataType::Row(fields.iter().map(field).collect())
    };
    match name {
        "event_type" => Some(DataType::Int),
        "person" => Some(row(&[
            ("id", Bigint),
            ("name", String),
            ("emailAddress", String),
            ("creditCard", String),
            ("city", String),
            ("state", String),
            ("dateTime", Timestamp(3)),
            ("extra", String),
        ])),
        "auction" => Some(row(&[
            ("id", Bigint),
            ("itemName", String),
            ("description", String),
            ("initialBid", Bigint),
            ("reserve", Bigint),
            ("dateTime", Timestamp(3)),
            ("expires", Timestamp(3)),
            ("seller", Bigint),
            ("category", Bigint),
            ("extra", String),
        ])),
        "bid" => Some(row(&[
            ("auction", Bigint),
            ("bidder", Bigint),
            ("price", Bigint),
            ("channel", String),
            ("url", String),
            ("dateTime", Timestamp(3)),
            ("extra", String),
        ])),
        _ => None,
    }
}
