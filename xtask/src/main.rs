//! The workspace's own commands: `cargo xtask …`. One file a subject; this one only tells them apart.

mod asan;
mod bench;
mod compat;
mod differential;
mod fuzz;
mod generated;
mod loom;
mod shell;
mod testing;

use std::env;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [PART…]      set up and run everything, or some parts: fmt, clippy, unit, loom, asan, compat,
                    or a test program of tests/ (differential, protocol, clients, …)
  verify            what can be checked without changing or running anything: format, clippy, generated files
  fix               format the code and write the generated files anew
  compat            write COMPAT.md from the running servers
  differential      explore with the differential test; --help tells how
  bench             measure beside the reference servers; --help tells how
  asan              the crates with unsafe code under AddressSanitizer
  loom              gate and lock sets in every order of events
  fuzz [TARGET]     fuzz targets; without a name, list them
  references        only set up the reference servers, and tell where they are
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        print!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let result = match command.as_str() {
        "test" => testing::test(rest),
        "verify" => testing::verify(),
        "fix" => testing::fix(),
        "compat" => testing::build_server().and_then(|()| generated::write()),
        "differential" => differential::run(rest),
        "bench" => bench::run(rest),
        "asan" => asan::run(),
        "loom" => loom::run(),
        "fuzz" => fuzz::run(rest),
        "references" => ochre_testkit::references::set_up().map(|references| println!("{references:#?}")),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("there is no command {other}\n\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
