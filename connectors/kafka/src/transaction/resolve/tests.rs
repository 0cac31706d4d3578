//! Every order of requests, deaths and timeouts around one stored transaction, with a model of its coordinators.

use std::collections::HashSet;

use super::*;

/// How many attempts may begin.
const ATTEMPTS: u8 = 4;
/// How many of them run at a time: one that is thought to be dead, and the next.
const AT_A_TIME: usize = 2;

/// How a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Standing {
    Empty,
    Open,
    Committed,
    Aborted,
}

/// What an attempt does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Next {
    End,
    Take(Step),
    Write(ProducerIdentity),
    Commit(ProducerIdentity),
    /// It has settled the transaction, and asks for a writer under its id.
    AskForWriter,
}

/// The decisions under test.
#[derive(Clone, Copy)]
struct Decisions {
    after_end: fn(bool, EndOutcome) -> Step,
    is_next: fn(Option<ProducerIdentity>, ProducerIdentity) -> bool,
}

const OURS: Decisions = Decisions { after_end, is_next };

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    /// Whether attempts commit the stored transaction. Otherwise they abort it, because one before it was written again.
    commits: bool,
    stored: Standing,
    /// Whether a newer writer has asked for the id of the stored transaction.
    superseded: bool,
    /// The id under which its records are written again: the newest writer, and its transaction.
    again: (Option<ProducerIdentity>, Standing),
    /// How often its records are committed.
    copies: u8,
    attempts: [Option<Next>; AT_A_TIME],
    begun: u8,
    /// Whether two attempts have run at the same time.
    overlapped: bool,
    /// Whether an attempt has met another one.
    failed: bool,
}

impl World {
    fn new(commits: bool) -> Self {
        Self {
            commits,
            stored: Standing::Open,
            superseded: false,
            again: (None, Standing::Empty),
            copies: 0,
            attempts: [None; AT_A_TIME],
            begun: 0,
            overlapped: false,
            failed: false,
        }
    }

