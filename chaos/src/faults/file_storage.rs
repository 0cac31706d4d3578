//! Faults of the file storage that all processes share.

use std::io;

use super::power::disk;
use super::{Draw, Effect};
use crate::run::scene::{FILE_STORAGE, PATIENCE, Scene};

pub(super) fn full(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let disk = disk(scene, FILE_STORAGE)?;
    let refused = || disk.footprint().refused_writes;
    let before = refused();
    disk.set_full(true);
    scene.until(PATIENCE, |_| (refused() > before).then_some(()));
    scene.wait(draw.lasts);
    disk.set_full(false);
    let footprint = match refused() - before {
        0 => Err("nothing was written".to_owned()),
        count => Ok(format!("{count} writes were refused because the disk was full")),
    };
    Ok(Effect::new(FILE_STORAGE, footprint))
}
