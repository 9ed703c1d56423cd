//! A disk that changes a bit.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use steeple_testkit::Dice;

use super::site::name;
use super::stage::Stage;

/// Where a bit flips: the directory below the data, and what the names of the files begin and end with.
const PLACES: [(&str, &str, &str); 5] = [
    ("db", "", ".log"),
    ("db", "", ".sst"),
    ("db", "MANIFEST-", ""),
    ("snapshots", "", ".snapshot"),
    ("db", "", ".log"),
];

/// A follower is killed, one bit of one file flips, and it starts again, once for each place. Either it refuses to,
/// says which file it is and what to do, and is replaced; or the bit meant nothing, and it goes on with the state that
/// the others have, which the samples of the run compare.
pub(super) async fn bit_flipped(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let (mut refused, mut harmless) = (Vec::new(), Vec::new());
    for place in PLACES {
        let position = stage.follower().await?;
        let node_id = stage.site.server(position).admin().status().await?.node_id;
        stage.site.server(position).kill9().await?;
        let data = stage.site.server(position).data_dir();
        let flipped = flip(&data, place, &mut stage.dice)?;
        let mark = stage.site.log_mark(position);
        stage.site.server(position).launch()?;
        match stage.site.server(position).ready().await {
            Ok(()) => {
                stage.site.cluster.caught_up(position).await?;
                harmless.extend(flipped);
            }
            Err(error) => {
                let what = flipped.with_context(|| format!("{}: {error:#}", name(position)))?;
                let line = stage.says(position, mark, "corrupt").await?;
                ensure!(line.contains("rejoin"), "{} does not say what to do: {line}", name(position));
                ensure!(format!("{error:#}").contains("ended ("), "it goes on: {error:#}");
                stage.site.replace(position, node_id).await?;
                refused.push(what);
            }
        }
        stage.writes(super::stage::WRITES, super::stage::LED_MAX).await?;
    }
    ensure!(!refused.is_empty(), "none of these was noticed: {}", harmless.join(", "));
    Ok(format!("refused with {}; harmless: {}", refused.join(", "), harmless.join(", ")))
}

/// Returns where; `None` if there is no such file.
fn flip(data: &Path, (dir, prefix, suffix): (&str, &str, &str), dice: &mut Dice) -> anyhow::Result<Option<String>> {
    let Ok(listed) = std::fs::read_dir(data.join(dir)) else { return Ok(None) };
    let is_meant = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(suffix) && path.metadata().is_ok_and(|file| file.len() > 0)
    };
    let mut files: Vec<PathBuf> = listed.flatten().map(|file| file.path()).filter(is_meant).collect();
    files.sort();
    if files.is_empty() {
        return Ok(None);
    }
    let path = &files[dice.below(files.len() as u64) as usize];
    let mut content = std::fs::read(path)?;
    let (at, bit) = (dice.below(content.len() as u64) as usize, dice.below(8));
    content[at] ^= 1 << bit;
    std::fs::write(path, &content).with_context(|| path.display().to_string())?;
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Some(format!("bit {bit} of byte {at} of {} in {file}", content.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_of_one_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("db");
        std::fs::create_dir(&db).unwrap();
        for name in ["000004.log", "000007.log", "CURRENT"] {
            std::fs::write(db.join(name), [0; 100]).unwrap();
        }
        std::fs::write(db.join("000009.log"), []).unwrap();
        let ones = || -> u32 {
            let files = std::fs::read_dir(&db).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
            files.flatten().map(u8::count_ones).sum()
        };
        let mut dice = Dice::new(3);
        let told = flip(dir.path(), PLACES[0], &mut dice).unwrap().unwrap();
        assert_eq!(ones(), 1, "{told}");
        assert!(told.contains("000004.log") || told.contains("000007.log"), "{told}");
        assert_eq!(flip(dir.path(), PLACES[1], &mut dice).unwrap(), None);
        assert_eq!(flip(dir.path(), PLACES[3], &mut dice).unwrap(), None);
    }
}
