//! The workspace's own commands: `cargo xtask …`. Each has a file of its own; this one chooses among them.

mod asan;
mod bench;
mod compat;
mod crash;
mod differential;
mod fuzz;
mod generated;
mod growth;
mod loom;
mod mutants;
mod shell;
mod testing;

use std::env;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [PART…]      run all tests, or some parts: fmt, clippy, doc, unit, generated, loom, asan,
                    or a test program of tests/ (differential, protocol, clients, …)
  verify            check format, lints, documentation and generated files; changes no file
  fix               format the code and write the generated files
  compat            write COMPAT.md only
  differential      run the differential test with other seeds or fewer commands; see --help
  crash             kill servers that write, and compare what they come back with; see --help
  bench             measure Ochre and the reference servers; see --help
  growth            find commands whose cost grows faster than their work; see --help
  asan              test the crates with unsafe code under AddressSanitizer
  loom              test gate and lock sets in all orders of events
  fuzz [TARGET]     run a fuzz target; without a name, list them
  mutants [PLACE…]  list the changes of the code that no test notices; see --help
  references        set up the reference servers and print where they are
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
        "compat" => generated::write_compat(),
        "differential" => differential::run(rest),
        "crash" => crash::run(rest),
        "bench" => bench::run(rest),
        "growth" => growth::run(rest),
        "asan" => asan::run(),
        "loom" => loom::run(),
        "fuzz" => fuzz::run(rest),
        "mutants" => mutants::run(rest),
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
