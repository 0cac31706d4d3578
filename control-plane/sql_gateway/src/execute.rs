//! Carries statements out. An operation is in the store before its handle is answered, and with it all that its statement changes: a
//! statement has either happened and its result can be read, or it has not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use weir_ha::SqlHandle;
use weir_protocol::JobId;
use weir_protocol::job_graph::Field;
use weir_protocol::job_status::JobStatus;
use weir_sql::command::{self, Step, Submit, description_table, overview_table, savepoint_table, submission_table};
use weir_world::{Backoff, random_id};

use crate::decide::Decision;
use crate::error::GatewayError;
use crate::led::{Committed, Led, Update};
use crate::live::LiveSession;
use crate::records::{Outcome, State};

/// Largest result that is kept in the store, in bytes. A larger one is refused: it could not be read again after a change of leader, and
/// running the statement again could give something else.
const MAX_RESULT_BYTES: usize = 64 << 10;
/// How often a statement is decided anew because the catalogue has changed meanwhile.
const ATTEMPTS: u32 = 5;
/// Shortest and longest wait before a pending operation is tried again.
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// A statement of a client.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) text: String,
    /// Options for this statement alone.
    pub(crate) config: BTreeMap<String, String>,
}

/// Accepts a statement. Returns its handle once it is durable. What is wrong with the statement is the result of its operation; an error
/// means that nothing was accepted.
pub(crate) async fn accept(led: &Arc<Led>, live: &Arc<LiveSession>, statement: Statement) -> Result<SqlHandle, GatewayError> {
    led.leading.check_store()?;
    let turn = live.turn.clone().lock_owned().await;
    let id = SqlHandle(random_id());
    match begun(led, live, id, &statement).await {
        Ok(None) => {}
        Ok(Some(decision)) => {
            let task = carry_out(led.clone(), live.clone(), id, statement, Some(decision), turn);
            weir_world::spawn("sql-operation", task);
        }
        Err(error) if error.is_passing() => return Err(error),
        Err(error) => fail(led, live, id, &error).await?,
    }
    Ok(id)
}

/// Carries out a statement that only sets up its session. There is no operation.
pub(crate) async fn configure(led: &Arc<Led>, live: &Arc<LiveSession>, text: &str) -> Result<(), GatewayError> {
    led.leading.check_store()?;
    let _turn = live.turn.clone().lock_owned().await;
    for _ in 0..ATTEMPTS {
        let decision = led.decide(live.session(), text, &BTreeMap::new(), true).await?;
        let (session, catalogue) = (Some(decision.session), Some((decision.generation, decision.changes)));
        if led.commit(live, Update { session, catalogue, ..Update::default() }).await? == Committed::Done {
            return Ok(());
        }
    }
    Err(outdated())
}

/// Makes a statement durable: with its result, or pending. Returns the decision if more has to be done.
async fn begun(led: &Led, live: &LiveSession, id: SqlHandle, statement: &Statement) -> Result<Option<Decision>, GatewayError> {
    for _ in 0..ATTEMPTS {
        let decision = led.decide(live.session(), &statement.text, &statement.config, false).await?;
        let (update, rest) = begin(led, id, statement, decision).await?;
        if led.commit(live, update).await? == Committed::Done {
            return Ok(rest);
        }
    }
    Err(outdated())
}

fn outdated() -> GatewayError {
    GatewayError::conflict(command::outdated().to_string())
}

/// Carries on the operations that an earlier leader has begun, before any further statement of the session.
pub(crate) fn carry_on(led: &Arc<Led>, live: &Arc<LiveSession>) {
    let pending = |(id, found): (&SqlHandle, &weir_ha::Found<crate::records::Operation>)| match &found.record.state {
        State::Pending { statement, config } => Some((*id, Statement { text: statement.clone(), config: config.clone() })),
        _ => None,
    };
    let pending: Vec<_> = live.stored().operations.iter().filter_map(pending).collect();
    for (id, statement) in pending {
        // There is one at most: the next statement waits for it.
        let Ok(turn) = live.turn.clone().try_lock_owned() else { continue };
        tracing::info!(session = %live.id, operation = %id, "carrying on a statement");
        weir_world::spawn("sql-operation", carry_out(led.clone(), live.clone(), id, statement, None, turn));
    }
}

