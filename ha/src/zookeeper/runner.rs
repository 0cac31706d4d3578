//! One member's part in the election: it holds a session, is a candidate, and leads when it is first.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, pending};
use metrics::counter;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};
use weir_protocol::LeaderEpoch;
use weir_world::{Backoff, spawn, wall_clock_ms};
use zookeeper_client::{Client, CreateMode, Error, SessionId, SessionInfo};

use super::candidates::{Contestant, Known, contestants};
use super::ensemble::{CALL_DEADLINE, Ensemble, Link, Reign, data, pipelined, stat, within};
use super::fenced_write::parse_epoch;
use super::options::Connection;
use super::session;
use super::tethered::{self, Tethered};
use crate::campaign::Campaign;
use crate::metrics as names;
use crate::{Leadership, TransferError};

/// The longest pause between two attempts to get a session. The first attempt has no pause.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Pause after an election step that failed.
const RETRY: Duration = Duration::from_millis(200);
/// Interval at which the election is checked even if no watch fires.
const TICK: Duration = Duration::from_secs(2);
/// How long a hand-over waits for the named successor to become a candidate.
const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(2);
const SUCCESSOR_POLL: Duration = Duration::from_millis(50);
/// How long a stop waits for the session to be closed.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// A request of the provider to the runner.
pub(super) enum Request {
    /// Hand leadership over to this candidate, or to the next one. The answer is the epoch that is given up.
    HandOver(Option<String>, oneshot::Sender<Result<LeaderEpoch, TransferError>>),
    /// Leave the election and close the session.
    Stop(oneshot::Sender<()>),
}

/// The provider's messages to the runner.
pub(super) struct Inbox {
    pub campaign: watch::Receiver<Option<Campaign>>,
    pub requests: mpsc::Receiver<Request>,
}

/// The own candidate's znode.
struct Latch {
    /// Number of the campaign for which it was created.
    campaign: u64,
    node: String,
    path: String,
    /// Id of the transaction that created it.
    created: u64,
    session: SessionId,
}

struct Runner {
    ensemble: Arc<Ensemble>,
    connection: Connection,
    inbox: Inbox,
    campaign: Option<Campaign>,
    latch: Option<Latch>,
    /// The session that owns the latch, to be resumed after a lost connection.
    session: Option<SessionInfo>,
    known: Known,
    predecessor: Option<(String, BoxFuture<'static, ()>)>,
    successor: Option<BoxFuture<'static, ()>>,
    /// When the current outage began.
    outage: Option<Instant>,
    leader: Option<String>,
    stopped: bool,
}

/// Runs until the provider stops.
pub(super) async fn run(ensemble: Arc<Ensemble>, connection: Connection, inbox: Inbox) {
    let mut runner = Runner {
        ensemble,
        connection,
        inbox,
        campaign: None,
        latch: None,
        session: None,
        known: Known::new(),
        predecessor: None,
        successor: None,
        outage: None,
        leader: None,
        stopped: false,
    };
    runner.inbox.campaign.mark_changed();
    while !runner.stopped {
        if let Some(client) = runner.connect().await {
            runner.serve(client).await;
        }
    }
}

impl Runner {
    /// Gets a session, with retries. `None` if the runner is told to stop.
    async fn connect(&mut self) -> Option<Tethered> {
        let mut backoff = Backoff::new(RETRY, MAX_BACKOFF);
        let mut delay = Duration::ZERO;
        while !self.stopped {
            let resumed = self.session.clone().filter(|_| self.latch.is_some());
            let (connection, ensemble) = (self.connection.clone(), Arc::clone(&self.ensemble));
            let session = resumed.clone();
            let connecting = async move {
                tokio::time::sleep(delay).await;
                tethered::connect(&ensemble.isolation, connection.connect(session)).await
            };
            let outcome = self.meanwhile(connecting).await?;
            let outcome = match outcome {
                Ok(client) => session::lay_foundation(&self.ensemble, &client).await.map(|()| client),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(client) => {
                    self.outage = None;
                    return Some(client);
                }
                Err(Error::SessionExpired) if resumed.is_some() => {
                    self.lose("the session has expired");
                    backoff.reset();
                    delay = Duration::ZERO;
                }
                Err(error) => {
                    let trouble = session::explain(&error);
                    warn!(trouble, "no session with ZooKeeper");
                    self.ensemble.set_trouble(trouble);
                    delay = backoff.next_delay();
                }
            }
        }
        None
    }

