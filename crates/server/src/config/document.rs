//! `ochre.conf`: every directive with its default and what it does, made from the rows.

use super::{Config, Directive, Group, directives};

/// The text of `ochre.conf`.
pub fn document() -> String {
    let mut text = String::new();
    push_comment(
        &mut text,
        "The configuration of Ochre: every directive with its default. Start with `ochre /path/to/ochre.conf`. A line is a directive \
         and its value; give it as an option too: `ochre --port 7000`. Most can be changed while the server runs, by CONFIG SET, and \
         written back by CONFIG REWRITE; those that cannot say \"at start only\".",
    );
    text.push_str("#\n");
    push_comment(
        &mut text,
        "Sizes: 1k is 1000 bytes, 1kb is 1024 bytes, likewise m, mb, g, gb; upper or lower case. Quote words with spaces: \"a b\", with \
         \\n \\r \\t \\\\ \\\" \\xHH inside, or 'a b' with \\' inside.",
    );
    text.push_str("#\n");
    push_comment(
        &mut text,
        "Lines without a default: `include FILE` reads another file here, a pattern like conf.d/*.conf many; `rename-command OLD NEW` \
         gives a command another name, and takes it away with \"\".",
    );
    let defaults = Config::default();
    let mut group = None;
    for directive in directives() {
        if group != Some(directive.group) {
            group = Some(directive.group);
            push_heading(&mut text, directive.group);
        }
        push_directive(&mut text, directive, &defaults);
    }
    text
}

fn push_heading(text: &mut String, group: Group) {
    let title = match group {
        Group::Network => "Network",
        Group::Clients => "Clients and their limits",
        Group::Security => "Security",
        Group::Process => "The process",
        Group::Log => "Log",
        Group::Memory => "Memory",
        Group::DataTypes => "Data types",
        Group::Events => "Notifications and scripts",
        Group::Observation => "Observation",
        Group::Replicas => "Replicas",
        Group::Kept => "Kept for tools",
    };
    text.push_str(&format!("\n{:#^100}\n", format!(" {title} ")));
    if group == Group::Kept {
        text.push('\n');
        push_comment(
            text,
            "Directives of Redis and Valkey that are accepted, kept and reported by CONFIG GET, so that their files and tools work, and \
             that have no effect. What is said of them is what they do there.",
        );
    }
}

fn push_directive(text: &mut String, directive: &Directive, defaults: &Config) {
    let mut doc = directive.doc.trim().to_owned();
    if directive.is_used() && directive.flags.contains(super::Flags::IMMUTABLE) {
        doc.push_str(" At start only.");
    }
    if !directive.aliases.is_empty() {
        doc.push_str(&format!(" Also: {}.", directive.aliases.join(", ")));
    }
    text.push('\n');
    push_comment(text, &doc);
    for line in directive.lines(defaults) {
        text.push_str(&format!("{} {}\n", directive.name, String::from_utf8_lossy(&line)));
    }
}

/// A comment in lines of at most 100 characters.
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
