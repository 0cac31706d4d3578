//! Decides what a statement asks for, away from the async threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use weir_protocol::job_graph::JobGraph;
use weir_sql::catalog::CatalogChange;
use weir_sql::command::{self, Decided, Step, Submit, on_large_stack};
use weir_sql::completion::{self, Names};
use weir_sql::dialect::{Statement, parse_statement};
use weir_sql::script::{ScriptStatement, SqlError, split};
use weir_sql::session::{Session, SessionOptions};

use crate::catalogue::Snapshot;
use crate::error::GatewayError;
use crate::records::SessionRecord;

/// Statements that are planned at the same time.
const PLANNED_AT_ONCE: usize = 2;
/// Statements that may wait for that.
const MAX_WAITING: usize = 64;

/// Says what is wrong with a graph, one message for each problem.
pub type GraphCheck = fn(&JobGraph) -> Result<(), Vec<String>>;

/// Plans statements, a few at a time.
#[derive(Debug, Clone)]
pub(crate) struct Planner {
    working: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    check: GraphCheck,
}

/// A statement, and what it is decided on.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) session: SessionRecord,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) statement: String,
    /// Options for this statement alone.
    pub(crate) config: BTreeMap<String, String>,
    /// Whether only statements are allowed that set up a session.
    pub(crate) only_settings: bool,
}

/// What a statement asks for, and the session after it.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) step: Step,
    pub(crate) session: SessionRecord,
    /// Changes of permanent tables and views.
    pub(crate) changes: Vec<CatalogChange>,
    /// The snapshot on which the changes were decided.
    pub(crate) generation: u64,
}

impl Planner {
    pub(crate) fn new(check: GraphCheck) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { working: semaphore(PLANNED_AT_ONCE), waiting: semaphore(PLANNED_AT_ONCE + MAX_WAITING), check }
    }

    /// What a statement asks for. Errors change nothing.
    pub(crate) async fn decide(&self, request: Request) -> Result<Decision, GatewayError> {
        let check = self.check;
        let work = move || decide(&request, check).map_err(|error| GatewayError::bad_request(error.render(&request.statement)));
        self.run(work).await?
    }

    /// What may stand at a place in a statement, of which `before` is the part before that place.
    pub(crate) async fn complete(
        &self,
        session: SessionRecord,
        snapshot: Arc<Snapshot>,
        before: String,
    ) -> Result<Vec<String>, GatewayError> {
        let work = move || completion::complete(&before, &Names::of(&session.with(&snapshot))).1;
        self.run(work).await
    }

    /// Checks changes that a client has decided on this snapshot.
    pub(crate) async fn check(
        &self,
        snapshot: Arc<Snapshot>,
        changes: Vec<CatalogChange>,
    ) -> Result<Vec<CatalogChange>, GatewayError> {
        let work = move || {
            let session = Session { catalog: snapshot.catalog(), options: SessionOptions::default() };
            session.check_changes(&changes).map_err(|error| GatewayError::bad_request(error.render("")))?;
            Ok(changes)
        };
        self.run(work).await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, GatewayError> {
        let busy = || GatewayError::too_many("SQL-BUSY: too many statements wait to be planned; try again");
        let _place = self.waiting.try_acquire().map_err(|_| busy())?;
        let _turn = self.working.acquire().await.map_err(|_| busy())?;
        let done = weir_world::blocking(move || on_large_stack(work)).await;
        let done = done.map_err(|error| GatewayError::internal(format!("SQL-PANIC: the statement can't be planned: {error}")))?;
        done.map_err(|error| GatewayError::unavailable(error.to_string()))
    }
}

fn decide(request: &Request, check: GraphCheck) -> Result<Decision, SqlError> {
    let statement = only_statement(&request.statement)?;
    if request.only_settings {
        check_settings(&parse_statement(&statement)?)?;
    }
    let mut session = request.session.with(&request.snapshot);
    for (key, value) in &request.config {
        session.options.set(key, value)?;
    }
    let configured = session.options.clone();
    let Decided { step, mut session, changes } = command::decided(session, &statement)?;
    if let Step::Submit(Submit { graph, .. }) | Step::Query(command::Query { graph, .. }) = &step {
        check(graph).map_err(|problems| command::cannot_run(&problems))?;
    }
    session.options = without(&request.config, &request.session.options, &configured, session.options);
    Ok(Decision { step, session: request.session.after(&session), changes, generation: request.snapshot.generation })
}

