//! What a JobManager or TaskManager checks and says when it starts.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use weir_servers::{ReservedPort, S3Server, free_port, installed};

/// What makes permissions mean nothing to root.
const ABOVE_PERMISSIONS: &str = "-dac_override,-dac_read_search";

/// Runs a role that must fail, with these settings, and without root's power over permissions if the test runs as root. Another
/// user might not reach the executable: build directories are often below root's home.
fn refused(role: &str, settings: &[String]) -> (Option<i32>, String) {
    let weir = env!("CARGO_BIN_EXE_weir");
    let mut command = if std::fs::metadata("/proc/self").expect("/proc").uid() == 0 {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", ABOVE_PERMISSIONS, "--inh-caps", ABOVE_PERMISSIONS, weir]);
        command
    } else {
        Command::new(weir)
    };
    command.arg(role).args(settings.iter().flat_map(|setting| ["-D", setting])).stdin(Stdio::null());
    let Output { status, stderr, .. } = command.output().expect("it runs");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// A directory that every user may write to, and the settings of a JobManager in it.
fn jobmanager(place: &Path) -> Vec<String> {
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o777)).expect("its mode");
    let place = place.display();
    vec![
        format!("high-availability.storageDir={place}/ha"),
        format!("execution.checkpointing.dir={place}/checkpoints"),
        "rest.port=0".to_owned(),
        "jobmanager.rpc.port=0".to_owned(),
    ]
}

#[test]
fn a_storage_directory_without_permission_is_refused_at_the_start() {
    let place = tempfile::tempdir().expect("a directory");
    let settings = jobmanager(place.path());
    let checkpoints = place.path().join("checkpoints");
    std::fs::create_dir(&checkpoints).expect("a directory");
    std::fs::set_permissions(&checkpoints, std::fs::Permissions::from_mode(0o555)).expect("its mode");
    let task_manager = [settings[1].clone(), "taskmanager.data.port=0".to_owned(), "taskmanager.http.port=0".to_owned()];
    for (role, settings) in [("jobmanager", settings.as_slice()), ("taskmanager", &task_manager)] {
        let (code, errors) = refused(role, settings);
        assert_eq!(code, Some(1), "{errors}");
        for part in ["STORAGE-UNUSABLE", "Permission denied", "execution.checkpointing.dir", "choose another directory"] {
            assert!(errors.contains(part), "{part:?} is not in {errors}");
        }
    }
}

#[test]
fn a_raft_directory_without_permission_is_not_called_damaged() {
    let place = tempfile::tempdir().expect("a directory");
    let mut settings = jobmanager(place.path());
    let raft = place.path().join("raft");
    std::fs::create_dir(&raft).expect("a directory");
    settings.extend([
        "high-availability.type=raft".to_owned(),
        format!("high-availability.raft.members=jm-1@127.0.0.1:{}", free_port().expect("a port")),
        format!("high-availability.raft.dir={}", raft.display()),
    ]);
    // First the directory, then a file in it.
    std::fs::set_permissions(&raft, std::fs::Permissions::from_mode(0o555)).expect("its mode");
    let (code, errors) = refused("jobmanager", &settings);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("HA-RAFT-DIRECTORY") && errors.contains("ermission denied"), "{errors}");
    assert!(errors.contains("chown") && !errors.contains("move"), "{errors}");

    std::fs::set_permissions(&raft, std::fs::Permissions::from_mode(0o777)).expect("its mode");
    let file = raft.join("vote");
    std::fs::write(&file, "").expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).expect("its mode");
    let (_, errors) = refused("jobmanager", &settings);
    assert!(errors.contains("HA-RAFT-DIRECTORY") && errors.contains("raft/vote"), "{errors}");
}

#[test]
fn in_json_every_line_is_an_object_and_the_reason_of_a_failed_start_is_one_of_them() {
    let place = tempfile::tempdir().expect("a directory");
    let mut settings = jobmanager(place.path());
    std::fs::write(place.path().join("ha"), "no directory").expect("a file");
    settings.push("log.format=json".to_owned());
    let (code, errors) = refused("jobmanager", &settings);
    assert_eq!(code, Some(1), "{errors}");
    let lines: Vec<Value> = errors.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let last = lines.last().expect("a line");
    assert_eq!(last["level"], "ERROR");
    assert!(last["message"].as_str().is_some_and(|message| message.contains("STORAGE-UNUSABLE")), "{last}");
}

