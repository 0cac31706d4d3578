//! Random queries over random rows: what a job emits must fold to what the reference computes from the rows that were read, after
//! every prefix of the input. That must not depend on how rows are cut into batches, in which order subtasks run, how many there are,
//! and when the job fails and is restored from a checkpoint, with another parallelism too.
//!
//! The job also has a check of its changes on every channel: a row that is taken back came the same way (Q2, Q5).

mod data;
mod queries;

use std::rc::Rc;

use proptest::prelude::*;
use weir_dataflow::changelog::{RowKind, kind_column};
use weir_protocol::job_graph::JobGraph;
use weir_sql::bind;
use weir_sql::dialect::{Statement, parse_statement};
use weir_sql::planner::plan_query;
use weir_sql::script::split;
use weir_sql::session::Session;
use weir_sql::stream::Node;
use weir_sql_reference::{Changelog, Reference, Relation, Value, rows_of};

use self::data::Data;
use self::queries::{Dice, query};
use crate::engine::{self, Job, Snapshot};
use crate::script::next_number;

/// What happens to a job.
#[derive(Debug, Clone)]
enum Event {
    /// This many more rows of each table can be read.
    Release(usize),
    /// Some subtasks make this many steps.
    Steps(usize),
    /// All rows that can be read are processed. The result must be that of the reference.
    Settle,
    /// A checkpoint completes.
    Checkpoint,
    /// The job fails, and is restored from the last checkpoint with this parallelism.
    Fail(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (1usize..14).prop_map(Event::Release),
        2 => (0usize..40).prop_map(Event::Steps),
        4 => Just(Event::Settle),
        3 => Just(Event::Checkpoint),
        2 => (1u32..5).prop_map(Event::Fail),
    ];
    prop::collection::vec(event, 0..14)
}

/// A query, planned.
struct Planned {
    query: String,
    session: Session,
    statement: Statement,
    plan: Rc<Node>,
    number: u64,
}

impl Planned {
    fn new(script: &str, query_text: &str) -> Result<Self, String> {
        let script = format!("{script}\n{query_text}");
        let shown = |error: weir_sql::script::SqlError| error.render(&script);
        let mut session = Session::default();
        let mut last = None;
        for statement in split(&script).map_err(shown)? {
            let parsed = parse_statement(&statement).map_err(shown)?;
            match session.command(&parsed) {
                Some(outcome) => drop(outcome.map_err(shown)?),
                None => last = Some(parsed),
            }
        }
        let statement = last.ok_or("no query")?;
        let Statement::Query(query) = &statement else { return Err("no query".into()) };
        let plan = bind::query(session.environment(), query).map_err(shown)?;
        Ok(Self { query: query_text.to_owned(), plan, session, statement, number: next_number() })
    }

    fn graph(&mut self, parallelism: u32, data: &Data) -> Result<JobGraph, String> {
        self.session.options.set("parallelism.default", &parallelism.to_string()).map_err(|error| error.to_string())?;
        let options = self.session.job_options("property");
        let Statement::Query(query) = &self.statement else { return Err("no query".into()) };
        let planned = plan_query(self.session.environment(), query, engine::collect(self.number), &options);
        let mut graph = planned.map_err(|error| error.to_string())?.job.graph;
        engine::read_from(&data.tables(), &mut graph);
        Ok(graph)
    }

    /// Whether the sink's watermark says which windows have fired. After a restore it lags behind what had fired before, until rows
    /// lift it again. Behind a union with `u`, which has no watermark, it says nothing before the end.
    fn is_complete_at(&self, watermark: i64, fired: i64) -> bool {
        let has_windows = self.query.contains("TABLE(");
        !has_windows || (watermark >= fired && !self.query.contains("FROM u"))
    }

    /// What the job has emitted, folded.
    fn folded(&self) -> Result<Relation, String> {
        let mut changelog = Changelog::default();
        let mut withdrawn_early = Vec::new();
        for batch in engine::collected(self.number) {
            let kinds = kind_column(&batch.schema());
            for (index, row) in rows_of(&batch, self.plan.columns.len())?.into_iter().enumerate() {
                let kind = kinds.map(|kind| Value::of(batch.column(kind), index)).transpose()?;
                let kind = match kind {
                    Some(Value::Integer(code)) => RowKind::of(code as i8).ok_or_else(|| format!("kind {code}"))?,
                    _ => RowKind::Insert,
                };
                // The rows of several subtasks arrive in any order.
                if changelog.apply(kind, row.clone()).is_err() {
                    withdrawn_early.push((kind, row));
                }
            }
        }
        withdrawn_early.into_iter().try_for_each(|(kind, row)| changelog.apply(kind, row))?;
        Ok(changelog.rows().clone())
    }
}

/// A job under test.
struct Run<'a> {
    planned: &'a mut Planned,
    data: &'a Data,
    reference: Reference,
    job: Job,
    seed: u64,
    released: usize,
    checkpoints: u64,
    last: Option<Snapshot>,
    /// The highest watermark that an attempt has emitted results for.
    fired: i64,
}

