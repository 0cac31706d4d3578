//! Where programs keep files of their user (the XDG base directory specification).

use std::path::PathBuf;

/// The directory of what Weir's commands remember between runs, which need not exist yet: `weir` in XDG_STATE_HOME, or else in
/// ~/.local/state. `None` if the user has no home directory.
pub fn state() -> Option<PathBuf> {
    // The specification demands that relative paths are ignored.
    let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("weir"))
}