/// What is committed when a statement is accepted, and the decision if more has to be done.
async fn begin(
    led: &Led,
    id: SqlHandle,
    statement: &Statement,
    decision: Decision,
) -> Result<(Update, Option<Decision>), GatewayError> {
    let outcome = match &decision.step {
        Step::Submit(_) | Step::Query(_) | Step::Stop { .. } => {
            let state = State::Pending { statement: statement.text.clone(), config: statement.config.clone() };
            return Ok((Update { operation: Some((id, state)), ..Update::default() }, Some(decision)));
        }
        Step::Done => Outcome::ok(),
        Step::Table(table) => Outcome::of(table.clone()),
        Step::ShowJobs => Outcome::of(overview_table(&led.leading.list_jobs())),
        Step::DescribeJob(job) => {
            let description = led.leading.describe_job(*job).ok_or_else(|| no_job(*job))?;
            Outcome::of(description_table(&description))
        }
        Step::Cancel(job) => {
            led.leading.cancel_job(*job).await?;
            Outcome::ok()
        }
    };
    let update = Update {
        session: Some(decision.session),
        operation: Some((id, State::Finished(bounded(outcome)?))),
        catalogue: Some((decision.generation, decision.changes)),
        ..Update::default()
    };
    Ok((update, None))
}

/// Carries out a pending operation, until its end is recorded or the leadership ends. Then the next leader carries it on.
async fn carry_out(
    led: Arc<Led>,
    live: Arc<LiveSession>,
    id: SqlHandle,
    statement: Statement,
    mut decision: Option<Decision>,
    _turn: OwnedMutexGuard<()>,
) {
    let mut backoff = RETRY;
    while !led.is_over() && !live.stored().is_closed {
        let outcome = match attempt(&led, &live, id, &statement, decision.take()).await {
            Err(error) if !error.is_passing() => fail(&led, &live, id, &error).await.map(|()| Committed::Done),
            outcome => outcome,
        };
        match outcome {
            Ok(Committed::Done) => return,
            // Decide again, on the newest catalogue.
            Ok(Committed::Outdated) => {}
            Err(error) => {
                tracing::warn!(error = error.text(), operation = %id, "a statement can't be carried out; trying again");
                backoff.wait().await;
            }
        }
    }
}

async fn attempt(
    led: &Led,
    live: &LiveSession,
    id: SqlHandle,
    statement: &Statement,
    decision: Option<Decision>,
) -> Result<Committed, GatewayError> {
    // An earlier attempt, perhaps of an earlier leader, may have submitted the job.
    let token = id.to_string();
    let known = led.store.job_of_token(&token).await?;
    let decided = match decision {
        Some(decision) => Ok(decision),
        None => led.decide(live.session(), &statement.text, &statement.config, false).await,
    };
    let Decision { step, session, changes, generation } = match (decided, known) {
        (Ok(decision), _) => decision,
        (Err(error), Some(job)) if !error.is_passing() => {
            return Err(GatewayError::bad_request(format!("{}\nits job {job} was submitted before", error.text())));
        }
        (Err(error), _) => return Err(error),
    };
    let update = |state: State| Update {
        session: Some(session),
        operation: Some((id, state)),
        catalogue: Some((generation, changes)),
        removed: Vec::new(),
    };
    match step {
        Step::Submit(Submit { graph, is_awaited, .. }) => {
            let job = match known {
                Some(job) => job,
                None => led.leading.submit(*graph, Some(token)).await?.job,
            };
            let state = if is_awaited { State::Running { job } } else { State::Finished(submitted(job)) };
            led.commit(live, update(state)).await
        }
        Step::Query(query) => {
            let field = |column: weir_sql::stream::Column| Field {
                name: column.name,
                data_type: column.data_type,
                nullable: column.nullable,
            };
            let columns = query.columns.into_iter().map(field).collect();
            let job = led.results.submit(Some(id.to_string()), *query.graph).await?.job;
            led.commit(live, update(State::Query { job, columns, page: None })).await
        }
        Step::Stop { drain: true, .. } => {
            Err(GatewayError::bad_request("STOP-DRAIN: stopping with drain is not supported; stop WITH SAVEPOINT alone"))
        }
        Step::Stop { job, .. } => {
            let savepoint = led.leading.stop_job(job).await?;
            led.commit(live, update(State::Finished(Outcome::of(savepoint_table(savepoint))))).await
        }
        // The session was changed meanwhile so that the text means something else.
        _ => Err(GatewayError::conflict("SQL-CONFLICT: the statement no longer asks for a job")),
    }
}

