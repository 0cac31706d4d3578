//! The interactive shell, in a terminal that `script` (bsdutils) provides.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::cluster::{Cluster, until};

const PROMPT: &str = "weir sql> ";

/// A shell at work, and what its terminal has shown.
pub(crate) struct Shell {
    process: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
    /// How much of it was looked at.
    read: usize,
}

impl Shell {
    /// Starts the shell, and waits until it can be typed to.
    pub(crate) fn start(history: &Path, addresses: &str) -> Self {
        Self::start_with(history, addresses, "")
    }

    /// The same, with further arguments.
    pub(crate) fn start_with(history: &Path, addresses: &str, arguments: &str) -> Self {
        // Without `exec`, some shells (dash) stay as the parent, and Ctrl-C ends them.
        let command = format!("exec {} sql -m {addresses} --timeout '30 s' {arguments}", env!("CARGO_BIN_EXE_weir"));
        let mut process = Command::new("script")
            .args(["--quiet", "--return", "--echo", "never", "--command", &command, "/dev/null"])
            .env("WEIR_SQL_HISTORY", history)
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("script is installed");
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, seen) = (process.stdout.take().expect("its output"), shown.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                seen.lock().expect("the text").push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        let keys = process.stdin.take().expect("its input");
        let mut shell = Self { process, keys, shown, read: 0 };
        shell.expect(PROMPT);
        shell
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("it reads");
    }

    /// Waits until the terminal shows the text, after what was expected before.
    pub(crate) fn expect(&mut self, text: &str) {
        let (shown, read) = (self.shown.clone(), self.read);
        let place = || shown.lock().expect("the text")[read..].find(text);
        let found = until(&format!("{text:?} in what follows {:?}", self.text()), place);
        self.read += found + text.len();
    }

    /// Enters a statement of one line, and waits for this answer and the next prompt.
    pub(crate) fn enter(&mut self, statement: &str, answer: &str) {
        self.press(&format!("{statement}\r"));
        self.expect(answer);
        self.expect(PROMPT);
    }

    fn text(&self) -> String {
        self.shown.lock().expect("the text").clone()
    }

    /// Waits until it ends by itself. Returns its exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        until("its end", || self.process.try_wait().expect("it can be waited for")).code()
    }
}

#[test]
fn statements_span_lines_errors_do_not_end_the_shell_and_secrets_are_not_remembered() {
    let place = tempfile::tempdir().expect("a directory");
    let history = place.path().join("state/sql_history");
    let mut shell = Shell::start(&history, "127.0.0.1:1");
    shell.press("CREATE TABLE t (a INT)\r");
    shell.enter("WITH ('connector' = 'datagen');", "OK (");
    shell.enter("EXPLAIN SELECT b FROM t;", "SQL-NAME");
    shell.press("this is dropped\u{3}");
    shell.expect(PROMPT);
    shell.enter("SHOW TABLES;", "1 row in set (");
    shell.enter("SET 's3.secret-key' = 'hush';", "SQL-OPTION");
    // Tab completes the only name that fits.
    shell.enter("DESCRIB\tt;", "1 row in set (");
    shell.enter("help;", "STOP JOB 'id' WITH SAVEPOINT;");
    shell.press("quit;\r");
    assert_eq!(shell.end(), Some(0));

    let kept = std::fs::read_to_string(&history).expect("the history");
    assert!(kept.contains("CREATE TABLE t (a INT)\\nWITH") && kept.contains("\nSHOW TABLES;\n"), "{kept}");
    assert!(kept.contains("'s3.secret-key' = '******'") && !kept.contains("hush"), "{kept}");
    assert!(!kept.contains("dropped"), "{kept}");
    assert_eq!(std::fs::metadata(&history).expect("its mode").permissions().mode() & 0o777, 0o600);

    // The next shell recalls it: Up goes over quit, help and DESCRIBE to SET.
    let mut shell = Shell::start(&history, "127.0.0.1:1");
    shell.press("\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A");
    shell.expect("'******'");
    shell.press("\u{3}");
    shell.expect(PROMPT);
    shell.press("\u{4}");
    assert_eq!(shell.end(), Some(0), "Ctrl-D ends it");
}

#[test]
fn ctrl_c_stops_waiting_for_a_job_which_goes_on() {
    let cluster = Cluster::start(1);
    let history = cluster.place().join("history");
    let mut shell = Shell::start(&history, &cluster.addresses());
    shell.enter("CREATE TABLE n (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10');", "OK (");
    shell.enter("CREATE TABLE o (n BIGINT) WITH ('connector' = 'blackhole');", "OK (");
    shell.enter("SET 'table.dml-sync' = 'true';", "OK (");
    shell.press("INSERT INTO o SELECT n FROM n;\r");
    shell.expect("Job ID: ");
    shell.expect("the job is RUNNING");
    shell.press("\u{3}");
    shell.expect("Stopped waiting; job ");
    shell.expect(PROMPT);
    shell.enter("SHOW JOBS;", "RUNNING");
    shell.press("exit\r");
    assert_eq!(shell.end(), Some(0));
}
