//! A command of the operator that reaches a process: `ssh {host} sudo systemctl {action} weir-{role}`.

use std::fmt;
use std::io::{self, Read};
use std::process::{ChildStderr, Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::victim::{Action, Victim};

/// A command that takes longer than this is killed.
const PATIENCE: Duration = Duration::from_secs(30);
const PACE: Duration = Duration::from_millis(10);
/// How long the output of a failed command is waited for. What the command has started may keep it open for longer.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How much of a failed command's output is shown.
const SHOWN_BYTES: usize = 400;
/// In how many pieces it is read at most.
const PIECES: usize = 64;

/// The placeholders that are allowed in braces.
const PLACEHOLDERS: [&str; 6] = ["host", "name", "role", "action", "signal", "pid"];

/// A command with placeholders, run by `sh -c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTemplate(String);

impl FromStr for CommandTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = placeholders(text).find(|name| !PLACEHOLDERS.contains(name));
        match unknown {
            Some(name) => Err(format!("{{{name}}} is not one of {{{}}}", PLACEHOLDERS.join("}, {"))),
            None if text.trim().is_empty() => Err("the command is empty".to_owned()),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for CommandTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name))
}

impl CommandTemplate {
    /// The command for one process. The values of placeholders come from the cluster, so only plain words are inserted.
    pub(crate) fn fill(&self, action: Action, victim: &Victim) -> Result<String, String> {
        let mut text = self.0.clone();
        for name in PLACEHOLDERS {
            let mark = format!("{{{name}}}");
            if !text.contains(&mark) {
                continue;
            }
            let value = match name {
                "host" => victim.address.rsplit_once(':').map_or(victim.address.as_str(), |(host, _)| host).to_owned(),
                "name" => victim.name.clone(),
                "role" => victim.role.name().to_owned(),
                "action" => action.name().to_owned(),
                "signal" => action.signal().to_owned(),
                _ => victim.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            };
            let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:[]".contains(&byte));
            if !plain || (value.is_empty() && !(name == "signal" && action == Action::Start)) || value.starts_with('-') {
                return Err(format!(
                    "DRILL-COMMAND: {mark} of {} is {value:?}, which is not a plain word and is not inserted into a command",
                    victim.name
                ));
            }
            text = text.replace(&mark, &value);
        }
        Ok(text)
    }
}

/// Reads what a command says on its standard error, in a thread: a command that can't write would wait for ever. The receiver gets
/// the beginning.
fn listen(mut errors: ChildStderr) -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::sync_channel(PIECES);
    let read = move || {
        let mut piece = [0; SHOWN_BYTES];
        while let Ok(length @ 1..) = errors.read(&mut piece) {
            // This fails once the beginning was read. The rest is discarded.
            let _ = sender.try_send(piece[..length].to_vec());
        }
    };
    std::thread::Builder::new().name("drill-command".to_owned()).spawn(read)?;
    Ok(receiver)
}

/// What a command that has ended has said. Something that it has started may keep its standard error open, so its end is waited for
/// only for a while.
fn said(pieces: &mpsc::Receiver<Vec<u8>>) -> String {
    let until = Instant::now() + LAST_WORDS;
    let mut said = Vec::new();
    while said.len() < SHOWN_BYTES
        && let Ok(piece) = pieces.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        said.extend(piece);
    }
    String::from_utf8_lossy(&said[..said.len().min(SHOWN_BYTES)]).trim().to_owned()
}

/// Runs a command to its end. `Err` says for people how it failed. Blocks.
pub(crate) fn run(command: &str) -> Result<(), String> {
    let failed = |why: String| format!("DRILL-COMMAND: `{command}` {why}");
    let child =
        Command::new("sh").args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| failed(format!("can't be started: {error}")))?;
    let heard = child.stderr.take().map(listen).transpose().map_err(|error| failed(error.to_string()))?;
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                return Err(failed(format!("ended with {status}: {}", heard.as_ref().map(said).unwrap_or_default())));
            }
            Ok(None) if started.elapsed() > PATIENCE => {
                drop(child.kill());
                drop(child.wait());
                return Err(failed(format!("did not end within {} s and was killed", PATIENCE.as_secs())));
            }
            Ok(None) => std::thread::sleep(PACE),
            Err(error) => return Err(failed(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;
    use crate::victim::Role;

    fn victim(name: &str, pid: Option<u32>) -> Victim {
        Victim {
            role: Role::JobManager,
            name: name.to_owned(),
            process: name.to_owned(),
            address: "host1:8081".to_owned(),
            pid,
            agent_enabled: false,
        }
    }

    fn template(text: &str) -> CommandTemplate {
        text.parse().unwrap()
    }

    #[test]
    fn placeholders_are_filled_in() {
        let systemd = template("ssh {host} sudo systemctl {action} weir-{role}");
        assert_eq!(systemd.fill(Action::Kill, &victim("jm-1", None)).unwrap(), "ssh host1 sudo systemctl kill weir-jobmanager");
        let local = template("kill -{signal} {pid} # {name}");
        assert_eq!(local.fill(Action::Pause, &victim("jm-1", Some(7))).unwrap(), "kill -STOP 7 # jm-1");
        assert_eq!(template("x '{signal}'").fill(Action::Start, &victim("jm-1", None)).unwrap(), "x ''");
    }

    #[test]
    fn an_unknown_placeholder_is_refused_before_anything_runs() {
        for text in ["kill {pidd}", "{}", "", "  "] {
            assert!(text.parse::<CommandTemplate>().is_err(), "{text:?}");
        }
        assert!("awk '{ print $1 }'".parse::<CommandTemplate>().is_err(), "braces are for placeholders only");
    }

    #[test]
    fn only_plain_words_are_inserted_into_a_command() {
        for name in ["a b", "a;reboot", "$(reboot)", "-rf", "a'b", "a\nb"] {
            let refused = template("kill {name}").fill(Action::Kill, &victim(name, Some(1))).unwrap_err();
            assert!(refused.starts_with("DRILL-COMMAND"), "{refused}");
        }
        assert!(
            template("kill {pid}").fill(Action::Kill, &victim("jm-1", None)).is_err(),
            "an unknown process id is not inserted"
        );
    }

    #[test]
    fn a_command_that_fails_says_why() {
        assert_eq!(run("true"), Ok(()));
        let failed = run("echo no such host >&2; exit 3").unwrap_err();
        assert!(failed.contains("no such host") && failed.contains('3'), "{failed}");
    }

    #[test]
    fn a_command_is_waited_for_but_not_what_it_started_or_what_it_says() {
        let failed = run("sleep 1000 & echo $! >&2; exit 3").unwrap_err();
        assert!(failed.contains("ended with exit status: 3"), "{failed}");
        let left = failed.rsplit(' ').next().and_then(|word| word.trim_end_matches('`').parse().ok()).expect("a process id");
        kill(Pid::from_raw(left), Signal::SIGKILL).expect("it still runs");
        let failed = run("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 3").unwrap_err();
        assert!(failed.contains("xxx") && failed.len() < 1_000, "{failed}");
    }
}
