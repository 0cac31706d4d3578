//! Disks under a raft log that fail, corrupt data, or are slow.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::power::disk;
use super::{Draw, Effect, chosen, followed};
use crate::lossy_disk::FailedSync;
use crate::run::scene::{PATIENCE, Scene};

/// How long a sync takes on a slow disk, in milliseconds: at least the first, less than the second.
const SLOW_MS: (u64, u64) = (50, 500);

/// The first failed sync must end the process. The data of this sync stays readable, and later syncs either skip it or write it.
/// In a third variant, the machine loses power as well, and the data is lost.
pub(super) fn sync_fails(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let (what, power_goes, then) = match draw.number % 3 {
        0 => (FailedSync::Drops, true, "its machine lost power"),
        1 => (FailedSync::Drops, false, "the unwritten data counts as written"),
        _ => (FailedSync::Keeps, false, "the unwritten data can still be written"),
    };
    let failed = disk(scene, &leader)?.footprint().failed_syncs;
    disk(scene, &leader)?.fail_next_sync(what);
    let status = scene.await_end(&leader)?;
    disk(scene, &leader)?.let_syncs_succeed();
    let failed = disk(scene, &leader)?.footprint().failed_syncs - failed;
    let footprint = match status {
        Some(status) if failed > 0 && !status.success() => Ok(format!("a sync failed, and the process ended: {status}")),
        Some(status) => Err(format!("{failed} syncs failed, and the process ended: {status}")),
        None => Err(format!("{failed} syncs failed, but the process did not end")),
    };
    let followed = followed(scene, epoch);
    if power_goes {
        disk(scene, &leader)?.cut_power();
        disk(scene, &leader)?.restore_power();
    }
    scene.wait(draw.lasts);
    scene.restart(&leader)?;
    Ok(Effect::new(leader, footprint.and_then(|effect| Ok(format!("{effect}; {then}; {}", followed?)))))
}

pub(super) fn slow(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let delay = Duration::from_millis(SLOW_MS.0 + draw.number % (SLOW_MS.1 - SLOW_MS.0));
    let before = disk(scene, &leader)?.footprint().delayed_syncs;
    disk(scene, &leader)?.set_delay(delay);
    scene.until(PATIENCE, |_| (scene.lossy_disks[&leader].footprint().delayed_syncs > before).then_some(()));
    scene.wait(draw.lasts);
    disk(scene, &leader)?.set_delay(Duration::ZERO);
    let delayed = disk(scene, &leader)?.footprint().delayed_syncs - before;
    let now = scene.view.get().leader().map_or(epoch, |(_, epoch)| epoch);
    let footprint = if delayed == 0 {
        Err("nothing was synced".to_owned())
    } else {
        Ok(format!("{delayed} syncs took {} ms each; epoch {epoch} before, {now} after", delay.as_millis()))
    };
    Ok(Effect::new(leader, footprint))
}

/// Flips a bit in old durable data of a JobManager that is down. The JobManager must notice this, report it and not serve. Then
/// its operator empties the disk, and the JobManager is admitted again as a member that lost everything.
pub(super) fn flip_a_bit(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (_, epoch) = scene.leader()?;
    let name = chosen(&scene.cluster.jobmanager_names(), draw);
    scene.kill(&name)?;
    scene.wait(draw.lasts);
    let Some((path, at)) = disk(scene, &name)?.flip_a_bit(old_frames) else {
        scene.restart(&name)?;
        return Ok(Effect::new(name, Err("its disk had no data that was old enough to damage".to_owned())));
    };
    let said_before = scene.log_of(&name).len();
    scene.restart(&name)?;
    let status = scene.await_end(&name)?;
    let said = scene.said_since(&name, said_before, "is damaged at byte");
    let noticed = match (status, said) {
        (Some(status), Some(_)) if !status.success() => {
            Ok(format!("{} was damaged at byte {at}; the process reported it and ended", path.display()))
        }
        (status, said) => {
            Err(format!("{} was damaged at byte {at}; the process logged {said:?} and its end was {status:?}", path.display()))
        }
    };
    // A process that did not notice the damage must not run on the emptied disk.
    scene.cluster.kill(&name)?;
    disk(scene, &name)?.wipe();
    let said_before = scene.log_of(&name).len();
    scene.restart(&name)?;
    let back = scene.until(PATIENCE, |_| scene.said_since(&name, said_before, "this member is a voter now"));
    let back = match back {
        Some(_) => Ok("with an empty disk, it is a member again"),
        None => Err("with an empty disk, it was not admitted again".to_owned()),
    };
    let leads = followed_if_needed(scene, epoch);
    Ok(Effect::new(name, noticed.and_then(|noticed| Ok(format!("{noticed}; {}; {}", back?, leads?)))))
}

fn followed_if_needed(scene: &Scene, epoch: u64) -> Result<String, String> {
    match scene.view.get().leader() {
        Some((name, same)) if same == epoch => Ok(format!("{name} still leads")),
        _ => followed(scene, epoch),
    }
}

/// The part of a raft log before its newest frame. Damage to the newest frame looks like a write that a power loss tore. The
/// layout is that of `ha/src/raft/log/frame.rs`: a header, then frames that begin with a magic number.
fn old_frames(path: &Path, bytes: &[u8]) -> Option<Range<usize>> {
    const HEADER: usize = 32;
    const MAGIC: &[u8] = b"WFRM";
    path.extension().filter(|extension| *extension == "log")?;
    let newest = bytes.windows(MAGIC.len()).rposition(|window| window == MAGIC)?;
    Some(HEADER..newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_flipped_between_the_header_and_the_newest_frame() {
        let bytes = [&[7; 32][..], b"WFRM one WFRM two", &[0; 50]].concat();
        assert_eq!(old_frames(Path::new("log/0.log"), &bytes), Some(32..41));
        assert_eq!(old_frames(Path::new("vote"), &bytes), None);
        assert_eq!(old_frames(Path::new("log/0.log"), &bytes[..32]), None);
    }
}
