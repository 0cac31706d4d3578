//! Queries whose rows come back.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

use weir_protocol::job_status::JobStatus;

use super::cluster::{Cluster, PATIENCE, until};
use super::shell::Shell;
use super::{run, weir_sql};

/// A table of products with amounts, in files below a directory.
fn orders(place: &Path) -> String {
    std::fs::create_dir(place.join("orders")).expect("a directory");
    std::fs::write(place.join("orders/a.csv"), "apple,5\npear,7\napple,1\n,3\npear,\n").expect("a file");
    let place = place.display();
    format!(
        "CREATE TABLE orders (product STRING, amount BIGINT)
            WITH ('connector' = 'filesystem', 'path' = '{place}/orders', 'format' = 'csv', 'csv.null-literal' = '');"
    )
}

/// Numbers from 0 on, as many and as fast as wanted.
fn numbers(count: u64, per_second: u64) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{per_second}',
            'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{}');",
        count - 1
    )
}

/// How many directories of query results there are.
fn results(cluster: &Cluster) -> usize {
    let directories = walk(cluster.place());
    directories.iter().filter(|path| path.parent().is_some_and(|parent| parent.ends_with("query-results"))).count()
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(walk(&entry.path()));
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn rows_come_back_in_every_format_and_the_cluster_forgets_them() {
    let cluster = Cluster::start(1);
    let (tables, addresses) = (orders(cluster.place()), cluster.addresses());
    let answer = |format: &str, query: &str| {
        let ended = run(&["-m", &addresses, "-o", format, "-e", &format!("{tables} {query}")]);
        assert_eq!(ended.code, Some(0), "{query}: {ended:?}");
        ended.out
    };
    let rows = answer("csv", "SELECT product, amount * 2 AS twice FROM orders WHERE amount > 1;");
    let mut lines: Vec<_> = rows.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(lines, ["product,twice", ",6", "apple,10", "pear,14"]);

    let file = "CREATE TABLE f (`file.size` INT METADATA VIRTUAL, n STRING METADATA FROM 'file.name') LIKE orders;";
    assert_eq!(answer("csv", &format!("{file} SELECT DISTINCT n, `file.size` FROM f;")), "n,file.size\na.csv,32\n");

    // The table that the changes add up to, and the changes.
    let sums = "SELECT product, SUM(amount) AS total FROM orders WHERE product IS NOT NULL GROUP BY product;";
    let rows = answer("json", sums);
    let mut lines: Vec<_> = rows.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [r#"{"product":"apple","total":6}"#, r#"{"product":"pear","total":7}"#]);
    let changes = answer("csv", &format!("SET 'sql-client.execution.result-mode' = 'changelog'; {sums}"));
    let apples: Vec<_> = changes.lines().filter(|line| line.contains("apple")).collect();
    assert_eq!(changes.lines().next(), Some("op,product,total"));
    assert!(apples.ends_with(&["+U,apple,6"]) || apples == ["+I,apple,6"], "{apples:?}");

    let table = answer("table", "SELECT COUNT(*) AS c FROM orders;");
    assert_eq!(table.lines().take(5).collect::<Vec<_>>(), ["+---+", "| c |", "+---+", "| 5 |", "+---+"]);
    assert!(table.contains("1 row in set"), "{table}");
    assert!(answer("table", "SELECT * FROM orders WHERE amount > 100;").contains("Empty set"));
    assert_eq!(answer("csv", "SELECT * FROM orders WHERE amount > 100;"), "product,amount\n");
    assert_eq!(answer("csv", "SELECT 1 AS a, TIMESTAMP '2024-01-01 10:00:00.5' AS t;"), "a,t\n1,2024-01-01 10:00:00.5\n");
    until("no rows are kept", || (results(&cluster) == 0).then_some(()));

    // A query that fails says why.
    let fails = format!("{tables} SET 'restart-strategy.type' = 'none'; SELECT CAST(product AS INT) FROM orders;");
    let ended = run(&["-m", &addresses, "-e", &fails]);
    assert!(ended.code == Some(1) && ended.err.contains("apple") && ended.err.contains("FAILED"), "{ended:?}");
    until("no rows are kept", || (results(&cluster) == 0).then_some(()));
}

#[test]
fn a_query_gives_every_row_once_though_its_leader_and_its_worker_die() {
    let mut cluster = Cluster::start(3);
    let addresses = cluster.addresses();
    let (count, per_second) = (3_000, 500);
    let script = format!(
        "{} SET 'parallelism.default' = '2'; SET 'sql.select.checkpoint-interval' = '200 ms';
         SET 'restart-strategy.type' = 'fixed-delay'; SET 'restart-strategy.fixed-delay.attempts' = '100';
         SET 'restart-strategy.fixed-delay.delay' = '10 ms'; SELECT n FROM numbers;",
        numbers(count, per_second)
    );
    let mut shell = weir_sql(&["-m", &addresses, "-o", "csv", "--timeout", "60 s", "-e", &script]).spawn().expect("it starts");
    let mut lines = BufReader::new(shell.stdout.take().expect("its output")).lines();
    let mut seen: Vec<String> = lines.by_ref().take(200).map(|line| line.expect("a line")).collect();
    let leader = cluster.leader();
    cluster.processes.kill(&leader).expect("it is killed");
    seen.extend(lines.by_ref().take(400).map(|line| line.expect("a line")));
    assert_ne!(cluster.leader(), leader, "another leads");
    let job = cluster.runtime.block_on(cluster.client.list(PATIENCE)).expect("the jobs").jobs[0].jid;
    let describe = || cluster.runtime.block_on(cluster.client.describe(job, PATIENCE)).expect("the query's job");
    until("it runs under the new leader", || (describe().status == JobStatus::Running).then_some(()));
    let before = describe().restarts;
    cluster.processes.restart("tm-1").expect("it starts again");
    until("the query restarts", || {
        let job = cluster.runtime.block_on(cluster.client.describe(job, PATIENCE)).expect("the query's job");
        (job.restarts > before).then_some(())
    });
    seen.extend(lines.map(|line| line.expect("a line")));
    let mut said = String::new();
    shell.stderr.take().expect("its messages").read_to_string(&mut said).expect("text");
    assert!(shell.wait().expect("its end").success(), "{said}");
    assert_eq!(seen.remove(0), "n");
    let mut numbers: Vec<u64> = seen.iter().map(|line| line.parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
}

#[test]
fn a_query_goes_on_though_leadership_moves_while_the_client_waits_for_rows() {
    let cluster = Cluster::start(3);
    let addresses = cluster.addresses();
    let script = format!("{} SELECT n FROM numbers;", numbers(60, 5));
    let shell = weir_sql(&["-m", &addresses, "-o", "csv", "--timeout", "60 s", "-e", &script]).spawn().expect("it starts");
    until("the query runs", || {
        let jobs = cluster.runtime.block_on(cluster.client.list(PATIENCE)).expect("the jobs").jobs;
        jobs.first().filter(|job| job.state == JobStatus::Running).map(|_| ())
    });
    for _ in 0..4 {
        let former = cluster.leader();
        cluster.runtime.block_on(cluster.client.ha_transfer(None, PATIENCE)).expect("leadership moves");
        until("another leads", || (cluster.leader() != former).then_some(()));
    }
    let ended = shell.wait_with_output().expect("its end");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let printed = String::from_utf8(ended.stdout).expect("text");
    assert_eq!(printed.lines().count(), 61, "{printed}");
}

#[test]
fn a_query_that_nobody_reads_is_closed_and_its_rows_go() {
    let cluster = Cluster::start_with(1, &["sql.results.idle-timeout=10 s"]);
    let script = format!("{} SELECT n FROM numbers;", numbers(1_000_000, 1_000));
    let mut shell = weir_sql(&["-m", &cluster.addresses(), "-o", "csv", "-e", &script]).spawn().expect("it starts");
    let mut lines = BufReader::new(shell.stdout.take().expect("its output")).lines();
    assert_eq!(lines.by_ref().take(10).map(|line| line.expect("a line")).last().as_deref(), Some("8"));
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &shell.id().to_string()]).status().expect("kill").success());
    signal("-STOP");
    let job = cluster.runtime.block_on(cluster.client.list(PATIENCE)).expect("the jobs").jobs[0].jid;
    until("the query is canceled", || {
        let job = cluster.runtime.block_on(cluster.client.describe(job, PATIENCE)).expect("the query's job");
        (job.status == JobStatus::Canceled).then_some(())
    });
    until("no rows are kept", || (results(&cluster) == 0).then_some(()));
    signal("-CONT");
    // What was committed before it stopped reading may still come. Then it says why no more does.
    lines.for_each(drop);
    let mut said = String::new();
    shell.stderr.take().expect("its messages").read_to_string(&mut said).expect("text");
    assert!(!shell.wait().expect("its end").success() && said.contains("CANCELED"), "{said}");
}

#[test]
fn a_table_is_refreshed_in_place_until_ctrl_c_ends_the_query() {
    let cluster = Cluster::start(1);
    let mut shell = Shell::start(&cluster.place().join("history"), &cluster.addresses());
    for statement in numbers(1_000_000, 100).lines() {
        shell.press(&format!("{statement}\r"));
    }
    shell.expect("OK (");
    shell.press("SELECT COUNT(*) AS numbers FROM numbers;\r");
    shell.expect("| numbers |");
    // Up over the table and the border, and all below is cleared.
    shell.expect("\u{1b}[5A\r\u{1b}[J");
    shell.expect("Ctrl-C ends the query");
    shell.press("\u{3}");
    shell.expect("stopped the query; 1 row in set");
    shell.enter("SHOW JOBS;", "CANCEL");
    // Rows that only come are never taken back from the screen.
    shell.press("SELECT n FROM numbers;\r");
    shell.expect("|                    0 |");
    shell.expect("|                  100 |");
    shell.press("\u{3}");
    shell.expect("stopped the query; ");
    shell.press("exit\r");
    assert_eq!(shell.end(), Some(0));
    until("no rows are kept", || (results(&cluster) == 0).then_some(()));
}
