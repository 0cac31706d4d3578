//! The interactive shell, in a terminal that `script` (bsdutils) provides.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Run;

/// Runs the shell in a terminal of its own and types the input. Control characters have the meaning of keys.
fn shell(history: &Path, input: &str) -> Run {
    let command = format!("{} sql -m 127.0.0.1:1 --timeout '200 ms'", env!("CARGO_BIN_EXE_weir"));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--echo", "never", "--command", &command, "/dev/null"])
        .env("WEIR_SQL_HISTORY", history)
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script is installed");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends").into()
}

#[test]
fn statements_span_lines_errors_do_not_end_the_shell_and_secrets_are_not_remembered() {
    let place = tempfile::tempdir().expect("a directory");
    let history = place.path().join("state/sql_history");
    let ended = shell(
        &history,
        "CREATE TABLE t (a INT)\rWITH ('connector' = 'datagen', 'x.password' = 'hush');\r\
         CREATE TABLE t (a INT)\r  WITH ('connector' = 'datagen');\r\
         SELECT b FROM t;\rdropped by Ctrl-C\u{3}SHOW TABLES;\rINSERT INTO t SELECT 1;\rhelp;\rquit;\rSHOW DATABASES;\r",
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("SQL-NAME") && ended.out.contains("1 row in set"), "{}", ended.out);
    assert!(ended.out.contains("STOP JOB 'id' WITH SAVEPOINT;"), "{}", ended.out);
    assert!(!ended.out.contains("default_database |"), "nothing runs after quit: {}", ended.out);
    let kept = std::fs::read_to_string(&history).expect("the history");
    assert!(kept.contains("CREATE TABLE t (a INT)\\n") && kept.contains("SHOW TABLES;"), "{kept}");
    assert!(kept.contains("'x.password' = '******'") && !kept.contains("hush"), "{kept}");
    assert!(!kept.contains("dropped"), "{kept}");
    assert_eq!(std::fs::metadata(&history).expect("its mode").permissions().mode() & 0o777, 0o600);
}

#[test]
fn ctrl_d_ends_the_shell() {
    let place = tempfile::tempdir().expect("a directory");
    let ended = shell(&place.path().join("history"), "SHOW DATABASES;\r\u{4}");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("default_database"), "{}", ended.out);
}
