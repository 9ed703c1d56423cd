//! Completion scripts, written from the table of commands.

use crate::{Command, Flag, Kind, Program};

/// For whom a script is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// A word that may come next, and what it is about.
type Choice = (String, &'static str);

/// What may follow the words typed so far.
struct Place {
    /// Words separated by one space; empty at the beginning.
    path: String,
    words: Vec<Choice>,
    flags: Vec<Flag>,
}

impl<A> Program<A> {
    /// The script that completes this program's command lines in `shell`.
    pub fn completion(&self, shell: Shell) -> String {
        let places = self.places();
        let function = format!("_{}", self.name.replace('-', "_"));
        match shell {
            Shell::Bash => bash(self.name, &function, &places),
            Shell::Fish => fish(self.name, &function, &places),
            Shell::Zsh => zsh(self.name, &function, &places),
        }
    }

    fn places(&self) -> Vec<Place> {
        let mut paths: Vec<&str> = self.groups.iter().map(|group| group.path).collect();
        paths.extend(self.commands().map(|command| command.path));
        paths.push("");
        paths.sort_unstable();
        paths.dedup();
        let place = |path: &str| {
            let command = self.commands().find(|command| command.path == path);
            let words = self.words_below(path).into_iter().map(|(word, about)| (word.to_owned(), about)).collect();
            let mut flags: Vec<Flag> = command.map(|command| Command::flags(command).collect()).unwrap_or_default();
            flags.sort_by_key(|flag| flag.name);
            Place { path: path.to_owned(), words, flags }
        };
        paths.into_iter().map(place).collect()
    }
}

impl Place {
    /// Words and flags with what they are about.
    fn choices(&self) -> impl Iterator<Item = Choice> + '_ {
        let flags = self.flags.iter().map(|flag| (format!("-{}", flag.name), flag.help));
        self.words.iter().cloned().chain(flags)
    }

    /// Flags that the next word belongs to.
    fn valued(&self) -> impl Iterator<Item = &Flag> {
        self.flags.iter().filter(|flag| flag.kind != Kind::Bool)
    }
}

fn bash(name: &str, function: &str, places: &[Place]) -> String {
    let mut arms = String::new();
    for place in places {
        let words: Vec<String> = place.choices().map(|(word, _)| word).collect();
        let valued: Vec<String> = place.valued().map(|flag| format!("-{}", flag.name)).collect();
        let (path, words, valued) = (&place.path, words.join(" "), valued.join(" "));
        arms += &format!("    \"{path}\") words=\"{words}\" valued=\" {valued} \" ;;\n");
    }
    format!(
        "# Completion for bash; load it with: source <({name} completion bash)\n\
         {function}() {{\n    \
             local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n    \
             local typed= words= valued= word\n    \
             for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n        \
                 case $word in -*) break ;; esac\n        \
                 typed+=${{typed:+ }}$word\n    \
             done\n    \
             case $typed in\n{arms}    esac\n    \
             COMPREPLY=()\n    \
             if [[ $before == -output ]]; then words=\"{OUTPUTS}\"\n    \
             elif [[ $valued == *\" $before \"* ]]; then return; fi\n    \
             mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n\
         }}\n\
         complete -o default -F {function} {name}\n"
    )
}

fn zsh(name: &str, function: &str, places: &[Place]) -> String {
    // A colon ends the word, and a quote the text.
    let described = |(word, about): Choice| format!("'{word}:{}'", about.replace('\'', "'\\''"));
    let mut arms = String::new();
    for place in places {
        let choices: Vec<String> = place.choices().map(described).collect();
        let valued: Vec<String> = place.valued().map(|flag| format!("-{}", flag.name)).collect();
        let (path, choices, valued) = (&place.path, choices.join("\n            "), valued.join(" "));
        arms += &format!("        \"{path}\")\n            valued=({valued})\n            choices=({choices}) ;;\n");
    }
    format!(
        "#compdef {name}\n\
         # Completion for zsh; load it with: source <({name} completion zsh)\n\
         {function}() {{\n    \
             local typed word\n    \
             local -a choices valued\n    \
             for word in ${{words[2,CURRENT-1]}}; do\n        \
                 [[ $word == -* ]] && break\n        \
                 typed+=${{typed:+ }}$word\n    \
             done\n    \
             case $typed in\n{arms}    esac\n    \
             if [[ $words[CURRENT-1] == -output ]]; then\n        \
                 choices=({OUTPUTS})\n    \
             elif (( ${{valued[(Ie)$words[CURRENT-1]]}} )); then\n        \
                 _files; return\n    \
             fi\n    \
             _describe {name} choices || _files\n\
         }}\n\
         compdef {function} {name}\n"
    )
}