    /// Awaits `work` while there is no session, and handles the provider's messages meanwhile. `None` if it is told to stop.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let given_up = self.given_up();
            tokio::select! {
                done = &mut work => return Some(done),
                changed = self.inbox.campaign.changed() => {
                    if changed.is_err() {
                        self.stopped = true;
                        return None;
                    }
                    self.contend();
                }
                request = self.inbox.requests.recv() => match request {
                    Some(Request::HandOver(_, answer)) => {
                        let refusal = if self.ensemble.reign().is_some() { TransferError::TimedOut } else { TransferError::NotLeader };
                        // This fails if the caller does not wait any more.
                        let _ = answer.send(Err(refusal));
                    }
                    Some(Request::Stop(answer)) => {
                        self.lose("stopped");
                        self.stopped = true;
                        let _ = answer.send(());
                        return None;
                    }
                    None => {
                        self.stopped = true;
                        return None;
                    }
                },
                () = given_up => self.lose("ZooKeeper was unavailable for longer than the outage tolerance"),
            }
        }
    }

    /// Ends when the outage has lasted longer than the outage tolerance.
    fn given_up(&self) -> impl Future<Output = ()> + use<> {
        match self.outage.filter(|_| self.latch.is_some()) {
            Some(since) => Either::Left(tokio::time::sleep_until(since + self.ensemble.outage_tolerance)),
            None => Either::Right(pending()),
        }
    }

    /// Takes part in the election until the session ends.
    async fn serve(&mut self, client: Tethered) {
        session::open(&self.ensemble, &client);
        self.session = Some(client.session().clone());
        let mut link = self.ensemble.link.subscribe();
        let ensemble = Arc::clone(&self.ensemble);
        (self.predecessor, self.successor) = (None, None);
        let mut next = Instant::now();
        let mut gone = pin!(client.gone());
        loop {
            let connected = self.observe(&link.borrow_and_update());
            let Some(connected) = connected else { break };
            if connected && next <= Instant::now() {
                next = Instant::now() + self.step(&client).await;
            }
            let given_up = self.given_up();
            tokio::select! {
                _ = link.changed() => next = Instant::now(),
                changed = self.inbox.campaign.changed() => {
                    if changed.is_err() {
                        self.stopped = true;
                        break;
                    }
                    self.contend();
                    next = Instant::now();
                }
                request = self.inbox.requests.recv() => match request {
                    Some(Request::HandOver(to, answer)) => {
                        let result = self.hand_over(&client, to.as_deref()).await;
                        // This fails if the caller does not wait any more.
                        let _ = answer.send(result);
                        next = Instant::now();
                    }
                    Some(Request::Stop(answer)) => {
                        self.stop(client).await;
                        let _ = answer.send(());
                        return;
                    }
                    None => {
                        self.stopped = true;
                        break;
                    }
                },
                // The client's task has ended, and with it the connection.
                () = gone.as_mut() => {
                    self.outage.get_or_insert_with(Instant::now);
                    break;
                }
                () = ensemble.doubted.notified() => next = Instant::now(),
                () = fired(self.predecessor.as_mut().map(|(_, watch)| watch)) => {
                    self.predecessor = None;
                    next = Instant::now();
                }
                () = fired(self.successor.as_mut()) => {
                    self.successor = None;
                    next = Instant::now();
                }
                () = given_up => {
                    self.lose("ZooKeeper was unavailable for longer than the outage tolerance");
                    break;
                }
                () = tokio::time::sleep_until(next), if connected => {}
            }
        }
        session::close(&self.ensemble);
    }

    /// Whether ZooKeeper can be reached. `None` if the session has ended.
    fn observe(&mut self, link: &Link) -> Option<bool> {
        if link.connected {
            self.outage = None;
        } else if self.outage.is_none() {
            self.outage = Some(Instant::now());
            if self.ensemble.reign().is_some() {
                warn!("ZooKeeper can't be reached: the leader does nothing new until it can");
            }
        }
        (!link.ended).then_some(link.connected)
    }

    /// Switches to the newest campaign, or to none, at once. The next step updates the znodes.
    fn contend(&mut self) {
        let campaign = self.inbox.campaign.borrow_and_update().clone();
        let number = |campaign: &Option<Campaign>| campaign.as_ref().map(|campaign| campaign.number);
        if number(&self.campaign) != number(&campaign) {
            self.renounce();
            self.campaign = campaign;
        }
    }

    /// Gives up leadership in this process, if it leads.
    fn renounce(&mut self) {
        if self.ensemble.reign().is_some() {
            self.ensemble.set_reign(None);
            if let Some(campaign) = &self.campaign {
                campaign.contender.revoke();
            }
        }
    }

    /// Gives up leadership and candidacy in this process.
    fn lose(&mut self, why: &str) {
        if self.ensemble.reign().is_some() {
            info!(why, "leadership revoked");
        }
        self.renounce();
        self.latch = None;
        self.session = None;
        self.predecessor = None;
    }

    /// Checks the election once. Returns the time until the next check.
    async fn step(&mut self, client: &Tethered) -> Duration {
        match self.take_part(client).await {
            Ok(true) => TICK,
            Ok(false) => Duration::ZERO,
            Err(error) => {
                debug!(%error, "an election step failed");
                if error == Error::NoNode {
                    // The cluster's znodes were removed by hand.
                    if let Err(error) = session::lay_foundation(&self.ensemble, client).await {
                        warn!(%error, "can't create the znodes of the cluster");
                    }
                }
                RETRY
            }
        }
    }

    /// Takes the next step in the election. `false` if another step must follow at once.
    async fn take_part(&mut self, client: &Tethered) -> Result<bool, Error> {
        let wanted = self.campaign.as_ref().map(|campaign| campaign.number);
        // The latch belongs to an earlier campaign, or to a session that was given up.
        let is_left = |latch: &mut Latch| Some(latch.campaign) != wanted || latch.session != client.session_id();
        if let Some(latch) = self.latch.take_if(is_left) {
            if latch.session == client.session_id() {
                self.ensemble.resign(client, &latch.path, None).await?;
            }
            return Ok(false);
        }
        let ensemble = Arc::clone(&self.ensemble);
        if wanted.is_some() && self.successor.is_none() {
            let path = ensemble.layout.successor();
            let (_, watcher) = within(CALL_DEADLINE, client.check_and_watch_stat(&path)).await?;
            self.successor = Some(client.fired(watcher).boxed());
        }
        let field = contestants(&ensemble, client, &mut self.known).await?;
        ensemble.observe_members(field.iter().map(Contestant::member).collect());
        self.count_leaders(field.first());
        let own = self.latch.as_ref().map(|latch| latch.node.clone());
        let is_stray = |found: &&Contestant| found.session == client.session_id().0 && Some(&found.node) != own.as_ref();
        for stray in field.iter().filter(is_stray) {
            // It was created by a request whose answer was lost, or for an earlier campaign.
            self.ensemble.resign(client, &ensemble.layout.latch(&stray.node), None).await?;
        }
        let Some(campaign) = self.campaign.clone() else { return Ok(true) };
        let Some(own) = own else {
            self.latch = Some(self.stand(client, &campaign).await?);
            return Ok(false);
        };
        let Some(place) = field.iter().position(|found| found.node == own) else {
            self.lose("the candidate's znode does not exist any more");
            return Ok(false);
        };
        if let Some(reign) = ensemble.reign() {
            return self.go_on(client, &reign).await;
        }
        if place == 0 {
            return self.acquire(client, &campaign).await;
        }
        // Each candidate watches only the one before it. So when a candidate leaves, it wakes only the next one.
        self.watch_predecessor(client, &field[place - 1].node).await
    }

    fn count_leaders(&mut self, first: Option<&Contestant>) {
        let leader = first.map(|first| first.node.clone());
        if leader.is_some() && leader != self.leader {
            counter!(names::LEADER_CHANGES).increment(1);
            self.leader = leader;
        }
    }

    /// Becomes a candidate, behind all others.
    async fn stand(&self, client: &Client, campaign: &Campaign) -> Result<Latch, Error> {
        let json = serde_json::to_vec(&campaign.candidate).expect("a record of texts becomes JSON");
        let options = CreateMode::EphemeralSequential.with_acls(self.ensemble.acls);
        let prefix = self.ensemble.layout.latch_prefix();
        let (stat, sequence) = within(CALL_DEADLINE, client.create(&prefix, &json, &options)).await?;
        let path = format!("{prefix}{sequence}");
        let node = super::layout::name(&path).to_owned();
        debug!(node, "became a candidate");
        let (created, session) = (stat.czxid.cast_unsigned(), client.session_id());
        Ok(Latch { campaign: campaign.number, node, path, created, session })
    }

    async fn acquire(&mut self, client: &Client, campaign: &Campaign) -> Result<bool, Error> {
        let Some(latch) = &self.latch else { return Ok(false) };
        let Some(epoch) = self.ensemble.acquire(client, &latch.path, latch.created).await? else {
            self.lose("the candidate's znode does not exist any more");
            return Ok(false);
        };
        let (latch, session) = (latch.path.clone(), latch.session);
        info!(%epoch, "granted leadership");
        counter!(names::GRANTS).increment(1);
        self.predecessor = None;
        self.ensemble.observe_epoch(epoch);
        self.ensemble.set_reign(Some(Reign { epoch, latch, session, published: None }));
        campaign.contender.grant(Leadership::grant(epoch, campaign.candidate.clone(), wall_clock_ms()));
        Ok(true)
    }

    /// Checks that this process still leads and that its published record and address still exist.
    async fn go_on(&mut self, client: &Client, reign: &Reign) -> Result<bool, Error> {
        let layout = &self.ensemble.layout;
        let found = within(CALL_DEADLINE, data(client, &layout.epoch())).await?;
        let stored = found.and_then(|(text, _)| parse_epoch(&text));
        if stored != Some(reign.epoch) {
            warn!(?stored, epoch = %reign.epoch, "the stored epoch is not the epoch of this leader");
            // This process becomes a candidate again, behind the others.
            let path = reign.latch.clone();
            self.lose("superseded");
            self.ensemble.resign(client, &path, None).await?;
            return Ok(false);
        }
        let Some(record) = &reign.published else { return Ok(true) };
        let paths = [layout.leader_record(), layout.connection_info()];
        let there = pipelined(paths.iter().map(|path| stat(client, path)).collect()).await?;
        let own = |found: &zookeeper_client::Stat| found.ephemeral_owner == client.session_id().0;
        if there[0].is_none() || !there[1].as_ref().is_some_and(own) {
            info!("the published record or address was removed: it is written again");
            let (ensemble, record) = (Arc::clone(&self.ensemble), record.clone());
            spawn("zookeeper-publish", async move {
                let outcome = ensemble.publish(&record).await;
                debug!(?outcome, "published again");
            });
        }
        Ok(true)
    }

    async fn watch_predecessor(&mut self, client: &Tethered, node: &str) -> Result<bool, Error> {
        if self.predecessor.as_ref().is_some_and(|(watched, _)| watched == node) {
            return Ok(true);
        }
        self.predecessor = None;
        let path = self.ensemble.layout.latch(node);
        let (found, watcher) = within(CALL_DEADLINE, client.check_and_watch_stat(&path)).await?;
        if found.is_none() {
            return Ok(false);
        }
        self.predecessor = Some((node.to_owned(), client.fired(watcher).boxed()));
        Ok(true)
    }

    /// Resigns in favor of a named candidate or of the next one. Returns the epoch that was given up.
    async fn hand_over(&mut self, client: &Client, to: Option<&str>) -> Result<LeaderEpoch, TransferError> {
        let Some(reign) = self.ensemble.reign() else { return Err(TransferError::NotLeader) };
        let target = self.find_successor(client, to).await?;
        let resigned = self.ensemble.resign(client, &reign.latch, Some(&target)).await;
        if let Err(error) = resigned {
            // The resignation may have been applied; the next check of the election shows that.
            warn!(%error, "it is unknown whether leadership was handed over");
            return Err(TransferError::TimedOut);
        }
        self.lose("handed over");
        Ok(reign.epoch)
    }

    async fn find_successor(&mut self, client: &Client, to: Option<&str>) -> Result<String, TransferError> {
        let deadline = Instant::now() + SUCCESSOR_PATIENCE;
        loop {
            let field = contestants(&self.ensemble, client, &mut self.known).await.map_err(|error| {
                debug!(%error, "can't look for a successor");
                TransferError::TimedOut
            })?;
            let own = self.latch.as_ref().map(|latch| latch.node.as_str());
            let mut others = field.iter().filter(|found| Some(found.node.as_str()) != own);
            // Take the newest candidate of this name: an earlier one belongs to a process that has died.
            let target = match to {
                Some(name) => others.rfind(|found| found.candidate.name == name),
                None => others.next(),
            };
            match target {
                Some(target) => return Ok(target.node.clone()),
                None if to.is_none() || Instant::now() > deadline => {
                    return Err(TransferError::NoTarget(to.unwrap_or("no other member contends").to_owned()));
                }
                // It may be about to become a candidate.
                None => tokio::time::sleep(SUCCESSOR_POLL).await,
            }
        }
    }

    async fn stop(&mut self, client: Tethered) {
        let latch = self.latch.take();
        self.lose("stopped");
        self.stopped = true;
        let connected = self.ensemble.link.borrow().connected;
        if let Some(latch) = latch.filter(|_| connected)
            && let Err(error) = self.ensemble.resign(&client, &latch.path, None).await
        {
            info!(%error, "could not leave the election; the candidate's znode ends with the session");
        }
        let mut state = client.state_watcher();
        (self.predecessor, self.successor) = (None, None);
        session::close(&self.ensemble);
        drop(client);
        if connected {
            let closing = async { while !state.changed().await.is_terminated() {} };
            if tokio::time::timeout(CLOSE_DEADLINE, closing).await.is_err() {
                debug!("the session is left to expire");
            }
        }
    }
}

/// Ends when the watch ends; never if there is none.
async fn fired(watch: Option<&mut BoxFuture<'static, ()>>) {
    match watch {
        Some(watch) => watch.await,
        None => pending().await,
    }
}
