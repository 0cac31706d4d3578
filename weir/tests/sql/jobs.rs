//! Jobs that scripts submit to a real cluster.

use std::io::{BufRead, BufReader};
use std::path::Path;

use super::cluster::{Cluster, PATIENCE, until};
use super::{rows, run, run_with, weir_sql};

/// Tables of orders that are read and of sums that are written, below a directory.
fn tables(place: &Path) -> String {
    let place = place.display();
    format!(
        "CREATE TABLE orders (id BIGINT, product STRING, amount BIGINT, ts TIMESTAMP(3),
            WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
            WITH ('connector' = 'filesystem', 'path' = '{place}/orders', 'format' = 'csv');
         CREATE TABLE sums (window_start TIMESTAMP(3), product STRING, orders BIGINT, amount BIGINT)
            WITH ('connector' = 'filesystem', 'path' = '{place}/sums', 'format' = 'csv');
         CREATE TABLE large WITH ('connector' = 'filesystem', 'path' = '{place}/large', 'format' = 'json') LIKE orders
            (EXCLUDING OPTIONS EXCLUDING WATERMARKS);"
    )
}

fn write_orders(place: &Path) {
    std::fs::create_dir(place.join("orders")).expect("a directory");
    let orders = "1,apple,5,2024-01-01 10:00:00\n2,pear,7,2024-01-01 10:00:01\n3,apple,1,2024-01-01 10:00:59.999\n\
                  4,apple,100,2024-01-01 10:01:00\n";
    std::fs::write(place.join("orders/a.csv"), orders).expect("a file");
}

const SUMS: &str = "INSERT INTO sums SELECT window_start, product, COUNT(*), SUM(amount)
    FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, product;";

#[test]
fn a_script_reads_files_and_writes_files_and_its_jobs_can_be_listed() {
    let cluster = Cluster::start(1);
    let (place, addresses) = (cluster.place(), cluster.addresses());
    write_orders(place);
    let script = format!(
        "{} SET 'table.dml-sync' = 'true';
         EXECUTE STATEMENT SET BEGIN {SUMS} INSERT INTO large SELECT * FROM orders WHERE amount > 50; END;",
        tables(place)
    );
    let ended = run_with(&["-f", "-", "-m", &addresses], &script);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let expected = ["2024-01-01 10:00:00,apple,2,6", "2024-01-01 10:00:00,pear,1,7", "2024-01-01 10:01:00,apple,1,100"];
    assert_eq!(rows(&place.join("sums")), expected, "{ended:?}");
    assert_eq!(rows(&place.join("large")).len(), 1);
    assert!(ended.err.contains("is FINISHED after"), "{ended:?}");

    let submitted = ended.out.lines().find_map(|line| line.strip_prefix("Job ID: ")).expect("the job's id").to_owned();
    let listed = run(&["-m", &addresses, "-e", "SHOW JOBS", "-o", "csv"]);
    let name = "\"insert-into_default_catalog.default_database.sums,default_catalog.default_database.large\"";
    assert!(listed.out.contains(&format!("\n{submitted},{name},FINISHED,")), "{listed:?}");
    let described = run(&["-m", &addresses, "-e", &format!("DESCRIBE JOB '{submitted}'"), "-o", "csv"]);
    assert_eq!(described.out, listed.out);
    let unknown = run(&["-m", &addresses, "-e", "DESCRIBE JOB '0000000000000000000000000000000a'"]);
    assert_eq!(unknown.code, Some(3), "{unknown:?}");

    // A job that fails fails the script, with its cause; what was submitted before goes on.
    std::fs::write(place.join("orders/b.csv"), "5,apple,many,2024-01-01 10:00:00\n").expect("a file");
    let script =
        format!("{} SET 'table.dml-sync' = 'true'; SET 'restart-strategy.type' = 'none'; {SUMS} SHOW TABLES;", tables(place));
    let ended = run_with(&["-m", &addresses], &script);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("is FAILED") && ended.err.contains("many") && ended.err.contains("submitted before"), "{ended:?}");
    assert!(!ended.out.contains("table name"), "{ended:?}");

    // A job without end: INSERT does not wait, and STOP JOB ends it.
    let endless = "CREATE TABLE n (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10');
         CREATE TABLE o (n BIGINT) WITH ('connector' = 'blackhole');
         SET 'execution.checkpointing.interval' = '100 ms'; INSERT INTO o SELECT n FROM n;";
    let ended = run(&["-m", &addresses, "-o", "json", "-e", endless]);
    let answer: serde_json::Value = serde_json::from_str(ended.out.trim()).expect("one line of JSON");
    let job = answer["job id"].as_str().expect("the job's id").to_owned();
    let states = || run(&["-m", &addresses, "-o", "csv", "-e", &format!("DESCRIBE JOB '{job}'")]).out;
    until("the job runs", || states().contains(",RUNNING,").then_some(()));
    let stop = format!("STOP JOB '{job}' WITH SAVEPOINT");
    let stopped = run(&["-m", &addresses, "-o", "csv", "-e", &stop]);
    assert_eq!((stopped.code, stopped.out.lines().next()), (Some(0), Some("savepoint path")), "{stopped:?}");
    assert!(states().contains(",FINISHED,"), "{}", states());
}

