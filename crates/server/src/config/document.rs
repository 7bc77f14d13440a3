//! The text of `ochre.conf`: every directive with its value and what it does, written from the rows.
//!
//! `ochre --default-config` prints it, and `cargo xtask fix` keeps the file in the repository equal to it.

use super::{Config, Directive, Flags, Section, directives};

/// The text before the first section, a paragraph each.
const INTRODUCTION: [&str; 4] = [
    "The configuration of Ochre: every directive with its default, except where a comment says otherwise. `ochre --default-config` prints \
     this file.",
    "Start the server with `ochre /path/to/ochre.conf`. A line has a directive and its value; `ochre --port 7000` sets the same directive on \
     the command line. CONFIG SET changes a directive while the server runs, and CONFIG REWRITE writes the change to the file. \
     Directives marked \"At start only\" cannot be changed that way.",
    "Sizes: 1k is 1000 bytes and 1kb is 1024 bytes; m, mb, g and gb likewise, in upper or lower case. Quote a value that has spaces: \"a b\", \
     where \\n \\r \\t \\\\ \\\" and \\xHH are escapes, or 'a b', where \\' is one.",
    "Two directives have no default. `include FILE` reads another file at this place, or all files that a pattern such as conf.d/*.conf \
     matches. `rename-command OLD NEW` renames a command; with \"\" as NEW it removes the command.",
];

/// The text after the heading of the last section.
const KEPT: &str = "Directives of Redis and Valkey that Ochre accepts, keeps and reports with CONFIG GET, so that files and tools made for \
                    those servers work. They have no effect in Ochre. The comments say what they do in Redis, or in Valkey where only \
                    that has them.";

/// The text of `ochre.conf`.
pub fn document() -> String {
    let mut text = String::new();
    for (index, paragraph) in INTRODUCTION.iter().enumerate() {
        if index > 0 {
            text.push_str("#\n");
        }
        push_comment(&mut text, paragraph);
    }
    let defaults = Config::default();
    let mut section = None;
    for directive in directives() {
        if section != Some(directive.section) {
            section = Some(directive.section);
            text.push_str(&format!("\n{:#^100}\n", format!(" {} ", directive.section.title())));
            if directive.section == Section::Kept {
                text.push('\n');
                push_comment(&mut text, KEPT);
            }
        }
        push_directive(&mut text, directive, &defaults);
    }
    text
}

fn push_directive(text: &mut String, directive: &Directive, defaults: &Config) {
    let mut comment = directive.doc.trim().to_owned();
    if directive.flags.contains(Flags::NO_EFFECT_YET) {
        comment.push_str(" No effect in this version.");
    }
    if directive.section != Section::Kept && directive.flags.contains(Flags::IMMUTABLE) {
        comment.push_str(" At start only.");
    }
    if !directive.aliases.is_empty() {
        comment.push_str(&format!(" Also called {}.", directive.aliases.join(", ")));
    }
    if directive.in_file.is_some() {
        comment.push_str(&format!(" Without this line: {}.", directive.default));
    }
    text.push('\n');
    push_comment(text, &comment);
    if let Some(example) = directive.example {
        text.push_str(&format!("# Example: {} {example}\n", directive.name));
    }
    let lines = directive.in_file.map_or_else(|| directive.lines(defaults), |value| vec![value.as_bytes().to_vec()]);
    for line in lines {
        text.push_str(&format!("{} {}\n", directive.name, String::from_utf8_lossy(&line)));
    }
}

/// Writes a comment in lines of at most 100 characters.
fn push_comment(text: &mut String, comment: &str) {
    const LINE_LEN_MAX: usize = 100;
    let mut line = String::from("#");
    for word in comment.split_whitespace() {
        if line.len() + 1 + word.len() > LINE_LEN_MAX {
            text.push_str(&line);
            text.push_str("\n#");
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