/// The one statement in a text.
fn only_statement(text: &str) -> Result<ScriptStatement, SqlError> {
    let mut statements = split(text)?.into_iter();
    match (statements.next(), statements.next()) {
        (Some(statement), None) => Ok(statement),
        (None, _) => Err(SqlError::new("SQL-PARSE", "Encountered \"<EOF>\"; expected a statement")),
        (Some(_), Some(second)) => {
            let error = SqlError::new("SQL-PARSE", "a request has one statement, and here another one begins");
            Err(SqlError { place: Some(second.place()), ..error }.hint("send them one by one, or as EXECUTE STATEMENT SET"))
        }
    }
}

/// Refuses what configure-session does not take.
fn check_settings(statement: &Statement) -> Result<(), SqlError> {
    match statement {
        Statement::CreateTable(create) if create.query.is_none() => Ok(()),
        Statement::CreateView(_)
        | Statement::CreateDatabase { .. }
        | Statement::Drop(_)
        | Statement::AlterTable(_)
        | Statement::UseCatalog(_)
        | Statement::Use(_)
        | Statement::Set(Some(_))
        | Statement::Reset(_) => Ok(()),
        _ => Err(SqlError::new("SQL-CONFIGURE", "a session can be configured only by SET, RESET, USE, CREATE, ALTER and DROP")
            .hint("send the statement to /statements")),
    }
}

/// The options after a statement, without those that were given for it alone. `before` are those of the session, and `configured`
/// are both.
fn without(
    config: &BTreeMap<String, String>,
    before: &SessionOptions,
    configured: &SessionOptions,
    mut after: SessionOptions,
) -> SessionOptions {
    if config.is_empty() {
        return after;
    }
    if after == *configured {
        return before.clone();
    }
    // The statement is SET or RESET: what it has not changed was given for it alone.
    for (key, value) in configured.iter() {
        if after.get(key) == Some(value) && before.get(key) != Some(value) {
            let restored = match before.get(key) {
                Some(before) => after.set(key, before),
                None => after.reset(key),
            };
            // The session had this value before, so it is accepted again.
            debug_assert_eq!(restored, Ok(()));
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(statement: &str, config: &[(&str, &str)]) -> Request {
        Request {
            session: SessionRecord::new(None, 600_000, 0),
            snapshot: Arc::default(),
            statement: statement.to_owned(),
            config: config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            only_settings: false,
        }
    }

    fn decided(request: &Request) -> Decision {
        decide(request, |_| Ok(())).unwrap_or_else(|error| panic!("{}: {error}", request.statement))
    }

    fn code(request: &Request) -> String {
        decide(request, |_| Ok(())).unwrap_err().to_string()
    }

    #[test]
    fn a_request_has_one_statement() {
        assert!(matches!(decided(&request("SHOW TABLES;", &[])).step, Step::Table(_)));
        assert!(code(&request(" -- nothing\n", &[])).contains("Encountered \"<EOF>\""));
        assert!(code(&request("SHOW TABLES; SHOW VIEWS", &[])).starts_with("SQL-PARSE: a request has one statement"));
        assert!(code(&request("SELECT (1", &[])).contains("Encountered \"<EOF>\""));
    }

    #[test]
    fn options_for_one_statement_do_not_stay() {
        let config = [("parallelism.default", "7"), ("table.dml-sync", "true")];
        let shown = decided(&request("SET", &config));
        let Step::Table(table) = &shown.step else { panic!("{shown:?}") };
        assert_eq!(table.rows.len(), 2);
        assert_eq!(shown.session.shown(), BTreeMap::new());
        let set = decided(&request("SET 'table.local-time-zone' = 'Asia/Shanghai'", &config));
        assert_eq!(set.session.shown().into_keys().collect::<Vec<_>>(), ["table.local-time-zone"]);
        assert!(code(&request("SET", &[("no.such", "1")])).starts_with("SQL-OPTION"));
    }

    #[test]
    fn a_table_is_a_change_of_the_catalogue_and_a_temporary_one_of_the_session() {
        let permanent = decided(&request("CREATE TABLE t (n INT) WITH ('connector' = 'datagen')", &[]));
        assert_eq!((permanent.changes.len(), permanent.session.temporary.len()), (1, 0));
        let temporary = decided(&request("CREATE TEMPORARY TABLE t (n INT) WITH ('connector' = 'datagen')", &[]));
        assert_eq!((temporary.changes.len(), temporary.session.temporary.len()), (0, 1));
    }

    #[test]
    fn only_settings_configure_a_session() {
        for (statement, is_allowed) in [
            ("SET 'parallelism.default' = '2'", true),
            ("CREATE VIEW v AS SELECT 1", true),
            ("USE CATALOG default_catalog", true),
            ("SHOW TABLES", false),
            ("SELECT 1", false),
            ("SET", false),
        ] {
            let outcome = decide(&Request { only_settings: true, ..request(statement, &[]) }, |_| Ok(()));
            assert_eq!(outcome.is_ok(), is_allowed, "{statement}: {outcome:?}");
        }
    }
}
