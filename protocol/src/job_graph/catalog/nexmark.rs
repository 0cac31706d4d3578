//! The options of `source.nexmark`.

use super::{OperatorRole, OperatorSpec, OptionType, POSITIVE, optional};

const PROPORTION: OptionType = OptionType::Integer(0, i32::MAX as i64);
const RATIO: OptionType = OptionType::Integer(1, i32::MAX as i64);
const BYTES: OptionType = OptionType::Integer(0, 512 << 10);

pub(super) const SOURCE: OperatorSpec = OperatorSpec {
    kind: "source.nexmark",
    role: OperatorRole::Source,
    inputs: 0,
    key_options: &[],
    options: &[
        optional(
            "columns",
            OptionType::Columns(false),
            "Some of event_type, person, auction and bid, in the order of the output; default all.",
        ),
        optional(
            "rows",
            OptionType::Integer(0, i64::MAX),
            "Total number of events; default unbounded. A restored job may have another number, but not fewer than it has generated.",
        ),
        optional("rows_per_second", POSITIVE, "Events per second of all subtasks together; default unlimited."),
        optional("seed", OptionType::Integer(0, i64::MAX), "Seed of the events; default 0."),
        optional("base_time_ms", OptionType::Integer(0, i64::MAX), "Event time of the first event; default 2020-01-01 00:00:00."),
        optional("events_per_second", RATIO, "Events per second of event time; default 10000."),
        optional("person_proportion", PROPORTION, "Number of persons among as many events as the proportions' sum; default 1."),
        optional("auction_proportion", PROPORTION, "Number of auctions among them; default 3."),
        optional("bid_proportion", PROPORTION, "Number of bids among them; default 46."),
        optional("person_bytes", BYTES, "Average size of a person in bytes; default 200."),
        optional("auction_bytes", BYTES, "Average size of an auction in bytes; default 500."),
        optional("bid_bytes", BYTES, "Average size of a bid in bytes; default 100."),
        optional("hot_sellers", RATIO, "One auction in so many is not by a hot seller; default 4."),
        optional("hot_auctions", RATIO, "One bid in so many is not for a hot auction; default 2."),
        optional("hot_bidders", RATIO, "One bid in so many is not by a hot bidder; default 4."),
    ],
    doc: "Generates the events of Nexmark's auction site; event i depends only on the options and i.",
};
