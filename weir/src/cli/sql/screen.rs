//! Where answers go: standard output, and what is known of the terminal behind it.

use std::io::{self, IsTerminal, Write};

use rustyline::Editor;
use rustyline::history::MemHistory;
use weir_client::sql_client::ResultTable;
use weir_protocol::job_graph::DataType;
use weir_world::{err_line, out_line, output};

use super::render::{ResultFormat, render};

/// Prints results, and errors in colour if the user likes that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    pub(super) format: ResultFormat,
    pub(super) colors: bool,
}

impl Screen {
    /// `colors` says whether the user allows colours. Only terminals get them.
    pub(super) fn new(format: ResultFormat, colors: bool) -> Self {
        Self { format, colors: colors && io::stdout().is_terminal() && io::stderr().is_terminal() }
    }

    /// Whether people read the output, so that it may say more than results.
    pub(super) fn is_for_people(&self) -> bool {
        self.format == ResultFormat::Table
    }

    pub(super) fn print(&self, result: &ResultTable) {
        self.lines(render(result, self.format, self.width()));
    }

    /// Prints lines of results.
    pub(super) fn lines(&self, lines: Vec<String>) {
        for line in lines {
            out_line!("{line}");
            if output::reader_is_gone() {
                return;
            }
        }
    }

    /// Says an error that does not end the program.
    pub(super) fn error(&self, message: &str) {
        match (self.colors, message.split_once('\n')) {
            (false, _) => err_line!("{message}"),
            (true, None) => err_line!("\u{1b}[31m{message}\u{1b}[0m"),
            (true, Some((first, rest))) => err_line!("\u{1b}[31m{first}\u{1b}[0m\n{rest}"),
        }
    }

    /// The columns of the terminal that shows tables, if there is one.
    pub(super) fn width(&self) -> Option<usize> {
        Some(self.dimensions()?.0).filter(|columns| *columns > 0)
    }

    /// The columns and rows of the terminal that shows tables, if there is one. A terminal that does not know them says 0.
    fn dimensions(&self) -> Option<(usize, usize)> {
        if !self.is_for_people() || !io::stdout().is_terminal() {
            return None;
        }
        let editor = Editor::<(), MemHistory>::with_history(rustyline::Config::default(), MemHistory::new());
        let (columns, rows) = editor.ok()?.dimensions()?;
        Some((usize::from(columns), usize::from(rows)))
    }
}

/// A table at the bottom of the terminal that is refreshed in place. On anything else than a terminal it is not shown.
#[derive(Debug)]
pub(super) struct LiveTable {
    screen: Screen,
    /// How many lines of the terminal it takes now.
    height: usize,
}

/// The lines of the terminal that are not the rows of the table: its borders and header, what is left out, and the status.
const OTHER_LINES: usize = 6;

impl LiveTable {
    pub(super) fn new(screen: Screen) -> Self {
        Self { screen, height: 0 }
    }

    /// Shows as many of the last rows as there is room for. `last` returns that many.
    pub(super) fn show(
        &mut self,
        columns: &[(String, DataType)],
        rows: usize,
        last: impl FnOnce(usize) -> Vec<Vec<Option<String>>>,
    ) {
        let Some((_, height)) = self.screen.dimensions() else { return };
        let room = height.saturating_sub(OTHER_LINES).max(1);
        let mut lines =
            render(&ResultTable { columns: columns.to_vec(), rows: last(room) }, ResultFormat::Table, self.screen.width());
        if rows > room {
            lines.push(format!("the last {room} of {rows} rows"));
        }
        // Cells of several lines may need more than there is.
        lines.truncate(height.saturating_sub(2).max(1));
        self.clear();
        self.height = lines.len();
        self.screen.lines(lines);
    }

    /// Removes it, so that others can be printed.
    pub(super) fn clear(&mut self) {
        if self.height > 0 {
            let mut stdout = io::stdout().lock();
            // What can't be shown harms nothing.
            drop(write!(stdout, "\u{1b}[{}A\r\u{1b}[J", self.height).and_then(|()| stdout.flush()));
            self.height = 0;
        }
    }
}

/// One line at the bottom of the terminal that is written again and again. On anything else than a terminal it is not shown.
#[derive(Debug)]
pub(super) struct StatusLine {
    is_shown: bool,
    is_terminal: bool,
}

impl StatusLine {
    pub(super) fn new() -> Self {
        Self { is_shown: false, is_terminal: io::stderr().is_terminal() }
    }

    /// Shows the text instead of the former one.
    pub(super) fn show(&mut self, text: &str) {
        if self.is_terminal {
            self.write(&format!("\r\u{1b}[K{text}"));
            self.is_shown = true;
        }
    }

    /// Removes the line, so that others can be printed.
    pub(super) fn clear(&mut self) {
        if self.is_shown {
            self.write("\r\u{1b}[K");
            self.is_shown = false;
        }
    }

    fn write(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        // A status that can't be shown harms nothing.
        drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.clear();
    }
}