    /// Every world that may follow.
    fn followers(&self, decisions: Decisions) -> Vec<Self> {
        let mut followers = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            followers.push(world);
        };
        if self.stored == Standing::Open {
            add(&|world| world.stored = Standing::Aborted);
        }
        if self.again.1 == Standing::Open {
            add(&|world| world.end_again(Standing::Aborted));
        }
        for (place, attempt) in self.attempts.iter().enumerate() {
            match attempt {
                None if self.begun < ATTEMPTS => add(&|world| world.begin(place)),
                None => {}
                Some(next) => {
                    add(&|world| world.attempts[place] = None);
                    add(&|world| world.attempts[place] = world.act(*next, decisions));
                    // A broker that was frozen does not know yet that another one coordinates.
                    if *next == Next::End && self.stored == Standing::Open {
                        let step = (decisions.after_end)(self.commits, EndOutcome::Superseded);
                        add(&|world| world.attempts[place] = Some(Next::Take(step)));
                    }
                }
            }
        }
        followers
    }

    fn begin(&mut self, place: usize) {
        self.begun += 1;
        self.attempts[place] = Some(Next::End);
        self.overlapped |= self.attempts.iter().flatten().count() > 1;
    }

    /// An attempt sends a request, and hears the answer. `None` if it ends with that.
    fn act(&mut self, next: Next, decisions: Decisions) -> Option<Next> {
        Some(match next {
            Next::End => Next::Take((decisions.after_end)(self.commits, self.end_stored())),
            Next::Take(Step::Settled) => {
                assert_eq!(self.copies, 1, "settled: {self:?}");
                Next::AskForWriter
            }
            Next::Take(Step::AskAgainId) => Next::Take(after_again_id(self.describe_again())),
            Next::Take(Step::LookIntoLog { known }) => match self.stored {
                Standing::Committed => Next::Take(after_look(known, Fate::Committed)),
                Standing::Aborted => Next::Take(after_look(known, Fate::Aborted)),
                // Its records can't be told from those of another open one yet.
                Standing::Open | Standing::Empty => next,
            },
            Next::Take(Step::AbortAgain { writer }) => {
                if self.again == (Some(writer), Standing::Open) {
                    self.end_again(Standing::Aborted);
                }
                Next::Take(Step::AskAgainId)
            }
            Next::Take(Step::Rewrite { after }) => {
                if self.again.1 == Standing::Open {
                    self.end_again(Standing::Aborted);
                }
                let identity = self.newer_writer();
                self.again = (Some(identity), Standing::Empty);
                if !(decisions.is_next)(after, identity) {
                    self.failed = true;
                    return None;
                }
                Next::Write(identity)
            }
            Next::Take(Step::Lost) => panic!("nothing is lost: {self:?}"),
            Next::Write(identity) if self.again.0 == Some(identity) => {
                self.again.1 = Standing::Open;
                Next::Commit(identity)
            }
            Next::Commit(identity) if self.again == (Some(identity), Standing::Open) => {
                self.end_again(Standing::Committed);
                Next::Take(Step::Settled)
            }
            // Another attempt or a timeout has come before.
            Next::Write(_) | Next::Commit(_) => return None,
            Next::AskForWriter => {
                self.superseded = true;
                return None;
            }
        })
    }

    fn end_stored(&mut self) -> EndOutcome {
        let ended = EndOutcome::Ended(ProducerIdentity { id: 1, epoch: 1 });
        match (self.stored, self.commits) {
            _ if self.superseded => EndOutcome::Superseded,
            (Standing::Open, true) => {
                self.stored = Standing::Committed;
                self.copies += 1;
                ended
            }
            (Standing::Open, false) => {
                self.stored = Standing::Aborted;
                ended
            }
            (Standing::Committed, true) | (Standing::Aborted, false) => ended,
            _ => EndOutcome::EndedOtherwise,
        }
    }

    /// Ends the transaction of the second id. Its next one has another epoch.
    fn end_again(&mut self, standing: Standing) {
        self.copies += u8::from(standing == Standing::Committed);
        self.again = (Some(self.newer_writer()), standing);
    }

    fn newer_writer(&self) -> ProducerIdentity {
        self.again.0.map_or(ProducerIdentity { id: 2, epoch: 0 }, |writer| ProducerIdentity { epoch: writer.epoch + 1, ..writer })
    }

    fn describe_again(&self) -> DescribedTransaction {
        let state = match self.again.1 {
            Standing::Empty | Standing::Aborted => TransactionState::None,
            Standing::Open => TransactionState::Open,
            Standing::Committed => TransactionState::Committed,
        };
        DescribedTransaction { writer: self.again.0, state }
    }
}

/// Visits every world, and returns how many there are.
fn explore(commits: bool, decisions: Decisions) -> usize {
    let (mut seen, mut open) = (HashSet::new(), vec![World::new(commits)]);
    while let Some(world) = open.pop() {
        assert!(world.copies <= 1, "committed twice: {world:?}");
        assert!(world.overlapped || !world.failed, "an attempt has met no other one: {world:?}");
        if !world.failed && seen.insert(world.clone()) {
            open.extend(world.followers(decisions));
        }
    }
    seen.len()
}

#[test]
fn records_count_once_in_every_order_of_deaths_and_timeouts() {
    for commits in [true, false] {
        let worlds = explore(commits, OURS);
        assert!(worlds > 1_000, "{worlds} worlds");
    }
}

#[test]
#[should_panic(expected = "settled")]
fn that_a_broker_calls_a_writer_superseded_settles_nothing() {
    let believes = |commits, outcome| match outcome {
        EndOutcome::Superseded => Step::Settled,
        other => after_end(commits, other),
    };
    explore(true, Decisions { after_end: believes, ..OURS });
}

#[test]
#[should_panic(expected = "committed twice")]
fn a_writer_that_does_not_come_right_after_the_one_that_was_seen_must_not_write() {
    explore(true, Decisions { is_next: |_, _| true, ..OURS });
}
