//! Removes what a killed run left behind. The names contain the id of the process that owns them, and only those of dead
//! processes are removed.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_world::err_line;

use super::network;

/// Names of working directories and control groups begin with this. The id of the process that owns them follows.
pub const PREFIX: &str = "weir-chaos-";

/// Removes the namespaces, bridges, control groups, mounts, processes and working directories that dead runs left behind.
pub fn remove() {
    network::remove_leftovers();
    for group in [CPU_GROUPS, MEMORY_GROUPS].into_iter().flat_map(|place| dead(Path::new(place))) {
        // Its processes ended with their namespaces, or end with their directories.
        let _ = std::fs::remove_dir(group);
    }
    for directory in dead(&std::env::temp_dir()) {
        kill_users_of(&directory);
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for mount in mounts_below(&mounts, &directory) {
            if let Err(error) = network::run(Command::new("umount").arg("-l").arg(mount)) {
                err_line!("a mount could not be removed: {error}");
            }
        }
        if let Err(error) = std::fs::remove_dir_all(&directory) {
            err_line!("{} could not be removed: {error}", directory.display());
        }
    }
}

/// Directory of the control groups for processor time (version 1).
pub const CPU_GROUPS: &str = "/sys/fs/cgroup/cpu";

/// Directory of the control groups for memory (version 1).
pub const MEMORY_GROUPS: &str = "/sys/fs/cgroup/memory";

/// Creates a working directory with the id of this process in its name.
pub fn working_directory() -> std::io::Result<PathBuf> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir()?.keep())
}

/// The entries of a directory that belong to a process that is dead.
fn dead(place: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| owner(path).is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists())).collect()
}

/// The mounts below this directory, according to the kernel's list.
fn mounts_below<'a>(mounts: &'a str, directory: &Path) -> Vec<&'a Path> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    points.filter(|point| point.starts_with(directory)).collect()
}

fn owner(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Kills the processes whose command line contains the directory: servers that outlived the run.
fn kill_users_of(directory: &Path) {
    let named = directory.display().to_string();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&named) {
            // The process may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_directory_are_found() {
        let mounts = "proc /proc proc rw 0 0\nweir /tmp/weir-chaos-1-x/jm-1/raft fuse rw 0 0\n/dev/loop0 /tmp/weir-chaos-1-xy/a ext4 rw 0 0\n";
        assert_eq!(mounts_below(mounts, Path::new("/tmp/weir-chaos-1-x")), [Path::new("/tmp/weir-chaos-1-x/jm-1/raft")]);
    }

    #[test]
    fn only_what_belongs_to_a_dead_process_is_found() {
        let place = tempfile::tempdir().unwrap();
        // No process has an id this high (the kernel's limit is 2^22).
        let gone = place.path().join(format!("{PREFIX}99999999-x"));
        let ours = place.path().join(format!("{PREFIX}{}-x", std::process::id()));
        for path in [&gone, &ours, &place.path().join("weir-chaos"), &place.path().join("other-1-x")] {
            std::fs::create_dir(path).unwrap();
        }
        assert_eq!(dead(place.path()), [gone]);
    }
}
