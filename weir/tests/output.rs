//! What a command does when its output can't be written.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

fn weir(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_command_whose_reader_has_gone_ends_quietly() {
    for arguments in [["config"].as_slice(), &["job", "operators"], &["drill", "list"], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = weir(arguments).stdout(writer).output().expect("the command runs");
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), errors.as_ref()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn output_that_is_incomplete_for_another_reason_is_an_error() {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("a device without space");
    let ended = weir(&["config"]).stdout(full).output().expect("the command runs");
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{errors}");
    assert!(errors.contains("the output is incomplete") && errors.contains("No space left"), "{errors}");
}

#[test]
fn an_error_without_a_reader_keeps_its_exit_code() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = weir(&["config", "-D", "no.such.key=1"]).stderr(writer).output().expect("the command runs");
    assert_eq!(ended.status.code(), Some(2));
}

#[test]
fn a_jobmanager_continues_when_the_reader_of_its_log_has_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = directory.path().display();
    let settings = [
        format!("high-availability.storageDir={files}/ha"),
        format!("execution.checkpointing.dir={files}/checkpoints"),
        "rest.port=0".to_owned(),
        "jobmanager.rpc.port=0".to_owned(),
    ];
    let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["-D", setting]).collect();
    let mut command = weir(&[&["jobmanager", "--exit-with-parent", "--log", "trace"], arguments.as_slice()].concat());
    let mut process = command.stdin(Stdio::piped()).spawn().expect("the JobManager starts");
    let mut log = BufReader::new(process.stderr.take().expect("its log"));
    let mut line = String::new();
    while !line.contains("granted") && !line.contains("leads") {
        line.clear();
        assert!(log.read_line(&mut line).expect("its log is readable") > 0, "it ends by itself");
    }
    drop(log);
    // It logs more when it is asked to stop. Its end in order shows that it has outlived that.
    drop(process.stdin.take());
    let status = process.wait().expect("it ends");
    assert_eq!(status.code(), Some(0), "{status}");
    let mut rest = String::new();
    process.stdout.take().expect("its output").read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "");
}
