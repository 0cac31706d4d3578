//! Writes the events of Nexmark as CSV files without headers: DIR/person, DIR/auction and DIR/bid. Each has so many files, and each
//! file holds a stretch of the time, so that a reader of several files in the order of their names sees time advance.
//!
//! Run with `cargo run --release -p weir-connectors --example nexmark_files -- DIR EVENTS FILES [SEED [BASE_TIME_MS [RATE]]]`.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use weir_connectors::nexmark::{EventKind, Generator, Settings};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(directory), Some(events), Some(files)) = (arguments.first(), arguments.get(1), arguments.get(2)) else {
        return Err("arguments: DIR EVENTS FILES [SEED [BASE_TIME_MS [RATE]]]".into());
    };
    let (events, files): (u64, u64) = (events.parse()?, files.parse()?);
    let mut settings = Settings::default();
    if let Some(seed) = arguments.get(3) {
        settings.seed = seed.parse()?;
    }
    if let Some(base_time_ms) = arguments.get(4) {
        settings.base_time_ms = base_time_ms.parse()?;
    }
    if let Some(rate) = arguments.get(5) {
        settings.events_per_second = rate.parse()?;
    }
    let generator = Generator::new(settings)?;
    for kind in EventKind::ALL {
        std::fs::create_dir_all(Path::new(directory).join(kind.name()))?;
    }
    let mut line = Vec::new();
    for file in 0..files {
        let create = |kind: EventKind| -> Result<_, std::io::Error> {
            let name = format!("{}-{file:03}.csv", kind.name());
            Ok(BufWriter::with_capacity(1 << 20, File::create(Path::new(directory).join(kind.name()).join(name))?))
        };
        let [person, auction, bid] = EventKind::ALL;
        let mut writers = [create(person)?, create(auction)?, create(bid)?];
        for number in events * file / files..events * (file + 1) / files {
            let event = generator.event(number);
            line.clear();
            event.append_csv(&mut line);
            writers[event.kind as usize].write_all(&line)?;
        }
        for writer in &mut writers {
            writer.flush()?;
        }
    }
    Ok(())
}
