//! Tells the compiler from which commit the program is built, for `weir --version`.

use std::path::Path;
use std::process::Command;

/// What is shown if there is no repository, as in an archive of the sources.
const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Each commit and each checkout appends a line to this log. Without it, the files that HEAD consists of are watched instead.
    let watched = ["logs/HEAD", "HEAD", "packed-refs"].map(str::to_owned).into_iter();
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in watched.chain(branch) {
        // Cargo would run this program at every build if a watched file did not exist.
        if let Some(path) = git(&["rev-parse", "--git-path", &name]).filter(|path| Path::new(path).is_file()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| UNKNOWN.to_owned());
    println!("cargo::rustc-env=WEIR_COMMIT={commit}");
}

/// What git prints; `None` if there is no git or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
