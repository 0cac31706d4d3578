//! Which rows a page of a query has. The newest page can be read again; asking for the next one says that the client has it.

use crate::records::PageMark;

/// What a request for a page means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// The newest page once more.
    Again(PageMark),
    /// A new page, from this row on.
    Next { from_row: u64 },
    /// Neither of these pages.
    Refused { expected: u64 },
}

/// What a request for the page `token` means after the page `newest`.
pub(crate) fn fetch(newest: Option<PageMark>, token: u64) -> Fetch {
    match newest {
        None if token == 0 => Fetch::Next { from_row: 0 },
        None => Fetch::Refused { expected: 0 },
        Some(page) if token == page.token => Fetch::Again(page),
        Some(page) if Some(token) == page.token.checked_add(1) && !page.is_end => Fetch::Next { from_row: page.next_row },
        Some(page) => Fetch::Refused { expected: page.token },
    }
}

/// The mark of a new page with this many rows; `None` if there is nothing to show yet, so that the client asks for it again.
pub(crate) fn mark(token: u64, from_row: u64, rows: u64, is_end: bool) -> Option<PageMark> {
    (rows > 0 || is_end).then_some(PageMark {
        token,
        first_row: from_row,
        next_row: from_row.saturating_add(rows),
        // The end is a page of its own, without rows.
        is_end: rows == 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_the_newest_can_be_read_again() {
        assert_eq!(fetch(None, 0), Fetch::Next { from_row: 0 });
        assert_eq!(fetch(None, 1), Fetch::Refused { expected: 0 });
        let first = mark(0, 0, 10, false).unwrap();
        assert_eq!(fetch(Some(first), 0), Fetch::Again(first));
        assert_eq!(fetch(Some(first), 1), Fetch::Next { from_row: 10 });
        assert_eq!(fetch(Some(first), 2), Fetch::Refused { expected: 0 });
        let second = mark(1, 10, 5, true).unwrap();
        assert_eq!(fetch(Some(second), 0), Fetch::Refused { expected: 1 }, "the client has it");
        assert_eq!(fetch(Some(second), 2), Fetch::Next { from_row: 15 }, "the end is a page of its own");
        let end = mark(2, 15, 0, true).unwrap();
        assert_eq!((fetch(Some(end), 2), fetch(Some(end), 3)), (Fetch::Again(end), Fetch::Refused { expected: 2 }));
    }

    #[test]
    fn without_rows_the_client_asks_again_for_the_same_page() {
        assert_eq!(mark(3, 7, 0, false), None);
    }
}
