//! The script of the tutorial, over its real data.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;

use super::cluster::Cluster;
use super::{rows, run};

/// The flights of the tutorial, ordered by their times.
fn flights() -> Vec<String> {
    let packed: [&[u8]; 2] = [
        include_bytes!("../../../client/examples/data/flights-0.csv.gz"),
        include_bytes!("../../../client/examples/data/flights-1.csv.gz"),
    ];
    let mut text = String::new();
    for file in packed {
        GzDecoder::new(file).read_to_string(&mut text).expect("flights");
    }
    let mut flights: Vec<_> = text.lines().filter(|line| !line.starts_with("scheduled")).map(str::to_owned).collect();
    flights.sort();
    flights
}

/// What the script should make of the flights: computed row by row.
fn expected(flights: &[String]) -> Vec<String> {
    let mut days: BTreeMap<(&str, &str), (u64, u64, i64, i64)> = BTreeMap::new();
    for flight in flights {
        let fields: Vec<_> = flight.split(',').collect();
        let (departures, cancelled, sum, worst) = days.entry((&fields[0][..10], fields[1])).or_insert((0, 0, 0, i64::MIN));
        match fields[5].parse::<i64>() {
            Ok(delay) => (*departures, *sum, *worst) = (*departures + 1, *sum + delay, delay.max(*worst)),
            Err(_) => *cancelled += 1,
        }
    }
    let row = |((day, origin), (departures, cancelled, sum, worst)): ((&str, &str), (u64, u64, i64, i64))| {
        let mean = (sum as f64 / departures as f64 * 10.0).round() / 10.0;
        format!("{day} 00:00:00,{origin},{departures},{cancelled},{mean:?},{worst}")
    };
    days.into_iter().map(row).collect()
}

#[test]
fn the_script_of_the_tutorial_computes_what_a_loop_over_the_rows_does() {
    let cluster = Cluster::start(1);
    let place = cluster.place();
    let flights = flights();
    std::fs::create_dir(place.join("flights")).expect("a directory");
    std::fs::write(place.join("flights/flights.csv"), flights.join("\n") + "\n").expect("a file");
    let script = include_str!("../../../docs/sql/examples/flights.sql");
    assert!(script.contains("/tmp/weir-tutorial"));
    let file = place.join("flights.sql");
    std::fs::write(&file, script.replace("/tmp/weir-tutorial", &place.display().to_string())).expect("a file");

    let ended = run(&["-m", &cluster.addresses(), "-f", &file.display().to_string()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let expected = expected(&flights);
    let found = rows(&place.join("daily"));
    let wrong: Vec<_> = found.iter().zip(&expected).filter(|(found, expected)| found != expected).take(5).collect();
    assert!(found.len() == expected.len() && wrong.is_empty(), "{} rows of {}: {wrong:?}", found.len(), expected.len());
    let is_late =
        |flight: &&String| flight.rsplit(',').next().is_some_and(|delay| delay.parse().is_ok_and(|delay: i64| delay > 600));
    assert_eq!(rows(&place.join("very-late")).len(), flights.iter().filter(is_late).count());
}