#[test]
fn a_task_manager_that_finds_no_jobmanager_says_which_it_tried_and_why_that_failed() {
    let address = format!("127.0.0.1:{}", free_port().expect("a port"));
    let settings = [
        format!("jobmanager.rpc.addresses={address}"),
        "taskmanager.data.port=0".to_owned(),
        "taskmanager.http.port=0".to_owned(),
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["taskmanager", "--exit-with-parent"]).args(settings.iter().flat_map(|setting| ["-D", setting]));
    let mut process = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let log = BufReader::new(process.stderr.take().expect("its log"));
    let line = log
        .lines()
        .map(|line| line.expect("text"))
        .find(|line| line.contains("found no leading JobManager"))
        .expect("it says so");
    assert!(line.contains(" WARN ") && line.contains(&address) && line.contains("onnection refused"), "{line}");
    drop(process.stdin.take());
    process.wait().expect("it ends");
}

#[test]
fn the_version_names_the_commit() {
    let output = Command::new(env!("CARGO_BIN_EXE_weir")).arg("--version").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let commit =
        text.trim().strip_prefix(concat!("weir ", env!("CARGO_PKG_VERSION"), " (commit ")).and_then(|it| it.strip_suffix(')'));
    let is_commit = |text: &str| text == "unknown" || (text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(commit.is_some_and(is_commit), "{text}");
}

const BUCKET: &str = "weir-test";

/// The settings of a JobManager with local coordination files and its checkpoints in this bucket of a server.
fn jobmanager_on_s3(place: &Path, server: SocketAddr, bucket: &str) -> Vec<String> {
    let mut settings = jobmanager(place);
    settings.retain(|setting| !setting.starts_with("execution.checkpointing.dir"));
    settings.extend([
        format!("execution.checkpointing.dir=s3://{bucket}/checkpoints"),
        format!("s3.endpoint=http://{server}"),
        "s3.path.style.access=true".to_owned(),
        "s3.access-key=test".to_owned(),
        "s3.secret-key=test".to_owned(),
    ]);
    settings
}

/// Starts a JobManager, reads its log up to the line that says that it has started, and stops it. Returns what it logged.
fn started(settings: &[String]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["jobmanager", "--exit-with-parent"]).args(settings.iter().flat_map(|setting| ["-D", setting]));
    let mut process = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = Vec::new();
    for line in BufReader::new(process.stderr.take().expect("its log")).lines() {
        lines.push(line.expect("text"));
        if lines.last().is_some_and(|line| line.contains("JobManager started")) {
            break;
        }
    }
    drop(process.stdin.take());
    process.wait().expect("it ends");
    lines
}

#[test]
fn checkpoints_in_s3_are_checked_at_the_start() {
    let place = tempfile::tempdir().expect("a directory");
    let server = S3Server::moto(&installed("moto_server"), place.path(), BUCKET).expect("moto starts");

    let (code, errors) = refused("jobmanager", &jobmanager_on_s3(place.path(), server.address(), "no-such-bucket"));
    assert_eq!(code, Some(1), "{errors}");
    for part in ["STORAGE-UNUSABLE", "s3://no-such-bucket", "execution.checkpointing.dir", "Check that the bucket exists"] {
        assert!(errors.contains(part), "{part:?} is not in {errors}");
    }

    let lines = started(&jobmanager_on_s3(place.path(), server.address(), BUCKET));
    assert!(lines.last().is_some_and(|line| line.contains("JobManager started")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("STORAGE-")), "{lines:#?}");
}

/// A server that is down may come back, so the JobManager starts, but says at once what it can't reach and which setting names it.
#[test]
fn an_s3_server_that_is_down_is_named_at_the_start() {
    let place = tempfile::tempdir().expect("a directory");
    let reserved = ReservedPort::take().expect("a port");
    let unused = SocketAddr::from(([127, 0, 0, 1], reserved.number()));
    let lines = started(&jobmanager_on_s3(place.path(), unused, BUCKET));
    assert!(lines.last().is_some_and(|line| line.contains("JobManager started")), "{lines:#?}");
    let warning = lines.iter().find(|line| line.contains("STORAGE-UNAVAILABLE")).unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(warning.contains(" WARN ") && warning.contains("execution.checkpointing.dir"), "{warning}");
}
