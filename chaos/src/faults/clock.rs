//! Wall clocks that jump.

use std::io;
use std::time::Duration;

use weir_client::ClusterClient;

use super::{Draw, Effect};
use crate::cluster::clocks::CACHED_SECONDS;
use crate::run::scene::Scene;

/// A jump is at least as long as the first, plus less than the second, in seconds.
const JUMP_SECONDS: (u64, u64) = (60, 3_600);
/// How long a JobManager may take to report its clock.
const LOOK: Duration = Duration::from_secs(5);

pub(super) fn jump(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, _) = scene.leader()?;
    let clocks = scene.clocks.as_ref().ok_or_else(|| io::Error::other("this cluster's clocks can't be set"))?;
    let far = JUMP_SECONDS.0 + draw.number / 2 % JUMP_SECONDS.1;
    let seconds = if draw.number.is_multiple_of(2) { far.cast_signed() } else { -far.cast_signed() };
    clocks.set(&leader, seconds)?;
    scene.wait(Duration::from_secs(CACHED_SECONDS) + draw.lasts);
    let told = clock_of(scene, &leader);
    clocks.set(&leader, 0)?;
    // The clock must be right again before the next fault begins.
    scene.wait(Duration::from_secs(CACHED_SECONDS));
    let off = told.map(|told| (told - weir_world::wall_clock_ms().cast_signed()) / 1_000);
    let footprint = match off {
        Some(off) if (off - seconds).abs() < 30 => Ok(format!("its clock was {off:+} s off")),
        off => Err(format!("its clock was set {seconds:+} s off, but it reported {off:?}")),
    };
    Ok(Effect::new(leader, footprint))
}

/// The wall clock that this JobManager reports, in milliseconds since 1970. Asks this JobManager even if another one leads now.
fn clock_of(scene: &Scene, name: &str) -> Option<i64> {
    let client = ClusterClient::new(vec![scene.cluster.rest_address(name)?]).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(client.ha_status(LOOK)).ok()?;
    Some(answer.now_ms.cast_signed())
}
