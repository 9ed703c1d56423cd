//! The alert rules as Kubernetes' Prometheus Operator takes them: `deploy/alerts` again, under the head of an object.
//! It is committed, because `kubectl apply -k` reads no file outside of its folder.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::checkout;

const RULES: &str = "deploy/alerts/steeple.rules.yml";
const OBJECT: &str = "deploy/kubernetes/monitoring/rules.yaml";
const HEAD: &str = "\
# Made from deploy/alerts/steeple.rules.yml by `cargo xtask codegen`: change that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: steeple
  namespace: steeple
spec:
";

pub fn write() -> Result<()> {
    Ok(std::fs::write(path(), wanted()?)?)
}

/// Fails when the committed object is not what the rules give.
pub fn check() -> Result<()> {
    if std::fs::read_to_string(path()).ok() != Some(wanted()?) {
        bail!("{OBJECT} is stale; run `cargo xtask codegen`");
    }
    Ok(())
}

fn path() -> PathBuf {
    checkout::root().join(OBJECT)
}

fn wanted() -> Result<String> {
    let rules = std::fs::read_to_string(checkout::root().join(RULES)).context(RULES)?;
    object(&rules).with_context(|| format!("{RULES} has no line \"groups:\""))
}

/// Two columns further in, which changes nothing of what YAML says, blocks of text included.
fn object(rules: &str) -> Option<String> {
    let groups = &rules[rules.find("\ngroups:\n")? + 1..];
    let indented = groups.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") });
    Some(HEAD.to_owned() + &indented.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_stand_below_the_head() {
        let made = object("# groups: not yet\ngroups:\n  - name: a\n\n    expr: |\n      x\n").unwrap();
        assert_eq!(made.strip_prefix(HEAD), Some("  groups:\n    - name: a\n\n      expr: |\n        x\n"));
        assert_eq!(object("rules: []\n"), None);
    }
}
