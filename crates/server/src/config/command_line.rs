//! The arguments of `ochre`: a port or a file, `-` for standard input, and `--directive value …`.

use std::{
    ffi::{OsStr, OsString},
    io::Read,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use super::{
    file::{Origin, Reader, StartError},
    rules::system_text,
    settings::Config,
    words,
};

/// What the arguments ask for.
#[derive(PartialEq, Eq, Debug)]
pub enum Invocation {
    /// Print [`usage`].
    Help,
    /// Print [`version`].
    Version,
    /// Print the text of `ochre.conf`.
    DefaultConfig,
    /// Check a file of data: `ochre check …`, with these arguments.
    Check(Vec<OsString>),
    /// Run the server.
    Serve(Sources),
}

/// Where the configuration is read from, in the order of the fields. A later source overrides an earlier one.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Whether to read standard input.
    pub standard_input: bool,
    /// The options, as lines of a configuration file.
    pub options: Vec<u8>,
}

impl Invocation {
    /// Parses the arguments, without the program's name.
    pub fn parse(arguments: &[OsString]) -> Invocation {
        let words: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        match words[..] {
            [b"-h" | b"--help", ..] => Invocation::Help,
            [b"-v" | b"--version", ..] => Invocation::Version,
            [b"--default-config", ..] => Invocation::DefaultConfig,
            // A configuration file of this name has to be named by a path.
            [b"check", ..] => Invocation::Check(arguments.to_vec()),
            _ => Invocation::Serve(Sources::parse(&words)),
        }
    }
}

impl Sources {
    fn parse(words: &[&[u8]]) -> Sources {
        let mut sources = Sources::default();
        let mut rest = words;
        if let [first, tail @ ..] = words
            && !first.starts_with(b"-")
        {
            rest = tail;
            if first.iter().all(u8::is_ascii_digit) && !first.is_empty() {
                // A bare port is for a person at a terminal, who types lines and reads the replies.
                sources.options = [b"port ", *first, b"\ninline-replies plain"].concat();
            } else {
                sources.file = Some(PathBuf::from(OsStr::from_bytes(first)));
            }
        }
        sources.read_options(rest);
        sources
    }

    /// Turns `--name value …` into lines, by Redis's rules: a word that begins with `--` is the value of the option before it if that has none
    /// yet, except after `--save`, whose value may be left out.
    fn read_options(&mut self, words: &[&[u8]]) {
        let mut option_has_value = true;
        for (index, word) in words.iter().enumerate() {
            let next = words.get(index + 1);
            if *word == b"-" && (index == 0 || next.is_none()) {
                self.standard_input = true;
            } else if option_has_value && let Some(option) = word.strip_prefix(b"--") {
                if !self.options.is_empty() {
                    self.options.push(b'\n');
                }
                self.options.extend(option);
                self.options.push(b' ');
                // `--port 6380` may come as one argument.
                option_has_value = words::split(word).is_none_or(|words| words.len() != 1);
                if word.eq_ignore_ascii_case(b"--save") && next.is_none_or(|next| next.starts_with(b"--")) {
                    self.options.extend(b"\"\"");
                    option_has_value = true;
                }
            } else {
                self.options.extend(words::quote(word));
                self.options.push(b' ');
                option_has_value = true;
            }
        }
    }

    /// Reads all sources into a configuration.
    pub(super) fn read(&self, defaults: Config) -> Result<Config, StartError> {
        let mut reader = Reader::new(defaults);
        if let Some(file) = &self.file {
            reader.read_file(file)?;
        }
        if self.standard_input {
            let mut text = Vec::new();
            let read = std::io::stdin().read_to_end(&mut text);
            let reason = |error| format!("Standard input cannot be read: {}", system_text(&error));
            read.map_err(|error| StartError::Setting { reason: reason(error) })?;
            reader.read_text(&Origin::StandardInput, &text)?;
        }
        reader.read_text(&Origin::CommandLine, &self.options)?;
        Ok(reader.config)
    }
}

/// The output of `--help`.
pub fn usage() -> &'static str {
    "Usage: ochre [PORT | /path/to/ochre.conf] [options] [-]
       ochre - (read config from stdin)
       ochre -v or --version
       ochre -h or --help
       ochre --default-config (print ochre.conf, which has every directive)
       ochre check FILE (show what is in an RDB file, and where it is broken)

Examples:
       ochre (run the server with default conf)
       ochre 3000 (listen on port 3000, and reply to typed lines in plain text)
       echo 'maxmemory 128mb' | ochre -
       ochre /etc/ochre/6379.conf
       ochre --port 7777
       ochre --port 7777 --requirepass secret
       ochre /etc/ochre.conf --loglevel verbose -
       ochre /etc/ochre.conf --loglevel verbose

Every directive of ochre.conf can be given as an option."
}

/// The output of `--version`, in the format of Redis's.
pub fn version() -> String {
    let bits = usize::BITS;
    format!("Ochre server v={} sha={}:0 malloc=jemalloc bits={bits} build=0", env!("CARGO_PKG_VERSION"), commit())
}

/// The commit that was built, if the variable `OCHRE_COMMIT` was set for the build.
pub fn commit() -> &'static str {
    option_env!("OCHRE_COMMIT").unwrap_or("00000000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], file: Option<&str>, standard_input: bool, options: &str) {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let expected = Sources { file: file.map(PathBuf::from), standard_input, options: options.into() };
        assert_eq!(Invocation::parse(&arguments), Invocation::Serve(expected));
    }

    #[test]
    fn arguments_become_lines() {
        check(&[], None, false, "");
        check(&["3000"], None, false, "port 3000\ninline-replies plain");
        check(&["3000", "--threads", "2"], None, false, "port 3000\ninline-replies plain\nthreads \"2\" ");
        check(&["a.conf"], Some("a.conf"), false, "");
        check(&["-"], None, true, "");
        check(&["a.conf", "--port", "1", "-"], Some("a.conf"), true, "port \"1\" ");
        check(&["--port", "1", "--bind", "a", "b"], None, false, "port \"1\" \nbind \"a\" \"b\" ");
        check(&["--port 1", "--bind a b"], None, false, "port 1 \nbind a b ");
        check(&["--daemonize", "--port", "1"], None, false, "daemonize \"--port\" \"1\" ");
        check(&["--save", "", "--port", "1"], None, false, "save \"\" \nport \"1\" ");
        check(&["--save", "--port", "1"], None, false, "save \"\"\nport \"1\" ");
        check(&["--save"], None, false, "save \"\"");
        check(&["--port", "--1"], None, false, "port \"--1\" ");
        check(&["--port", "-1", "--requirepass", "a b"], None, false, "port \"-1\" \nrequirepass \"a b\" ");
    }

    #[test]
    fn help_and_version() {
        assert_eq!(Invocation::parse(&["--help".into()]), Invocation::Help);
        assert_eq!(Invocation::parse(&["-v".into()]), Invocation::Version);
        assert!(version().starts_with("Ochre server v=0."));
    }
}
