//! The house rules as a test: see `tests/tidy.rs`. Advice that no test holds is not a rule.
