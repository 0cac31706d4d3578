//! A query that runs beside the script. `weir sql` prints its rows as they come.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use weir_servers::Patience;

use super::super::script::weir_sql;
use super::{CommittedTable, SqlJob};

/// The name by which the judge knows the rows of the query.
pub(super) const SELECTED: &str = "selected";
/// Reads two thirds of the generated rows, and changes none.
pub(super) const SELECT: &str = "SELECT id, product, buyer FROM orders WHERE MOD(id, 3) <> 1";
const PACE: Duration = Duration::from_millis(100);

/// A running query. Dropping it ends the client.
#[derive(Debug)]
pub struct Query {
    client: Child,
    rows: PathBuf,
    messages: PathBuf,
}

impl SqlJob {
    /// Starts the query, as a user does.
    pub fn start_query(&self, binary: &Path, addresses: &[String], directory: &Path) -> io::Result<Query> {
        let file = |name: &str| directory.join(name);
        let script = format!("SET 'parallelism.default' = '1';\n{}\n{SELECT};\n", self.orders());
        std::fs::write(file("query.sql"), script)?;
        let (rows, messages) = (file("query.csv"), file("query.log"));
        let mut command = weir_sql(binary, addresses, &file("query.sql"));
        command.stdin(Stdio::null()).stdout(File::create(&rows)?).stderr(File::create(&messages)?);
        Ok(Query { client: command.spawn()?, rows, messages })
    }
}

impl Query {
    /// Waits until the client has ended, and returns the rows that it has printed. An error says why there are not all of them.
    pub fn end(mut self, bound: Duration) -> io::Result<(String, CommittedTable)> {
        let patience = Patience::of(bound);
        let mut status: Option<ExitStatus> = None;
        while status.is_none() && !patience.is_over() {
            std::thread::sleep(PACE);
            status = self.client.try_wait()?;
        }
        if !status.is_some_and(|status| status.success()) {
            let ended = status.map_or_else(|| format!("it still runs after {bound:?}"), |status| status.to_string());
            let said = std::fs::read_to_string(&self.messages)?;
            return Err(io::Error::other(format!("the client of the query: {ended}\n{said}")));
        }
        // The first line has the names of the columns.
        let lines = std::fs::read_to_string(&self.rows)?.lines().skip(1).map(str::to_owned).collect();
        Ok((SELECTED.to_owned(), CommittedTable::from([("client".to_owned(), lines)])))
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.client.kill());
        drop(self.client.wait());
    }
}
