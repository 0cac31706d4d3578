//! The demo's input data, which is part of the binary.

use std::fs::File;
use std::io;
use std::path::Path;

use flate2::read::GzDecoder;

const FILES: [(&str, &[u8]); 2] = [
    ("flights-0.csv", include_bytes!("../../../client/examples/data/flights-0.csv.gz")),
    ("flights-1.csv", include_bytes!("../../../client/examples/data/flights-1.csv.gz")),
];

/// Unpacks the files of flights into `directory`.
pub(super) fn unpack_flights(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (name, packed) in FILES {
        io::copy(&mut GzDecoder::new(packed), &mut File::create(directory.join(name))?)?;
    }
    Ok(())
}