impl Run<'_> {
    fn happen(&mut self, event: &Event) -> Result<(), String> {
        let shown = |error: weir_dataflow::operator::OperatorError| error.to_string();
        match event {
            Event::Release(rows) => {
                self.released = (self.released + rows).min(self.data.rows());
                self.data.release(self.released, false);
                self.job.wake();
            }
            Event::Steps(steps) => {
                for _ in 0..*steps {
                    self.job.step().map_err(shown)?;
                }
            }
            Event::Settle => {
                self.job.settle().map_err(shown)?;
                self.job.tick().map_err(shown)?;
                self.job.settle().map_err(shown)?;
                let watermark = engine::watermark_of(self.planned.number);
                if self.planned.is_complete_at(watermark, self.fired) {
                    self.fired = watermark;
                    self.compare(watermark)?;
                }
            }
            Event::Checkpoint => {
                self.checkpoints += 1;
                self.last = Some(self.job.checkpoint(self.checkpoints).map_err(shown)?);
            }
            Event::Fail(parallelism) => {
                // Windows may have fired that no look has seen yet.
                self.fired = self.fired.max(self.data.highest_time(self.released));
                let checkpoint = self.last.as_ref().map_or(0, |snapshot| snapshot.checkpoint);
                engine::forget_uncommitted(self.planned.number, checkpoint);
                let graph = self.planned.graph(*parallelism, self.data)?;
                self.seed = self.seed.wrapping_add(1);
                self.job = Job::start(&graph, self.seed, self.last.as_ref()).map_err(shown)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        self.data.release(self.data.rows(), true);
        self.released = self.data.rows();
        self.job.wake();
        self.job.settle().map_err(|error| error.to_string())?;
        if !self.job.has_ended() {
            return Err("the job waits for ever".into());
        }
        self.compare(i64::MAX)
    }

    fn compare(&mut self, watermark: i64) -> Result<(), String> {
        let expected = self.reference.rows(&self.planned.plan, &self.data.relations(self.released), watermark)?;
        let found = self.planned.folded()?;
        if expected == found {
            return Ok(());
        }
        let missing = |from: &Relation, other: &Relation| -> Vec<String> {
            let absent = from.iter().filter(|(row, count)| other.get(*row) != Some(count));
            let shown = |(row, count): (&Vec<Value>, &i64)| {
                let values: Vec<_> = row.iter().map(ToString::to_string).collect();
                format!("    {count} x {}", values.join(" | "))
            };
            absent.take(6).map(shown).collect()
        };
        Err(format!(
            "after {} rows, at watermark {watermark}:\n  expected\n{}\n  found\n{}",
            self.released,
            missing(&expected, &found).join("\n"),
            missing(&found, &expected).join("\n")
        ))
    }
}

/// Runs a query over rows through events.
fn check(query: &str, data: &Data, events: &[Event], parallelism: u32, seed: u64) -> Result<(), String> {
    let mut planned = Planned::new(&data.script(), query)?;
    let graph = planned.graph(parallelism, data)?;
    data.release(0, false);
    let job = Job::start(&graph, seed, None).map_err(|error| error.to_string())?;
    let reference = Reference::default();
    let mut run =
        Run { planned: &mut planned, data, reference, job, seed, released: 0, checkpoints: 0, last: None, fired: i64::MIN };
    events.iter().try_for_each(|event| run.happen(event))?;
    run.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_changes_of_a_job_fold_to_what_the_reference_computes(
        choices in prop::collection::vec(any::<u8>(), 0..160),
        rows in data::rows(),
        events in events(),
        parallelism in 1u32..5,
        seed in any::<u64>(),
    ) {
        let query = query(&mut Dice::new(&choices));
        let data = Data::new(rows);
        if let Err(what) = check(&query, &data, &events, parallelism, seed) {
            let events = format!("{events:?}, parallelism {parallelism}, seed {seed}");
            prop_assert!(false, "{query}\n{events}\n{}\n{what}", data.script());
        }
    }
}

#[test]
fn the_order_of_window_columns_in_group_by_does_not_matter() {
    let row = || (vec![Value::Integer(1), Value::Null, Value::Null, Value::Null, Value::Null, Value::Null], 0);
    let data = Data::new([vec![row(), row()], vec![]]);
    let windows = "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))";
    for query in [
        format!("SELECT window_end, k, window_start, COUNT(*) FROM {windows} GROUP BY window_end, k, window_start"),
        format!("SELECT window_time, window_end, window_start FROM {windows} GROUP BY window_time, window_end, window_start"),
        format!("SELECT DISTINCT window_end, window_start FROM {windows}"),
    ] {
        check(&query, &data, &[Event::Release(1), Event::Checkpoint, Event::Fail(2)], 1, 1).unwrap();
    }
}

#[test]
fn changes_of_different_parallelism_keep_their_order_in_a_union() {
    let row = |k: i64| (vec![Value::Integer(k), Value::Null, Value::Null, Value::Null, Value::Null, Value::Null], 0);
    let rows = || (0..12).map(row).collect::<Vec<_>>();
    let query = "SELECT COUNT(*) FROM (SELECT k FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k)
        UNION ALL SELECT k FROM (SELECT SUM(k) AS k FROM u) WHERE k IS NOT NULL)";
    for seed in 0..20 {
        check(query, &Data::new([rows(), rows()]), &[Event::Release(12), Event::Settle], 3, seed).unwrap();
    }
}
