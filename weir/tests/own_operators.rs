//! The example's binary is used as a user would: it is the cluster, and its client.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use weir_local::{LocalCluster, LocalClusterOptions};

/// The example, which is built with the tests.
fn example() -> PathBuf {
    let here = std::env::current_exe().expect("this program's path");
    let found = here.ancestors().map(|directory| directory.join("examples/own_operators")).find(|path| path.is_file());
    found.expect("the example is built: `cargo build -p weir --examples`")
}

/// Submits the example's job with this `end`, and waits for it.
fn submit(program: &Path, cluster: &LocalCluster, output: &Path, end: &str) -> Output {
    let graph = include_str!("../examples/own_operators.json");
    let graph = graph.replace("/tmp/squares", output.to_str().expect("UTF-8")).replace("1000}}", &format!("{end}}}}}"));
    let file = cluster.directory().join("graph.json");
    std::fs::write(&file, graph).expect("a file");
    let addresses = cluster.rest_addresses().join(",");
    let mut command = Command::new(program);
    command.args(["job", "submit", file.to_str().expect("UTF-8"), "--wait", "--timeout", "120 s", "-m", &addresses]);
    command.output().expect("it runs")
}

#[test]
fn a_source_and_an_operator_of_a_users_binary_run_on_a_cluster_of_that_binary() {
    let place = tempfile::tempdir().expect("a directory");
    let options = LocalClusterOptions {
        binary: example(),
        jobmanagers: 1,
        taskmanagers: 1,
        ..LocalClusterOptions::under(place.path()).expect("options")
    };
    let cluster = LocalCluster::start(options).expect("it starts");
    let output = place.path().join("squares");
    let ended = submit(&example(), &cluster, &output, "1000");
    assert!(ended.status.success(), "{ended:?}");
    let parts = std::fs::read_dir(&output).expect("a directory").map(|entry| entry.expect("a name").path());
    let visible = parts.filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    let text: String = visible.map(|path| std::fs::read_to_string(path).expect("a file")).collect();
    let mut rows: Vec<_> = text.lines().map(str::to_owned).collect();
    let mut expected: Vec<_> = (0..1_000).map(|number: i64| format!("{number},{}", number * number)).collect();
    rows.sort();
    expected.sort();
    assert_eq!(rows, expected);

    // Errors of the operators' options are told before anything is submitted.
    let refused = submit(&example(), &cluster, &output, "\"many\"");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("X-OPTION"), "{said}");
    // The shipped binary does not know the kinds.
    let refused = submit(Path::new(env!("CARGO_BIN_EXE_weir")), &cluster, &output, "1000");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("OP-UNKNOWN"), "{said}");
}
