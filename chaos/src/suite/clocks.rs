//! What happens to wall clocks.

use std::time::Duration;

use steeple_testkit::Offset;

use super::site::name;
use super::stage::{Stage, followed};

pub(super) const HOUR_AHEAD: Offset = Offset::Ahead(Duration::from_secs(3600));
pub(super) const HOUR_BEHIND: Offset = Offset::Behind(Duration::from_secs(3600));
pub(super) const YEAR_AHEAD: Offset = Offset::Ahead(Duration::from_secs(365 * 24 * 3600));

/// What a replica says whose clock is not the quorum's.
const CLOCK_IS_WRONG: &str = "clock is wrong";

/// Its time may not become the cluster's, so another one has to lead.
pub(super) async fn leader_is(stage: &mut Stage<'_>, offset: Offset) -> anyhow::Result<String> {
    let before = stage.led().await?;
    let mark = stage.site.log_mark(before.position);
    stage.site.clocks[before.position].set(offset)?;
    let after = stage.led_by_another(before).await?;
    stage.says(before.position, mark, CLOCK_IS_WRONG).await?;
    stage.hold().await?;
    Ok(format!("{} said that its clock is wrong; {}", name(before.position), followed(before, after)))
}

pub(super) async fn follower_is(stage: &mut Stage<'_>, offset: Offset) -> anyhow::Result<String> {
    let position = stage.follower().await?;
    let mark = stage.site.log_mark(position);
    stage.site.clocks[position].set(offset)?;
    stage.says(position, mark, CLOCK_IS_WRONG).await?;
    stage.hold().await?;
    Ok(format!("{} said that its clock is wrong", name(position)))
}