fn fish(name: &str, function: &str, places: &[Place]) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut lines = String::new();
    for place in places {
        let at = format!("complete -c {name} -n '_{function}_at \"{}\"'", place.path);
        for (word, about) in &place.words {
            lines += &format!("{at} -a {word} -d {}\n", quoted(about));
        }
        for flag in &place.flags {
            let value = match flag.kind {
                Kind::Bool => String::new(),
                Kind::Output(_) => format!(" -x -a '{OUTPUTS}'"),
                _ => " -r -F".to_owned(),
            };
            lines += &format!("{at} -o {}{value} -d {}\n", flag.name, quoted(flag.help));
        }
    }
    format!(
        "# Completion for fish; load it with: {name} completion fish | source\n\
         function _{function}_at\n    \
             set -l typed\n    \
             set -l words (commandline -opc)\n    \
             set -e words[1]\n    \
             for word in $words\n        \
                 string match -q -- '-*' $word; and break\n        \
                 set -a typed $word\n    \
             end\n    \
             test \"$typed\" = \"$argv[1]\"\n\
         end\n\
         complete -c {name} -f\n{lines}"
    )
}

/// Values of `-output`.
const OUTPUTS: &str = "pretty json";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Group, Help, OUTPUT};

    const HELP: Help = Help::ours("Does it.", &[]);

    static COMMANDS: [Command<u8>; 3] = [
        Command {
            path: "entry create",
            synopsis: "Creates what isn't there",
            help: HELP,
            flags: &[&[OUTPUT, Flag::bool("admin", "It's an administrator: yes"), Flag::text("data", "A file")]],
            action: 0,
        },
        Command { path: "entry count", synopsis: "Counts", help: HELP, flags: &[], action: 0 },
        Command { path: "run", synopsis: "Runs", help: HELP, flags: &[], action: 0 },
    ];
    const PROGRAM: Program<u8> = Program {
        name: "the-prog",
        version: "1",
        groups: &[Group { path: "entry", synopsis: "Entries" }],
        commands: &[&COMMANDS],
    };

    /// What bash offers for the last of `words`.
    fn offered(words: &[&str]) -> Vec<String> {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "{}\nCOMP_WORDS=({}); COMP_CWORD={}; _the_prog; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            PROGRAM.completion(Shell::Bash),
            quoted.join(" "),
            words.len() - 1
        );
        let output = std::process::Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn bash_offers_words_then_flags_then_values() {
        assert_eq!(offered(&["the-prog", ""]), ["entry", "run"]);
        assert_eq!(offered(&["the-prog", "entry", "c"]), ["count", "create"]);
        assert_eq!(offered(&["the-prog", "entry", "create", "-"]), ["-admin", "-data", "-output"]);
        assert_eq!(offered(&["the-prog", "entry", "create", "-admin", "-d"]), ["-data"]);
        assert_eq!(offered(&["the-prog", "entry", "create", "-output", ""]), ["pretty", "json"]);
        assert_eq!(offered(&["the-prog", "entry", "create", "-data", "x"]), [""; 0], "file names are bash's business");
    }

    #[test]
    fn quotes_in_texts_stay_inside() {
        let zsh = PROGRAM.completion(Shell::Zsh);
        assert!(zsh.contains("'-admin:It'\\''s an administrator: yes'"), "{zsh}");
        let fish = PROGRAM.completion(Shell::Fish);
        assert!(fish.contains("-o admin -d 'It\\'s an administrator: yes'\n"), "{fish}");
        assert!(fish.contains("_at \"entry\"' -a create -d 'Creates what isn\\'t there'\n"), "{fish}");
    }
}
