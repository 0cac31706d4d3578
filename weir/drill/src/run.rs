//! Runs a drill from its preconditions to its verdict.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;
use weir_client::{ClientError, ClusterClient};
use weir_protocol::rest::{DrillBegin, DrillMeasures, DrillObjectives, DrillResult};

use crate::Drill;
use crate::bounds::Bounds;
use crate::command_template::CommandTemplate;
use crate::finding::Finding;
use crate::outage::{Breaking, OutageCommands};
use crate::plan;
use crate::precondition::{self, Given};
use crate::probe::{ProcessClient, Sample, Watchers};
use crate::reach::{Injected, Reach, run_command};
use crate::step::Step;
use crate::survey::{MAX_JOBS, Survey};
use crate::timeline::Timeline;
use crate::verdict::{self, Outcome};
use crate::victim::{Action, Role, Victim};

/// How long the cluster is watched before anything is broken, so that the usual gaps are known.
const BASELINE: Duration = Duration::from_millis(1_500);
/// How many samples may wait.
const SAMPLES: usize = 4_096;
/// The cluster is told how long the drill may take at most. This is added, in milliseconds, for the time between steps.
const MARGIN_MS: u64 = 30_000;
/// How long it may take to tell the cluster the result.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// While the effect of a fault is watched, the drill says this often what it still waits for.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// Pause between two checks whether the cluster can survive the next step.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// An agent that is ordered an outage begins it within this time, or never.
const AGENT_PATIENCE: Duration = Duration::from_secs(5);

/// How many missed objectives, and how many notes, a result keeps.
const SENTENCES_KEPT: usize = 8;
/// How many bytes of each of them a result keeps.
const SENTENCE_BYTES: usize = 300;
/// How many victims a result names.
const VICTIMS_KEPT: usize = 50;

/// The options of a drill.
#[derive(Debug, Clone)]
pub struct DrillOptions {
    pub drill: Drill,
    /// REST addresses of JobManagers.
    pub addresses: Vec<String>,
    /// How long to wait for a leader before anything is broken.
    pub patience: Duration,
    pub objectives: DrillObjectives,
    /// Name of the TaskManager to kill; `None` means one that runs tasks.
    pub victim: Option<String>,
    /// How long a process is paused.
    pub pause: Duration,
    /// How long an outage lasts.
    pub outage: Duration,
    /// How long the effect of one fault is watched at most. For an outage, this counts from its end.
    pub deadline: Duration,
    /// Whether the drill waits until an ended process comes back.
    pub expected_back: bool,
    /// Whether a supervisor restarts ended processes.
    pub supervised: bool,
    pub command: Option<CommandTemplate>,
    pub restart_command: Option<CommandTemplate>,
    /// Commands that cause and end an outage instead of agents.
    pub outage_commands: Option<OutageCommands>,
}

impl DrillOptions {
    /// How long the fault lasts until it is ended. Zero for a fault that is not ended.
    fn lasts(&self) -> Duration {
        match self.drill {
            Drill::LeaderPause => self.pause,
            drill if drill.is_outage() => self.outage,
            _ => Duration::ZERO,
        }
    }
}

/// What a drill would do, and whether it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examination {
    pub drill: &'static str,
    /// What is done, in this order, for people.
    pub steps: Vec<String>,
    pub preconditions: Vec<Finding>,
    /// Whether all preconditions hold.
    pub allowed: bool,
}

/// Why a drill has no result.
#[derive(Debug)]
pub enum DrillError {
    /// The cluster does not answer, or refuses.
    Client(ClientError),
    /// Something on this machine failed.
    Here(String),
    /// A precondition does not hold; nothing was changed.
    Refused(Box<Examination>),
    /// The drill was interrupted. Says that the fault was ended, or how it ends by itself.
    Interrupted(String),
}

impl From<ClientError> for DrillError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// A drill that can be examined and run.
pub struct Exercise {
    options: DrillOptions,
    http: ProcessClient,
    reach: Reach,
    client: ClusterClient,
    /// Called with a line for each thing that happens.
    say: fn(&str),
    id: String,
    began: Option<(Instant, u64)>,
    /// The fault in effect now. It ends by itself at this moment; `None` means that the drill must end it.
    broken: Option<(Step, Option<Instant>)>,
    /// The command that causes an outage, from its start to the end of the outage.
    breaking: Option<Breaking>,
    victims: Vec<String>,
    notes: Vec<String>,
    jobs: usize,
}

