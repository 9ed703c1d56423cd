//! Which Unix socket a command talks to.

use std::path::PathBuf;

use crate::{Environment, Flag, Values};

/// The names by which one kind of socket is configured.
#[derive(Clone, Copy, Debug)]
pub struct SocketNames {
    pub default_path: &'static str,
    /// Environment variable with a path.
    pub path_env: &'static str,
    /// Environment variable with a path in which `%i` stands for the instance.
    pub template_env: &'static str,
    /// SPIRE's text for an instance without a template.
    pub no_template: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    #[error("{0}")]
    NoTemplate(&'static str),
    #[error("failed to find %i in {0}")]
    NoPlaceholder(&'static str),
}

impl SocketNames {
    pub const fn path_flag(&self, help: &'static str) -> Flag {
        Flag::text_or("socketPath", self.default_path, help)
    }

    /// For a command with `-socketPath` and `-instance`. An explicit path wins over the instance, the instance over the
    /// environment, the environment over the default. SPIRE treats a path equal to the default as not given; so do we.
    pub fn resolve(&self, values: &Values, environment: &Environment) -> Result<PathBuf, SocketError> {
        let (path, instance) = (values.text("socketPath"), values.text("instance"));
        let template = environment.get(self.template_env).unwrap_or("");
        if !instance.is_empty() {
            if template.is_empty() {
                return Err(SocketError::NoTemplate(self.no_template));
            }
            if !template.contains("%i") {
                return Err(SocketError::NoPlaceholder(self.template_env));
            }
        }
        let chosen = if path != self.default_path {
            path.to_owned()
        } else if !instance.is_empty() {
            template.replace("%i", instance)
        } else {
            environment.get(self.path_env).filter(|path| !path.is_empty()).unwrap_or(path).to_owned()
        };
        Ok(PathBuf::from(chosen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: SocketNames = SocketNames {
        default_path: "/tmp/d.sock",
        path_env: "SOCK",
        template_env: "SOCK_TEMPLATE",
        no_template: "no template",
    };

    fn resolve(args: &[&str], environment: &[(&str, &str)]) -> Result<PathBuf, SocketError> {
        let flags = [NAMES.path_flag(""), Flag::text("instance", "")];
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        NAMES.resolve(&Values::parse(flags, &args).unwrap(), &environment.iter().copied().collect())
    }

    #[test]
    fn precedence() {
        let environment = [("SOCK", "/e.sock"), ("SOCK_TEMPLATE", "/t/%i.sock")];
        let path = |args: &[&str]| resolve(args, &environment).unwrap();
        assert_eq!(path(&["-socketPath", "/x", "-instance", "a"]), PathBuf::from("/x"));
        assert_eq!(path(&["-instance", "a"]), PathBuf::from("/t/a.sock"));
        assert_eq!(path(&[]), PathBuf::from("/e.sock"));
        assert_eq!(resolve(&[], &[]).unwrap(), PathBuf::from("/tmp/d.sock"));
    }

    #[test]
    fn an_instance_needs_a_template() {
        assert_eq!(resolve(&["-instance", "a"], &[]), Err(SocketError::NoTemplate("no template")));
        let without = [("SOCK_TEMPLATE", "/t/x.sock")];
        assert_eq!(resolve(&["-instance", "a"], &without), Err(SocketError::NoPlaceholder("SOCK_TEMPLATE")));
    }
}
