//! Where answers go: standard output, and what is known of the terminal behind it.

use std::io::{self, IsTerminal, Write};

use rustyline::Editor;
use rustyline::history::MemHistory;
use weir_client::sql_client::ResultTable;
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
        for line in render(result, self.format, self.width()) {
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
    fn width(&self) -> Option<usize> {
        if !self.is_for_people() || !io::stdout().is_terminal() {
            return None;
        }
        let (columns, _) =
            Editor::<(), MemHistory>::with_history(rustyline::Config::default(), MemHistory::new()).ok()?.dimensions()?;
        // A terminal that does not know its width says 0.
        Some(usize::from(columns)).filter(|columns| *columns > 0)
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