#[test]
fn waiting_for_a_job_survives_the_death_of_the_leader_and_no_row_is_lost_or_doubled() {
    let mut cluster = Cluster::start(3);
    let output = cluster.place().join("numbers");
    let script = format!(
        "CREATE TABLE n (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '500', 'fields.n.kind' = 'sequence',
            'fields.n.start' = '1', 'fields.n.end' = '4000');
         CREATE TABLE o (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         SET 'table.dml-sync' = 'true'; SET 'execution.checkpointing.interval' = '200 ms'; INSERT INTO o SELECT n FROM n;",
        output.display()
    );
    let mut waiting = weir_sql(&["-m", &cluster.addresses(), "-e", &script]).spawn().expect("it starts");
    let mut lines = BufReader::new(waiting.stdout.take().expect("its output")).lines();
    let said = lines.find_map(|line| line.expect("text").strip_prefix("Job ID: ").map(str::to_owned)).expect("the job's id");
    let job = said.parse().expect("a job id");
    until("a checkpoint", || {
        let described = cluster.runtime.block_on(cluster.client.describe(job, PATIENCE)).ok()?;
        (described.checkpoints.counts.completed > 0).then_some(())
    });
    let leader = cluster.leader();
    cluster.processes.kill(&leader).expect("it runs");
    let ended = waiting.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{errors}");
    assert!(errors.contains("another JobManager leads now"), "the leader died after the job's end: {errors}");
    let mut numbers: Vec<u64> = rows(&output).iter().map(|row| row.parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=4_000).collect::<Vec<_>>());
}

/// Puts a file of rows into a directory, complete.
fn move_in(directory: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(directory).expect("a directory");
    let hidden = directory.join(format!(".{name}"));
    std::fs::write(&hidden, text).expect("a file");
    std::fs::rename(hidden, directory.join(name)).expect("it is moved");
}

#[test]
fn what_one_job_writes_another_reads_and_files_go_on_arriving() {
    let cluster = Cluster::start(1);
    let place = cluster.place();
    move_in(&place.join("a"), "1.csv", "1,10\n2,20\n");
    std::fs::create_dir(place.join("b")).expect("a directory");
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (id BIGINT, amount BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}/{name}',
                'format' = 'csv', 'source.monitor-interval' = '50 ms');",
            place.display()
        )
    };
    let script = format!(
        "{} {} {} SET 'execution.checkpointing.interval' = '200 ms'; SET 'parallelism.default' = '2';
         INSERT INTO b SELECT id, amount * 2 FROM a; INSERT INTO c SELECT id, amount + 1 FROM b;",
        table("a"),
        table("b"),
        table("c")
    );
    let ended = run_with(&["-f", "-", "-m", &cluster.addresses()], &script);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let rows_are = |expected: &[&str]| until("the rows", || (rows(&place.join("c")) == expected).then_some(()));
    rows_are(&["1,21", "2,41"]);
    move_in(&place.join("a"), "2.csv", "3,30\n");
    rows_are(&["1,21", "2,41", "3,61"]);
    move_in(&place.join("a"), "3.csv", "4,40\n");
    rows_are(&["1,21", "2,41", "3,61", "4,81"]);
}
