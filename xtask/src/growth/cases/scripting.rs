//! Scripts.

use super::super::case::{Case, case};

pub const CASES: &[Case] = &[
    case("EVAL", "keys", &[], &["EVAL 'return #KEYS' {n} [k#]"]),
    case(
        "EVALSHA",
        "keys",
        &["SCRIPT LOAD 'return 1'"],
        &["EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db {n} [k#]"],
    ),
    case(
        "EVALSHA_RO",
        "keys",
        &["SCRIPT LOAD 'return 1'"],
        &["EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db {n} [k#]"],
    ),
    case("EVAL_RO", "keys", &[], &["EVAL_RO 'return #KEYS' {n} [k#]"]),
    case("SCRIPT EXISTS", "scripts", &[], &["SCRIPT EXISTS [k#]"]),
    case("SCRIPT FLUSH", "scripts", &["n times: SCRIPT LOAD 'return @'"], &["SCRIPT FLUSH"]),
    case("SCRIPT LOAD", "scripts", &[], &["n times: SCRIPT LOAD 'return @'"]),
    case(
        "SCRIPT SHOW",
        "scripts",
        &["n times: SCRIPT LOAD 'return @'"],
        &["SCRIPT SHOW e0e1f9fabfc9d4800c877a703b823ac0578ff8db"],
    ),
];