/// Records why an operation failed.
async fn fail(led: &Led, live: &LiveSession, id: SqlHandle, error: &GatewayError) -> Result<(), GatewayError> {
    let state = State::Failed { error: error.text().chars().take(MAX_RESULT_BYTES / 4).collect() };
    led.commit(live, Update { operation: Some((id, state)), ..Update::default() }).await.map(|_| ())
}

/// The state of an operation now. One that waits for its job ends with it.
pub(crate) async fn state(led: &Led, live: &LiveSession, id: SqlHandle) -> Result<State, GatewayError> {
    let state = live.operation(id)?.state;
    let State::Running { job } = state else { return Ok(state) };
    let ended = match led.leading.describe_job(job) {
        None => State::Failed { error: no_job(job).text().to_owned() },
        Some(description) => match description.status {
            JobStatus::Finished => State::Finished(submitted(job)),
            status @ (JobStatus::Failed | JobStatus::Canceled) => {
                let reason = description.reason.map_or_else(String::new, |reason| format!(": {reason}"));
                State::Failed { error: format!("SQL-JOB-ENDED: job {job} is {}{reason}", status.as_str()) }
            }
            _ => return Ok(state),
        },
    };
    led.commit(live, Update { operation: Some((id, ended.clone())), ..Update::default() }).await?;
    Ok(ended)
}

/// Cancels what an operation does: a query, or the job that it waits for.
pub(crate) async fn cancel(led: &Led, live: &LiveSession, id: SqlHandle) -> Result<&'static str, GatewayError> {
    settled(live, id).await?;
    let state = state(led, live, id).await?;
    match &state {
        State::Running { job } => led.leading.cancel_job(*job).await?,
        State::Query { .. } if !state.is_ended() => led.end_query(&state).await?,
        _ => {
            let text = format!("SQL-OPERATION-ENDED: operation {id} is {} and can't be canceled", state.word());
            return Err(GatewayError::conflict(text));
        }
    }
    led.commit(live, Update { operation: Some((id, State::Canceled)), ..Update::default() }).await?;
    Ok(State::Canceled.word())
}

/// Closes an operation: its result can't be read any more. A job that it has submitted goes on, unless it is that of a query.
pub(crate) async fn close(led: &Led, live: &LiveSession, id: SqlHandle) -> Result<&'static str, GatewayError> {
    settled(live, id).await?;
    let state = live.operation(id)?.state;
    if state != State::Closed {
        led.end_query(&state).await?;
        led.commit(live, Update { operation: Some((id, State::Closed)), ..Update::default() }).await?;
    }
    Ok(State::Closed.word())
}

/// Waits until an operation is no longer pending.
async fn settled(live: &LiveSession, id: SqlHandle) -> Result<(), GatewayError> {
    if matches!(live.operation(id)?.state, State::Pending { .. }) {
        drop(live.turn.lock().await);
    }
    Ok(())
}

fn submitted(job: JobId) -> Outcome {
    Outcome { job: Some(job), ..Outcome::of(submission_table(job)) }
}

fn no_job(job: JobId) -> GatewayError {
    GatewayError::not_found(format!("JOB-NOT-FOUND: there is no job {job}"))
}

fn bounded(outcome: Outcome) -> Result<Outcome, GatewayError> {
    let bytes = serde_json::to_vec(&outcome.table).map_or(usize::MAX, |bytes| bytes.len());
    if bytes <= MAX_RESULT_BYTES {
        return Ok(outcome);
    }
    Err(GatewayError::bad_request(format!(
        "SQL-RESULT-SIZE: the result has {bytes} bytes; the maximum is {MAX_RESULT_BYTES}; list less, e.g. by LIKE"
    )))
}