impl Exercise {
    /// Sends no request and changes nothing yet.
    pub fn new(options: DrillOptions, say: fn(&str)) -> Result<Self, DrillError> {
        let http = ProcessClient::new().map_err(DrillError::Here)?;
        let client = ClusterClient::new(options.addresses.clone())?;
        let reach =
            Reach { http: http.clone(), command: options.command.clone(), outage_commands: options.outage_commands.clone() };
        Ok(Self {
            id: format!("{}-{:08x}", options.drill.name(), weir_world::random_id() as u32),
            options,
            http,
            reach,
            client,
            say,
            began: None,
            broken: None,
            breaking: None,
            victims: Vec::new(),
            notes: Vec::new(),
            jobs: 0,
        })
    }

    /// The steps with their targets, and every precondition with what was found. Changes nothing.
    pub async fn examine(&self) -> Result<Examination, DrillError> {
        Ok(self.look().await?.1)
    }

    async fn look(&self) -> Result<(Vec<Step>, Examination), DrillError> {
        let survey = self.survey().await?;
        let for_ms = self.options.lasts().as_millis() as u64;
        let planned = plan::steps(self.options.drill, &survey, for_ms, self.options.victim.as_deref());
        let (steps, preconditions) = match planned {
            Ok(steps) => {
                let findings = precondition::examine(&survey, &steps, self.given());
                (steps, findings)
            }
            Err(found) => {
                let condition = "there is a process to break".to_owned();
                (Vec::new(), vec![Finding { holds: false, condition, found }])
            }
        };
        let examination = Examination {
            drill: self.options.drill.name(),
            steps: steps.iter().map(Step::text).collect(),
            allowed: preconditions.iter().all(|finding| finding.holds),
            preconditions,
        };
        Ok((steps, examination))
    }

    async fn survey(&self) -> Result<Survey, ClientError> {
        let mut survey = Survey::take(&self.http, &self.options.addresses, self.options.patience).await?;
        if self.options.drill.is_outage() {
            // Without the bounds, the drill is refused.
            survey.bounds = Bounds::ask(&self.http, &survey.leader.rest_address, &survey.ha.provider, &survey.jobs).await.ok();
        }
        Ok(survey)
    }

    fn given(&self) -> Given {
        Given {
            command: self.options.command.is_some(),
            outage_commands: self.options.outage_commands.is_some(),
            restarted: self.options.supervised || self.options.restart_command.is_some(),
        }
    }

    /// Runs the drill until its end or until `interrupted`, and makes the cluster keep the result.
    pub async fn run(&mut self, interrupted: impl Future<Output = std::io::Result<()>>) -> Result<DrillResult, DrillError> {
        let outcome = tokio::select! {
            biased;
            _ = interrupted => None,
            outcome = self.carry_out() => Some(outcome),
        };
        let Some(outcome) = outcome else { return Err(self.break_off().await) };
        let outcome = outcome?;
        let result = self.result(outcome);
        self.keep(&result).await;
        Ok(result)
    }

    async fn carry_out(&mut self) -> Result<Outcome, DrillError> {
        let (steps, examination) = self.look().await?;
        if !examination.allowed {
            return Err(DrillError::Refused(Box::new(examination)));
        }
        let longest_step = (self.options.deadline + self.options.lasts()).as_millis() as u64 + MARGIN_MS;
        let for_ms = longest_step.saturating_mul(steps.len() as u64);
        let begin = DrillBegin {
            id: self.id.clone(),
            drill: self.options.drill.name().to_owned(),
            for_ms: for_ms.clamp(1, DrillBegin::MAX_MS),
        };
        // From here on, the cluster may know the drill, so it must be told when the drill ends.
        self.began = Some((Instant::now(), weir_world::wall_clock_ms()));
        self.client.begin_drill(&begin, self.options.patience).await?;
        (self.say)(&format!("drill {} has begun: restarts do not count against any job", self.id));
        let mut whole: Option<Outcome> = None;
        for step in steps {
            let outcome = match self.when_it_can_be_borne(step, whole.is_some()).await {
                Ok((survey, step)) => self.step(&survey, &step).await,
                Err(why) => Outcome { not_injected: Some(why), ..Outcome::default() },
            };
            let goes_on = outcome.recovered && outcome.still_away.is_empty() && outcome.not_injected.is_none();
            whole = Some(match whole {
                None => outcome,
                Some(before) => join(before, outcome),
            });
            if !goes_on {
                break;
            }
        }
        Ok(whole.unwrap_or_default())
    }

