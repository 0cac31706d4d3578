//! Runs scripts: statement by statement, until the first that fails.

use std::io::Read;
use std::path::Path;

use weir_client::sql_client::{Outcome, SqlClient, SqlClientError, Submission};
use weir_sql::script::split;
use weir_world::{err_line, out_line};

use super::interrupt::or_interrupted;
use super::screen::Screen;
use super::{answer, query, waiting};
use crate::cli::exit_code::Failure;

/// A script larger than this is refused before it is read, in bytes.
const SCRIPT_LIMIT: u64 = 16 << 20;

/// A script, and how errors name it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) name: String,
    pub(super) text: String,
}

impl Script {
    /// The script in a file; `-` is standard input.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let from_stdin = file.as_os_str() == "-";
        let name = if from_stdin { "standard input".to_owned() } else { file.display().to_string() };
        let mut bytes = Vec::new();
        let mut read = |source: &mut dyn Read| source.take(SCRIPT_LIMIT + 1).read_to_end(&mut bytes);
        let outcome =
            if from_stdin { read(&mut std::io::stdin()) } else { std::fs::File::open(file).and_then(|mut file| read(&mut file)) };
        outcome.map_err(|error| Failure::error(format!("can't read {name}: {error}")))?;
        if bytes.len() as u64 > SCRIPT_LIMIT {
            return Err(Failure::error(format!("{name} is larger than {SCRIPT_LIMIT} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::error(format!("{name} is not text in UTF-8: byte {} is wrong", at + 1))
        })?;
        // Some editors begin a file with it.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(Self { name, text })
    }

    /// The error with the place in the script.
    fn failure(&self, error: SqlClientError) -> Failure {
        match error {
            SqlClientError::Sql(error) => Failure::error(format!("{}: {}", self.name, error.render(&self.text))),
            SqlClientError::Cluster(error) => error.into(),
            SqlClientError::Unfinished { error: ref cause, .. } => Failure::from(cause.clone()).saying(&error),
        }
    }
}

/// Runs all statements of the script. Adds the jobs that it has submitted to `submitted`, also if a later statement fails.
pub(super) async fn run(
    client: &mut SqlClient,
    script: &Script,
    screen: &Screen,
    submitted: &mut Vec<Submission>,
) -> Result<(), Failure> {
    let statements = split(&script.text).map_err(|error| script.failure(error.into()))?;
    for statement in &statements {
        let outcome = client.run(statement).await.map_err(|error| script.failure(error))?;
        answer::show(&outcome, screen);
        match outcome {
            Outcome::Submitted(submission) => {
                submitted.push(submission.clone());
                if submission.is_awaited {
                    wait(client, &submission).await?;
                }
            }
            Outcome::Query(query) => {
                let said = query::show(client, &query, screen).await?;
                if screen.is_for_people() {
                    out_line!("{said}\n");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Waits for the job's end, because the script says so (`table.dml-sync`).
async fn wait(client: &SqlClient, submission: &Submission) -> Result<(), Failure> {
    match or_interrupted(waiting::wait_for(client, submission)).await {
        Some(end) => err_line!("weir: {}", waiting::ending(&end?)),
        None => return Err(Failure::error(format!("stopped waiting; {}", waiting::goes_on(submission.job_id)))),
    }
    Ok(())
}
