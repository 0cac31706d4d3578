//! A control group of version 1.

use std::io;
use std::path::{Path, PathBuf};

use weir_world::err_line;

use super::leftovers::PREFIX;

/// A control group directly below the top of a hierarchy. When it is dropped, its processes move to the top and it is removed.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    hierarchy: &'static str,
    place: PathBuf,
}

impl ControlGroup {
    pub(crate) fn create(hierarchy: &'static str, name: &str) -> io::Result<Self> {
        let place = Path::new(hierarchy).join(format!("{PREFIX}{}-{name}", std::process::id()));
        std::fs::create_dir(&place)?;
        Ok(Self { hierarchy, place })
    }

    /// The path of one of its files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    pub(crate) fn write(&self, file: &str, value: &str) -> io::Result<()> {
        std::fs::write(self.file(file), value)
    }

    /// A number: the whole content of a file, or what follows `key` on a line of the file. 0 if there is no such number.
    pub(crate) fn figure(&self, file: &str, key: Option<&str>) -> u64 {
        let text = std::fs::read_to_string(self.file(file)).unwrap_or_default();
        let found = match key {
            None => Some(text.as_str()),
            Some(key) => text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')),
        };
        found.and_then(|found| found.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let pids = std::fs::read_to_string(self.file("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines() {
            // The process may have ended meanwhile.
            let _ = std::fs::write(Path::new(self.hierarchy).join("cgroup.procs"), pid);
        }
        if let Err(error) = std::fs::remove_dir(&self.place) {
            err_line!("{} could not be removed: {error}", self.place.display());
        }
    }
}