    /// The current state of the cluster, and the step on it. After a first step, waits until the cluster has its redundancy back.
    async fn when_it_can_be_borne(&self, planned: Step, waits: bool) -> Result<(Survey, Step), String> {
        let started = Instant::now();
        loop {
            let mut survey = self.survey().await.map_err(|error| error.to_string())?;
            // The running drill is this one.
            survey.drill = None;
            let refused = match as_it_is_now(&survey, &planned) {
                None => format!("{} was not found", planned.victim.name),
                Some(step) => {
                    let findings = precondition::examine(&survey, std::slice::from_ref(&step), self.given());
                    let needless = |finding: &Finding| finding.condition == precondition::A_JOB_RUNS_THERE;
                    match findings.iter().find(|finding| !(finding.holds || waits && needless(finding))) {
                        None => return Ok((survey, step)),
                        Some(finding) => format!("{}: {}", finding.condition, finding.found),
                    }
                }
            };
            if !waits || started.elapsed() > self.options.deadline {
                return Err(refused);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Injects one fault and watches its effect.
    async fn step(&mut self, survey: &Survey, step: &Step) -> Outcome {
        self.victims.push(step.target().to_owned());
        self.jobs = self.jobs.max(survey.jobs.len());
        if survey.jobs_left_out > 0 {
            self.note(format!("{} jobs were not watched: at most {MAX_JOBS} are", survey.jobs_left_out));
        }
        let jobs: Vec<_> = survey.jobs.iter().map(|job| job.job_id).collect();
        let (sender, mut samples) = mpsc::channel(SAMPLES);
        let since = Instant::now();
        let _watchers = Watchers::start(&self.http, &survey.watched(), &jobs, since, &sender);
        let expected_back = self.options.expected_back || !step.disruption.ends_the_process();
        let mut timeline = Timeline::new(survey, step, expected_back);
        take_for(&mut timeline, &mut samples, BASELINE).await;

        (self.say)(&step.text());
        if let Err(why) = self.prepare(step) {
            return Outcome { not_injected: Some(why), ..Outcome::default() };
        }
        let (injected, seen_meanwhile) = {
            let mut inject = std::pin::pin!(self.reach.inject(step, self.options.deadline, self.breaking.as_mut()));
            let mut seen: Vec<Sample> = Vec::new();
            let injected = loop {
                tokio::select! {
                    biased;
                    injected = &mut inject => break injected,
                    Some(sample) = samples.recv() => seen.push(sample),
                }
            };
            (injected, seen)
        };
        let injected = match injected {
            Ok(injected) => injected,
            Err(why) => {
                // The fault may have been injected in part.
                self.mend().await;
                return Outcome { not_injected: Some(why), ..Outcome::default() };
            }
        };
        self.broken = self.is_to_mend(step, injected);
        let elapsed_at = |at: Instant| at.saturating_duration_since(since).as_millis() as u64;
        timeline.inject(elapsed_at(injected.at));
        if let Some(mends_in) = injected.mends_in {
            timeline.ends(elapsed_at(injected.at + mends_in));
        }
        seen_meanwhile.into_iter().for_each(|sample| timeline.take(sample));
        let restart = self.restart_of(step);
        self.follow(&mut timeline, &mut samples, step, since).await;
        if let Some(restart) = restart
            && let Ok(Err(why)) = restart.await
        {
            self.note(why);
        }
        Outcome {
            measures: timeline.measures(),
            not_injected: None,
            not_seen: timeline.waits_for(),
            failed_jobs: timeline.failed_jobs(),
            recovered: timeline.has_recovered(),
            unexpected: timeline.unexpected(),
            still_away: timeline.is_still_away().then(|| step.victim.name.clone()).into_iter().collect(),
        }
    }

    /// From the moment at which an outage may have begun, an interruption of the drill must end it.
    fn prepare(&mut self, step: &Step) -> Result<(), String> {
        if step.disruption.outage().is_none() {
            return Ok(());
        }
        let lasts = self.options.outage;
        self.breaking = self.options.outage_commands.as_ref().map(|commands| Breaking::start(commands, lasts)).transpose()?;
        let mends_itself = self.breaking.is_none().then(|| Instant::now() + AGENT_PATIENCE + lasts);
        self.broken = Some((step.clone(), mends_itself));
        Ok(())
    }

    fn is_to_mend(&self, step: &Step, injected: Injected) -> Option<(Step, Option<Instant>)> {
        if self.reach.must_mend(step.disruption) {
            return Some((step.clone(), None));
        }
        injected.mends_in.map(|mends_in| (step.clone(), Some(injected.at + mends_in)))
    }

    /// Restarts an ended process, if there is a command for it.
    fn restart_of(&self, step: &Step) -> Option<tokio::task::JoinHandle<Result<(), String>>> {
        let template = self.options.restart_command.clone().filter(|_| step.disruption.ends_the_process())?;
        let victim = step.victim.clone();
        Some(weir_world::spawn("drill-restart", async move { run_command(&template, Action::Start, &victim).await }))
    }

    /// Takes samples until everything was seen or the time is up. Meanwhile, ends a pause or an outage that a command has caused.
    async fn follow(&mut self, timeline: &mut Timeline, samples: &mut mpsc::Receiver<Sample>, step: &Step, since: Instant) {
        let lasts = step.disruption.outage().map_or(Duration::ZERO, |(_, for_ms)| Duration::from_millis(for_ms));
        let deadline = Instant::now() + lasts + self.options.deadline;
        let mut wake_at = self.reach.must_mend(step.disruption).then(|| Instant::now() + self.options.lasts());
        let mut say_at = Instant::now() + SAY_AGAIN;
        while !timeline.is_over() {
            tokio::select! {
                Some(sample) = samples.recv() => timeline.take(sample),
                () = tokio::time::sleep_until(deadline.into()) => break,
                () = tokio::time::sleep_until(say_at.into()) => {
                    say_at = Instant::now() + SAY_AGAIN;
                    let left = deadline.saturating_duration_since(Instant::now()).as_secs();
                    (self.say)(&format!("waits {left} s more at most: {}", timeline.waits_for().join(", ")));
                }
                () = tokio::time::sleep_until(wake_at.unwrap_or(deadline).into()), if wake_at.is_some() => {
                    wake_at = None;
                    self.mend().await;
                    if self.broken.is_none() {
                        timeline.ends(since.elapsed().as_millis() as u64);
                    }
                }
            }
            timeline.take_news().iter().for_each(|line| (self.say)(line));
        }
        if wake_at.is_some() {
            self.mend().await;
        }
        // A process that has come back needs no repair.
        let is_mended = self.breaking.is_none() && !timeline.is_still_away();
        if is_mended {
            self.broken = None;
        }
    }

    /// Ends a pause or an outage that a command has caused, or an outage early, and says so.
    async fn mend(&mut self) {
        let Some((step, mends_itself)) = self.broken.clone() else { return };
        let is_outage = step.disruption.outage().is_some();
        if mends_itself.is_some() && !is_outage {
            return;
        }
        match self.reach.mend(&step, self.breaking.as_mut()).await {
            Ok(()) => {
                (self.broken, self.breaking) = (None, None);
                (self.say)(&format!("{} {}", step.target(), if is_outage { "can be reached again" } else { "continues" }));
            }
            Err(why) if mends_itself.is_some() => self.note(why),
            Err(why) => self.note(format!("{} {}: {why}", step.target(), still(&step))),
        }
    }

    fn note(&mut self, note: String) {
        (self.say)(&format!("note: {note}"));
        self.notes.push(note);
    }

    /// On Ctrl-C: ends the fault if it can, says what ends by itself, and tells the cluster.
    async fn break_off(&mut self) -> DrillError {
        self.mend().await;
        let state = match &self.broken {
            None => "nothing is left broken".to_owned(),
            Some((step, Some(at))) => {
                let left = at.saturating_duration_since(Instant::now()).as_millis();
                format!("{} recovers by itself in {left} ms", step.target())
            }
            Some((step, None)) if step.disruption.outage().is_some() => {
                format!(
                    "{} {}: run the mend command by hand; a watchdog also runs it, a minute after the planned end",
                    step.target(),
                    still(step)
                )
            }
            Some((step, None)) => format!("{} {}: resume it (SIGCONT)", step.target(), still(step)),
        };
        if self.began.is_none() {
            return DrillError::Interrupted("before anything was changed".to_owned());
        }
        let ended: Vec<String> = self.victims.clone();
        let mut result = self.result(Outcome::default());
        result.missed = vec![format!("the drill was interrupted; {state}")];
        self.keep(&result).await;
        DrillError::Interrupted(format!(
            "{state}; broken so far: {}",
            if ended.is_empty() { "nothing".into() } else { ended.join(", ") }
        ))
    }

    fn result(&self, outcome: Outcome) -> DrillResult {
        let missed = verdict::missed(self.options.objectives, &outcome);
        let mut notes = self.notes.clone();
        if missed.is_empty() {
            notes.extend(outcome.not_seen.iter().map(|what| format!("when the time was up, {what}")));
        }
        let (began, began_at_ms) = self.began.unwrap_or_else(|| (Instant::now(), weir_world::wall_clock_ms()));
        DrillResult {
            id: self.id.clone(),
            drill: self.options.drill.name().to_owned(),
            began_at_ms,
            took_ms: began.elapsed().as_millis() as u64,
            victims: self.victims.iter().take(VICTIMS_KEPT).cloned().collect(),
            jobs: self.jobs as u32,
            passed: missed.is_empty(),
            missed: first_few(missed),
            notes: first_few(notes),
            objectives: self.options.objectives,
            measures: outcome.measures,
        }
    }

    /// Makes the cluster keep the result. A failure is only reported, because the drill has already ended.
    async fn keep(&self, result: &DrillResult) {
        if let Err(error) = self.client.end_drill(result, END_PATIENCE).await {
            (self.say)(&format!("note: the cluster did not keep the result: {error}"));
        }
    }
}

fn still(step: &Step) -> &'static str {
    if step.disruption.outage().is_some() { "IS STILL UNAVAILABLE" } else { "IS STILL PAUSED" }
}

/// The first few sentences, shortened: the cluster limits the size of a result.
fn first_few(mut sentences: Vec<String>) -> Vec<String> {
    let left_out = sentences.len().saturating_sub(SENTENCES_KEPT);
    sentences.truncate(SENTENCES_KEPT);
    for sentence in &mut sentences {
        sentence.truncate(sentence.floor_char_boundary(SENTENCE_BYTES));
    }
    if left_out > 0 {
        sentences.push(format!("and {left_out} more"));
    }
    sentences
}

/// The planned step on the current cluster: the leader may have changed, and a TaskManager may be another incarnation.
fn as_it_is_now(survey: &Survey, planned: &Step) -> Option<Step> {
    let now = |planned: &Victim| match planned.role {
        Role::JobManager => survey.jobmanager(&planned.name),
        Role::TaskManager => survey.taskmanagers.iter().map(|seen| seen.victim()).find(|seen| seen.name == planned.name),
    };
    let victim = now(&planned.victim)?;
    let leads = victim.role == Role::JobManager && victim.name == survey.leader.name;
    // The effect of an outage is seen at the leader, so the victim must still lead.
    let as_planned = leads || planned.disruption.outage().is_none();
    let others = planned.others.iter().filter_map(now).collect();
    as_planned.then_some(Step { disruption: planned.disruption, leads, victim, others })
}

async fn take_for(timeline: &mut Timeline, samples: &mut mpsc::Receiver<Sample>, duration: Duration) {
    let end = tokio::time::Instant::now() + duration;
    loop {
        tokio::select! {
            Some(sample) = samples.recv() => timeline.take(sample),
            () = tokio::time::sleep_until(end) => return,
        }
    }
}

/// Combines two steps: the worse value of each measure counts.
fn join(before: Outcome, after: Outcome) -> Outcome {
    let measures = if after.not_injected.is_some() { before.measures } else { worst(&before.measures, &after.measures) };
    Outcome {
        measures,
        not_injected: after.not_injected,
        not_seen: after.not_seen,
        failed_jobs: [before.failed_jobs, after.failed_jobs].concat(),
        unexpected: [before.unexpected, after.unexpected].concat(),
        recovered: before.recovered && after.recovered,
        still_away: [before.still_away, after.still_away].concat(),
    }
}

fn worst(before: &DrillMeasures, after: &DrillMeasures) -> DrillMeasures {
    let mut worst = before.worst_with(after);
    // If a standby stops, no process detects it. This is not a missing measure.
    worst.detection_ms = before.detection_ms.max(after.detection_ms);
    worst
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Its connections are accepted by the system, and nothing ever answers.
    #[tokio::test]
    async fn a_cluster_that_never_answers_ends_the_drill_with_what_it_waited_for() {
        let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let options = DrillOptions {
            drill: Drill::LeaderKill,
            addresses: vec![address],
            patience: Duration::from_millis(300),
            objectives: DrillObjectives::default(),
            victim: None,
            pause: Duration::ZERO,
            outage: Duration::ZERO,
            deadline: Duration::from_secs(1),
            expected_back: true,
            supervised: false,
            command: None,
            restart_command: None,
            outage_commands: None,
        };
        let mut exercise = Exercise::new(options, |_| ()).unwrap();
        let error = exercise.run(std::future::pending()).await.expect_err("there is no cluster");
        assert!(matches!(&error, DrillError::Client(ClientError::NoLeader { waited_ms: 300.., .. })), "{error:?}");
    }
}
