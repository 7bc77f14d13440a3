//! The binary `ochre`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ochre_server::start::main()
}
