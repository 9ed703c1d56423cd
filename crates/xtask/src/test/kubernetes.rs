//! The manifests as kustomize makes them, against the JSON schemas of several versions of Kubernetes. What the objects
//! say of each other, and whether they run, is a matter of the tests of `deploy`.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::tally::Tally;
use super::verdict::{Counted, Verdict};
use super::workshop::Workshop;
use crate::checkout;

const OVERLAYS: [&str; 2] = ["three", "five"];
/// The oldest that the manifests are for, and the newest that the checker has.
const VERSIONS: [&str; 2] = ["1.33", "1.37"];
/// Without it nothing is to be had.
const KUBECTL: &str = "kubectl";

pub fn run(workshop: &Workshop) -> Result<Verdict> {
    let client = Command::new(KUBECTL).args(["version", "--client"]).stdout(Stdio::null()).status();
    if !client.is_ok_and(|status| status.success()) {
        let counted = Counted::Whole(Tally { not_run: OVERLAYS.len() * VERSIONS.len(), ..Tally::default() });
        return Ok(Verdict { counted, complaint: None });
    }
    let python = workshop.tools().python("interop/python/requirements.txt")?;
    let folder = tempfile::tempdir()?;
    let mut passed = 0;
    for overlay in OVERLAYS {
        let source = checkout::root().join("deploy/kubernetes/overlays").join(overlay);
        let made = folder.path().join(format!("{overlay}.yaml"));
        let mut kustomize = Command::new(KUBECTL);
        kustomize.arg("kustomize").arg(&source).arg("--output").arg(&made);
        workshop.succeed("kubernetes: kustomize", kustomize)?;
        for version in VERSIONS {
            let mut check = Command::new(&python);
            check
                .args(["-m", "kubernetes_validate", "--strict", "--quiet", "--kubernetes-version", version])
                .arg(&made);
            workshop.succeed("kubernetes: schemas", check).with_context(|| format!("{overlay}, {version}"))?;
            passed += 1;
        }
    }
    Ok(Verdict { counted: Counted::Whole(Tally { passed, ..Tally::default() }), complaint: None })
}
