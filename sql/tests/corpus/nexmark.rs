//! The connector `nexmark`, with the tables and views that Nexmark declares for Flink.

use weir_connectors::nexmark::{Event, EventKind, Generator, Settings, Value};
use weir_dataflow::changelog::RowKind;

use crate::rows::folded;
use crate::script::Script;

const EVENTS: u64 = 400;

const TABLES: &str = "
CREATE TABLE datagen (
    event_type int,
    person ROW<id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR,
        `dateTime` TIMESTAMP(3), extra VARCHAR>,
    auction ROW<id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT,
        `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra VARCHAR>,
    bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR>,
    `dateTime` AS
        CASE
            WHEN event_type = 0 THEN person.`dateTime`
            WHEN event_type = 1 THEN auction.`dateTime`
            ELSE bid.`dateTime`
        END,
    WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (
    'connector' = 'nexmark',
    'first-event.rate' = '10',
    'next-event.rate' = '10',
    'events.num' = '400',
    'person.proportion' = '1',
    'auction.proportion' = '3',
    'bid.proportion' = '46'
);
CREATE VIEW person AS
SELECT person.id, person.name, person.emailAddress, person.creditCard, person.city, person.state, `dateTime`, person.extra
FROM datagen WHERE event_type = 0;
CREATE VIEW auction AS
SELECT auction.id, auction.itemName, auction.description, auction.initialBid, auction.reserve, `dateTime`, auction.expires,
    auction.seller, auction.category, auction.extra
FROM datagen WHERE event_type = 1;
CREATE VIEW bid AS
SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, `dateTime`, bid.extra FROM datagen WHERE event_type = 2;
";

/// The rows of a query, under some seeds and parallelisms.
fn rows(query: &str) -> Vec<(Vec<String>, i64)> {
    let script = Script::of(&format!("{TABLES}{query};"));
    let [first, second] = [(1, 1), (2, 2)].map(|(seed, parallelism)| folded(&script.run(seed, parallelism).unwrap().rows));
    assert_eq!(first, second);
    first
}

fn generator() -> Generator {
    Generator::new(Settings { events_per_second: 10, ..Settings::default() }).unwrap()
}

/// The values as the engine shows them; times have other forms there, so they are left out.
fn shown(event: &Event<'_>) -> Vec<String> {
    let text = |value: &Value<'_>| match value {
        Value::Number(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.to_string()),
        Value::Time(_) => None,
    };
    event.values.iter().filter_map(text).collect()
}

#[test]
fn the_views_of_nexmark_have_the_events_of_their_kind() {
    let generator = generator();
    for (kind, columns) in [
        (EventKind::Person, "id, name, emailAddress, creditCard, city, state, extra"),
        (EventKind::Auction, "id, itemName, description, initialBid, reserve, seller, category, extra"),
        (EventKind::Bid, "auction, bidder, price, channel, url, extra"),
    ] {
        let events = (0..EVENTS).map(|number| generator.event(number)).filter(|event| event.kind == kind);
        let expected: Vec<_> = events.map(|event| (RowKind::Insert, shown(&event))).collect();
        assert_eq!(rows(&format!("SELECT {columns} FROM {}", kind.name())), folded(&expected), "{}", kind.name());
    }
}

#[test]
fn the_event_time_of_nexmark_is_that_of_the_row_that_is_there() {
    // Ten events a second: 100 events in each window of ten seconds.
    let query = "SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE datagen, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
        GROUP BY window_start, window_end";
    let windows: Vec<_> = rows(query).into_iter().map(|(row, weight)| (row.join(" | "), weight)).collect();
    let expected = ["00", "10", "20", "30"].map(|second| (format!("2020-01-01 00:00:{second}.000 | 100"), 1));
    assert_eq!(windows, expected);
}
